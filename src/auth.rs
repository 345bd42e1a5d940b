//! Credential to [`Principal`]: who is asking, in which tenant, and what they may do.
//!
//! A credential only says *who*: tenant, roles and whether it still counts come from control state as this instance
//! has folded it, at every request. So a revocation holds as soon as the fold has it, and what is written in a token
//! gives nobody a right. When the fold is too old to be believed, nobody is let in ([`AuthError::Stale`]).
//!
//! - [`apikey`]: `thk_…` for machines; [`token`]: JWTs for people, from [`login`].
//!   `attempts` keeps guessing slow.
//!   [`oidc`]: JWTs that another system gives to our users. [`session`] ends what any of them began.
//! - [`manage`]: making users and keys, where secrets are hashed and sealed.

pub mod apikey;
mod attempts;
pub mod login;
pub mod manage;
pub mod oidc;
pub mod principal;
pub mod session;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::control::Control;
use crate::crypto::SecretString;
use crate::keyring::Keyring;

pub use login::LoginTokens;
pub use manage::{NewKey, NewUser};
pub use principal::{Principal, PrincipalKind, Whence};
pub use session::SessionError;

use attempts::Attempts;
use oidc::Oidc;
use token::{Signer, TokenError, Use};

/// Beyond this age of the fold nothing may be written.
const STALE_WRITES_AFTER: Duration = Duration::from_secs(2);
/// Nothing longer is looked at: our own tokens have about 400 bytes.
const CREDENTIAL_MAX: usize = 8 * 1024;

/// How credentials are dealt with.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// Seconds that a token from `/login` counts.
    #[config(default = 3600)]
    pub token_seconds: u64,
    /// Seconds that a refresh token counts.
    #[config(default = 1_209_600)]
    pub refresh_seconds: u64,
    /// Seconds for which an instance that is cut off from control state still answers reads.
    #[config(default = 300)]
    pub stale_reads_for: u64,
    /// Wrong passwords a minute for one user name, on each instance, before attempts are refused for a while. An
    /// address from which the user has logged in is counted by itself.
    #[config(default = 10)]
    pub wrong_passwords_per_minute: u32,
    /// The same from one address (of IPv6, one network of 64 bits), for whichever users have not logged in from there.
    #[config(default = 60)]
    pub wrong_passwords_per_minute_by_address: u32,
    /// Logins a second on each instance, from addresses from which their user has not logged in. Each costs about 20 ms
    /// of a core and 19 MiB while it runs.
    #[config(default = 50)]
    pub logins_per_second: u32,
    /// Passwords that are checked at once.
    #[config(default = 2)]
    pub password_checks_at_once: usize,
    /// Tokens of another system that our users may come with.
    #[config(nested)]
    pub oidc: oidc::Config,
}

/// Why nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No credential was sent. 401.
    #[error("a credential is needed: send `Authorization: Bearer <token or API key>`")]
    Missing,
    /// The credential does not count: malformed, forged, revoked or of somebody who is gone; which, is not said. 401.
    #[error("the credential is not valid")]
    Invalid,
    /// The token or the API key was genuine and has expired. 401.
    #[error("the credential has expired: log in again or refresh the token, or use another key")]
    Expired,
    /// User name and password do not belong together. 401.
    #[error("user name or password is wrong")]
    WrongPassword,
    /// Too many attempts. 429.
    #[error("too many attempts: try again in {} s", retry_after.as_secs())]
    TooMany {
        /// When to try again.
        retry_after: Duration,
    },
    /// The credential counts, and gives other rights than when it was looked at. 401.
    #[error("your rights have changed: connect again")]
    Changed,
    /// The keys of the issuer of OIDC tokens are not known. 503.
    #[error("the keys of the tokens' issuer can't be fetched now")]
    NoKeys,
    /// This instance has not heard from the log for too long to know who still counts. 503.
    #[error("this instance is cut off from the log, and its knowledge of who may do what is too old")]
    Stale,
    /// Something inside failed. 503.
    #[error("the credential can't be checked now")]
    Unavailable,
}

/// Checks credentials and gives out tokens. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    control: Control,
    clock: Arc<dyn Clock>,
    signer: Signer,
    attempts: Attempts,
    oidc: Option<Oidc>,
    config: Config,
}

