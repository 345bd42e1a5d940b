//! Login: user name and password to a pair of tokens. A wrong name costs the same time as a wrong password.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::attempts::Attempt;
use super::principal::tenant_is_open;
use super::token::Use;
use super::{Auth, AuthError};
use crate::control::{Kind, User};
use crate::crypto::{self, ExposeSecret, SecretString};

/// What a login gives.
#[derive(Clone, Debug)]
pub struct LoginTokens {
    /// For the `Authorization` header.
    pub token: SecretString,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Seconds that `token` counts.
    pub expires_in: u64,
    /// For the next pair.
    pub refresh_token: SecretString,
}

/// The longest user name, in characters.
const NAME_MAX: usize = 128;
impl Auth {
    /// Checks a user name and a password that come from an address, and gives tokens.
    pub async fn login(
        &self,
        from: IpAddr,
        name: &str,
        password: SecretString,
    ) -> Result<LoginTokens, AuthError> {
        let user = self.user_of(from, name, password).await?;
        self.tokens_for(&user, self.inner.clock.fresh_id())
    }

    /// The user of this name and password, if one may log in. Attempts are counted by name and by address.
    pub(super) async fn user_of(
        &self,
        from: IpAddr,
        name: &str,
        password: SecretString,
    ) -> Result<Arc<User>, AuthError> {
        self.admit_read()?;
        // No user has a longer name: it is unknown, and need not be kept in the table of attempts.
        let name = if name.chars().count() <= NAME_MAX {
            name.to_lowercase()
        } else {
            String::new()
        };
        let attempt = self.inner.attempts.admit(&name, from)?;
        match self.user_with(&attempt, &name, password).await {
            Ok(Some(user)) => {
                self.inner.attempts.note_right(attempt);
                Ok(user)
            }
            Ok(None) => Err(AuthError::WrongPassword),
            Err(error) => {
                self.inner.attempts.give_back(&attempt);
                Err(error)
            }
        }
    }

    /// The user that has this name and this password.
    async fn user_with(
        &self,
        attempt: &Attempt,
        name: &str,
        password: SecretString,
    ) -> Result<Option<Arc<User>>, AuthError> {
        let possible = crypto::password::problem(&password).is_none();
        let (user, hash) = if possible {
            self.hash_of(name)?
        } else {
            (None, crypto::password::decoy())
        };
        let right = self
            .inner
            .attempts
            .check(attempt, move || crypto::password::verify(&password, &hash))
            .await?;
        Ok(user.filter(|_| right))
    }

    /// The user of that name, if one may log in, and the hash to compare with: a decoy when there is none.
    fn hash_of(&self, name: &str) -> Result<(Option<Arc<User>>, SecretString), AuthError> {
        let state = self.inner.control.state();
        let user = state
            .user_named(name)
            .filter(|user| !user.disabled && tenant_is_open(&state, &user.tenant));
        let Some(user) = user else {
            return Ok((None, crypto::password::decoy()));
        };
        match self.opened(user)? {
            Some(hash) => Ok((Some(user.clone()), hash)),
            None => Ok((None, crypto::password::decoy())),
        }
    }

    /// The hash of a user's password; `None` when it has none.
    pub(super) fn opened(&self, user: &User) -> Result<Option<SecretString>, AuthError> {
        let Some((version, sealed)) = &user.password else {
            return Ok(None);
        };
        let hash = self
            .inner
            .control
            .unseal(Kind::User, &user.id, *version, sealed)
            .map_err(|error| {
                tracing::error!(user = %user.name, %error, "a stored password hash can't be opened");
                AuthError::Unavailable
            })?;
        let hash = String::from_utf8(hash.expose_secret().to_vec()).map_err(|_| AuthError::Unavailable)?;
        Ok(Some(hash.into()))
    }

    /// A fresh pair of tokens in a session.
    pub(super) fn tokens_for(&self, user: &User, session: Uuid) -> Result<LoginTokens, AuthError> {
        let inner = &self.inner;
        let sign = |usage, seconds| {
            let lifetime = Duration::from_secs(seconds);
            inner.signer.sign(
                user,
                (usage, session),
                inner.clock.fresh_id(),
                inner.clock.now(),
                lifetime,
            )
        };
        Ok(LoginTokens {
            token: sign(Use::Access, inner.config.token_seconds)?,
            token_type: "Bearer",
            expires_in: inner.config.token_seconds,
            refresh_token: sign(Use::Refresh, inner.config.refresh_seconds)?,
        })
    }
}
