//! Ending sessions: logging out, and a new password, which ends all the others.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

use super::manage::ManageError;
use super::{Auth, AuthError, LoginTokens, Principal};
use crate::clock::Timestamp;
use crate::control::{Command, Refusal};
use crate::crypto::SecretString;

/// How much later than we another instance may still have refreshed a token of an ended session, clocks and all.
const SLACK: Duration = Duration::from_secs(600);
/// How often a change is tried anew when somebody else changed the user meanwhile.
const TRIES: usize = 5;

/// Why no session ends.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Who asks came with an API key.
    #[error("an API key has no session: an admin can revoke it")]
    NoSession,
    /// The old password is not the user's.
    #[error("the old password is wrong")]
    WrongPassword,
    /// It can't be done, or not now.
    #[error(transparent)]
    Manage(#[from] ManageError),
}

impl From<AuthError> for SessionError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::WrongPassword => Self::WrongPassword,
            error => Self::Manage(error.into()),
        }
    }
}

impl Auth {
    /// Ends the session that the caller came with, or all of its user.
    pub async fn log_out(
        &self,
        principal: &Principal,
        request_id: Uuid,
        everywhere: bool,
    ) -> Result<(), SessionError> {
        let session = principal.token().ok_or(SessionError::NoSession)?;
        if everywhere {
            return Ok(self.end_sessions(principal, request_id).await?);
        }
        let command = Command::RevokeSession {
            session: session.id,
            until: self.last_token_of_a_session(session.until),
        };
        let version = self.version_of(principal)?;
        self.change(principal, request_id, version, principal.id(), command)
            .await?;
        Ok(())
    }

    /// Gives a user who knows its old password another one. All its sessions end; the tokens are of a new one.
    pub async fn change_password(
        &self,
        principal: &Principal,
        request_id: Uuid,
        from: IpAddr,
        (old, new): (SecretString, SecretString),
    ) -> Result<LoginTokens, SessionError> {
        principal.token().ok_or(SessionError::NoSession)?;
        let user = self.user_of(from, principal.who(), old).await?;
        if *user.id != *principal.id() {
            return Err(SessionError::WrongPassword);
        }
        let seen = (&*user.id, user.version);
        self.set_password(principal, request_id, seen, new).await?;
        let state = self.inner.control.state();
        let user = state.user(principal.id()).ok_or(AuthError::Invalid)?;
        Ok(self.tokens_for(user, self.inner.clock.fresh_id())?)
    }

    async fn end_sessions(&self, principal: &Principal, request_id: Uuid) -> Result<(), ManageError> {
        for n in 0..TRIES {
            // A refused request keeps its answer, so each try is one of its own.
            let request_id = Uuid::new_v5(&request_id, &[n as u8]);
            let version = self.version_of(principal)?;
            let ended = self.change(
                principal,
                request_id,
                version,
                principal.id(),
                Command::EndSessions,
            );
            match ended.await {
                Err(ManageError::Refused(Refusal::Conflict { .. })) if n + 1 < TRIES => {}
                ended => return ended.map(|_| ()),
            }
        }
        Ok(())
    }

    fn version_of(&self, principal: &Principal) -> Result<u64, ManageError> {
        let state = self.inner.control.state();
        let user = state.user(principal.id()).ok_or(AuthError::Invalid)?;
        Ok(user.version)
    }

    /// When the last token of a session stops counting at the latest: one of ours may have been refreshed a moment ago.
    fn last_token_of_a_session(&self, until: Timestamp) -> Timestamp {
        let refreshed = Duration::from_secs(self.inner.config.refresh_seconds);
        let now = self.inner.clock.now();
        until.max(now.plus(refreshed)).plus(SLACK)
    }
}
