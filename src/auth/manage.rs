//! Making users, passwords and keys: what of a command is secret is hashed and sealed here, before it is written.

use uuid::Uuid;

use super::{Auth, AuthError, apikey};
use crate::clock::Timestamp;
use crate::control::{By, Change, Command, ControlError, Kind, Limits, Outcome, Refusal, Roles, User};
use crate::crypto::{self, ExposeSecret, SecretString};
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::keyring::Sealed;

/// A user to be made.
#[derive(Debug)]
pub struct NewUser {
    /// Unique in the deployment.
    pub name: String,
    /// Where it belongs.
    pub tenant: TenantId,
    /// What it may do.
    pub roles: Roles,
    /// Which events that is about, as the query of a URL; `None`: all.
    pub limit: Option<String>,
    /// What it logs in with; `None`: it comes by OIDC only.
    pub password: Option<SecretString>,
}

/// An API key to be made.
#[derive(Debug)]
pub struct NewKey {
    /// For people.
    pub name: String,
    /// Where it belongs.
    pub tenant: TenantId,
    /// Its scope.
    pub roles: Roles,
    /// When it stops counting.
    pub expires_at: Option<Timestamp>,
    /// Which events that is about, as the query of a URL; `None`: all.
    pub limit: Option<String>,
    /// How much it may do, within what its tenant may.
    pub limits: Limits,
}

/// Why something could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// Control state refused it: 404, 409 or 403, as the refusal says.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Control state could not be changed, or the wish makes no sense.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// No turn to hash a password.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

impl Auth {
    /// Makes a user; gives its id, the same for the same request. `by` must be allowed to: asked here is only
    /// whether the walls hold.
    pub async fn create_user(
        &self,
        by: impl Into<By>,
        request_id: Uuid,
        new: NewUser,
    ) -> Result<String, ManageError> {
        let id = Uuid::new_v5(&request_id, b"user").to_string();
        let sealed = match &new.password {
            Some(password) => Some(self.sealed_password(&id, 1, password.clone()).await?),
            None => None,
        };
        let command = Command::CreateUser {
            name: new.name,
            tenant: new.tenant,
            roles: new.roles,
            limit: new.limit,
            password: sealed.clone(),
        };
        self.change(by, request_id, 0, &id, command).await?;
        self.check_repeated(&id, (1, sealed.as_ref()), new.password)
            .await?;
        Ok(id)
    }

    /// That a request which was made before gave the user this password, with the user's `version`, as far as that can
    /// be known: not when it has another one by now.
    async fn check_repeated(
        &self,
        id: &str,
        (version, sealed): (u64, Option<&Sealed>),
        password: Option<SecretString>,
    ) -> Result<(), ManageError> {
        let state = self.inner.control.state();
        let first = state.user(id).filter(|user| is_another(user, version, sealed));
        let Some(user) = first else {
            return Ok(());
        };
        let (Some(hash), Some(password)) = (self.opened(user)?, password) else {
            return Err(Refusal::OtherRequest.into());
        };
        let verified = move || crypto::password::verify(&password, &hash);
        match self.inner.attempts.set(verified).await? {
            true => Ok(()),
            false => Err(Refusal::OtherRequest.into()),
        }
    }

    /// Sets a user's password, which ends all its tokens; gives the user's new version. A request that was made before,
    /// of the user as it was then or with another password, is refused: commands don't tell passwords apart.
    pub async fn set_password(
        &self,
        by: impl Into<By>,
        request_id: Uuid,
        (id, version): (&str, u64),
        password: SecretString,
    ) -> Result<u64, ManageError> {
        let sealed = self.sealed_password(id, version + 1, password.clone()).await?;
        let command = Command::SetPassword {
            password: sealed.clone(),
        };
        let made = self.change(by, request_id, version, id, command).await?;
        if made != version + 1 {
            return Err(Refusal::OtherRequest.into());
        }
        self.check_repeated(id, (made, Some(&sealed)), Some(password))
            .await?;
        Ok(made)
    }

    /// Makes an API key; gives its id, and its text, which nobody can show again: `None` when this request was made
    /// before, and its first answer has shown it.
    pub async fn create_key(
        &self,
        by: impl Into<By>,
        request_id: Uuid,
        new: NewKey,
    ) -> Result<(String, Option<SecretString>), ManageError> {
        if new.expires_at.is_some_and(|end| end <= self.inner.clock.now()) {
            return Err(invalid(
                "/expires_at",
                "lies in the past: the key would never count",
            ));
        }
        let fresh = apikey::fresh(request_id);
        let command = Command::CreateKey {
            name: new.name,
            tenant: new.tenant,
            roles: new.roles,
            sha256: fresh.sha256,
            expires_at: new.expires_at,
            limit: new.limit,
            limits: new.limits,
        };
        self.change(by, request_id, 0, &fresh.id, command).await?;
        let state = self.inner.control.state();
        let is_new = state.key(&fresh.id).is_some_and(|key| key.sha256 == fresh.sha256);
        Ok((fresh.id, is_new.then_some(fresh.text)))
    }

    /// Sends any other command on behalf of `by`; gives the entity's new version.
    pub async fn change(
        &self,
        by: impl Into<By>,
        request_id: Uuid,
        expected_version: u64,
        id: &str,
        command: Command,
    ) -> Result<u64, ManageError> {
        self.admit_write()?;
        let change = Change {
            request_id,
            expected_version,
            by: by.into(),
            id: id.to_owned(),
            command,
        };
        match self.inner.control.submit(change).await? {
            Outcome::Accepted { version } => Ok(version),
            Outcome::Refused(refusal) => Err(refusal.into()),
        }
    }

    async fn sealed_password(
        &self,
        id: &str,
        version: u64,
        password: SecretString,
    ) -> Result<Sealed, ManageError> {
        if let Some(problem) = crypto::password::problem(&password) {
            return Err(invalid("/password", problem));
        }
        let hash = self
            .inner
            .attempts
            .set(move || crypto::password::hash(&password))
            .await?;
        let hash = hash.map_err(|_| AuthError::Unavailable)?;
        let sealed = self
            .inner
            .control
            .seal(Kind::User, id, version, hash.expose_secret().as_bytes());
        Ok(sealed.map_err(|_| AuthError::Unavailable)?)
    }
}

/// Whether a user has had, since this version of it, another password than the one that was sealed.
fn is_another(user: &User, version: u64, sealed: Option<&Sealed>) -> bool {
    match &user.password {
        Some((since, first)) if *since == version => sealed != Some(first),
        // It was given one later.
        Some(_) => false,
        None => sealed.is_some(),
    }
}

fn invalid(field: &str, detail: &str) -> ManageError {
    ControlError::Invalid(vec![Problem::new(field, detail)]).into()
}
