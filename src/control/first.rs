//! The first start: a tenant `default`, and the user `admin` who is operator and its admin.

use super::command::{By, Command, Kind};
use super::entity::Limits;
use super::role::{Role, Roles};
use super::state::{Outcome, Refusal};
use super::{Change, Control, ControlError};
use crate::crypto::{self, ExposeSecret, SecretString};
use crate::event::TenantId;
use crate::event::draft::Problem;

/// The name of the first user.
pub const FIRST_USER: &str = "admin";

/// The first user, made just now by this instance.
#[derive(Debug)]
pub struct FirstUser {
    /// Its name.
    pub name: String,
    /// Its password, to be shown once; nobody can show it again.
    pub password: SecretString,
    /// The password was made here, and not given.
    pub generated: bool,
}

impl Control {
    /// Makes the tenant and the user that a deployment begins with, when it has no user yet. `None` when it has, also
    /// when another instance was faster: then that one's password is the right one.
    pub async fn first_start(
        &self,
        password: Option<SecretString>,
    ) -> Result<Option<FirstUser>, ControlError> {
        let state = self.state();
        if state.users().next().is_some() {
            return Ok(None);
        }
        if let Some(problem) = password.as_ref().and_then(crypto::password::problem) {
            return Err(ControlError::Invalid(vec![Problem {
                field: "password".into(),
                detail: problem.into(),
            }]));
        }
        if state.tenant(&TenantId::default_tenant()).is_none() {
            self.make_default_tenant().await?;
        }
        let generated = password.is_none();
        let password = password.unwrap_or_else(crypto::token::password);
        let made = self.make_first_user(password.clone()).await?;
        Ok(made.then(|| FirstUser {
            name: FIRST_USER.into(),
            password,
            generated,
        }))
    }

    async fn make_default_tenant(&self) -> Result<(), ControlError> {
        let command = Command::CreateTenant {
            name: "Default".into(),
            limits: Limits::default(),
        };
        self.submit(self.first(TenantId::default_tenant().to_string(), command))
            .await
            .map(|_| ())
    }

    async fn make_first_user(&self, password: SecretString) -> Result<bool, ControlError> {
        let hashed = tokio::task::spawn_blocking(move || crypto::password::hash(&password)).await;
        let unavailable = |error: &dyn std::fmt::Display| ControlError::Unavailable(error.to_string());
        let hash = hashed
            .map_err(|error| unavailable(&error))?
            .map_err(|error| unavailable(&error))?;
        let id = self.clock.fresh_id().to_string();
        let password = self.seal(Kind::User, &id, 1, hash.expose_secret().as_bytes());
        let command = Command::CreateUser {
            name: FIRST_USER.into(),
            tenant: TenantId::default_tenant(),
            roles: Roles::of(&[Role::Operator, Role::Admin]),
            limit: None,
            password: Some(password.map_err(|error| unavailable(&error))?),
        };
        match self.submit(self.first(id, command)).await? {
            Outcome::Accepted { .. } => Ok(true),
            Outcome::Refused(Refusal::NameTaken) => Ok(false),
            Outcome::Refused(refusal) => Err(unavailable(&refusal)),
        }
    }

    fn first(&self, id: String, command: Command) -> Change {
        Change {
            request_id: self.clock.fresh_id(),
            expected_version: 0,
            by: By::system(),
            id,
            command,
        }
    }
}