impl Auth {
    /// Over control state that has begun.
    pub fn new(control: Control, keyring: &Keyring, clock: Arc<dyn Clock>, config: Config) -> Self {
        let signer = Signer::new(keyring, control.log_id());
        let attempts = Attempts::new(&config);
        let oidc = Oidc::new(&config.oidc, clock.clone());
        Self {
            inner: Arc::new(Inner {
                control,
                clock,
                signer,
                attempts,
                oidc,
                config,
            }),
        }
    }

    /// Makes ready what [`Auth::authenticate`] needs for this header and can't wait for: the keys of an OIDC issuer.
    pub async fn prepare(&self, header: Option<&str>) {
        let credential = header.and_then(|header| credential(header).ok());
        if let (Some(oidc), Some(credential)) = (&self.inner.oidc, credential)
            && oidc.is_meant(credential)
        {
            oidc.prepare(credential).await;
        }
    }

    /// Who sends this `Authorization` header: `Bearer X`, or X bare, where X is a token or an API key.
    pub fn authenticate(&self, header: Option<&str>) -> Result<Principal, AuthError> {
        self.admit_read()?;
        let credential = credential(header.ok_or(AuthError::Missing)?)?;
        let state = self.inner.control.state();
        if apikey::looks_like(credential) {
            return apikey::resolve(credential, &state, self.inner.clock.now());
        }
        if let Some(oidc) = self.inner.oidc.as_ref().filter(|oidc| oidc.is_meant(credential)) {
            return oidc.resolve(credential, &state, self.inner.clock.now());
        }
        let claims = self
            .inner
            .signer
            .verify(credential, Use::Access, self.inner.clock.now())?;
        principal::of_claims(&claims, &state, self.inner.clock.now())
    }

    /// That the fold is fresh enough to write: at most two seconds old.
    pub fn admit_write(&self) -> Result<(), AuthError> {
        self.admit(STALE_WRITES_AFTER)
    }

    /// That the fold is fresh enough to read. [`Auth::authenticate`] asks this itself; whoever holds a connection
    /// open asks again.
    pub fn admit_read(&self) -> Result<(), AuthError> {
        self.admit(Duration::from_secs(self.inner.config.stale_reads_for).max(STALE_WRITES_AFTER))
    }

    /// That somebody who was let in would be let in now, with the same rights: for whoever holds a connection open.
    /// An error says why it must end: revoked, disabled, expired, with other rights than before, or a fold too old to
    /// know.
    pub fn still_counts(&self, principal: &Principal) -> Result<(), AuthError> {
        self.admit_read()?;
        principal.check(&self.inner.control.state(), self.inner.clock.now())
    }

    /// Whether people may come in by OIDC.
    pub fn takes_oidc(&self) -> bool {
        self.inner.oidc.is_some()
    }

    fn admit(&self, age_max: Duration) -> Result<(), AuthError> {
        if self.inner.control.freshness().age <= age_max {
            Ok(())
        } else {
            Err(AuthError::Stale)
        }
    }

    /// A new pair of tokens for a refresh token that still counts.
    pub fn refresh(&self, refresh_token: &SecretString) -> Result<LoginTokens, AuthError> {
        use crate::crypto::ExposeSecret;
        self.admit_read()?;
        let text = refresh_token.expose_secret();
        let claims = self
            .inner
            .signer
            .verify(text, Use::Refresh, self.inner.clock.now())?;
        let state = self.inner.control.state();
        principal::of_claims(&claims, &state, self.inner.clock.now())?;
        let user = state.user(&claims.sub).ok_or(AuthError::Invalid)?;
        self.tokens_for(user, claims.sid)
    }
}

/// The credential within the header.
fn credential(header: &str) -> Result<&str, AuthError> {
    let header = header.trim();
    let credential = match header.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
        Some(_) => return Err(AuthError::Invalid),
        None => header,
    };
    match credential.len() {
        0 => Err(AuthError::Missing),
        length if length > CREDENTIAL_MAX => Err(AuthError::Invalid),
        _ => Ok(credential),
    }
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid => Self::Invalid,
            TokenError::Expired => Self::Expired,
            TokenError::Signing => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests;
