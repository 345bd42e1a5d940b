//! The principal: first argument of everything that reads or writes on somebody's behalf.

use std::sync::Arc;

use super::token::Claims;
use crate::control::{ApiKey, By, Permission, Reads, Role, Roles, State, User};
use crate::event::TenantId;

/// Who is asking. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    tenant: TenantId,
    kind: PrincipalKind,
    id: Arc<str>,
    who: Arc<str>,
    roles: Roles,
}

/// What kind of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A person with a password.
    User,
    /// A machine with an API key.
    Key,
    /// The server itself: the gate, a connector, an import.
    System,
}

impl Principal {
    /// The server itself, writing into `tenant` as `who` (`gate`, …). It writes and does nothing else.
    pub fn system(tenant: TenantId, who: &str) -> Self {
        let who: Arc<str> = who.into();
        Self {
            tenant,
            kind: PrincipalKind::System,
            id: who.clone(),
            who,
            roles: Roles::of(&[Role::Ingest]),
        }
    }

    pub(super) fn of_key(key: &ApiKey) -> Self {
        Self {
            tenant: key.tenant.clone(),
            kind: PrincipalKind::Key,
            id: key.id.clone(),
            who: key.id.clone(),
            roles: key.roles,
        }
    }

    pub(super) fn of_user(user: &User) -> Self {
        Self {
            tenant: user.tenant.clone(),
            kind: PrincipalKind::User,
            id: user.id.clone(),
            who: user.name.clone(),
            roles: user.roles,
        }
    }

    /// The tenant it belongs to.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What kind of somebody.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// The id in control state; a system principal's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of a user, the id of a key.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// The `actor.id` of what it does itself, and of the events that it may read when it may read only its own: the
    /// user's name.
    pub fn actor_id(&self) -> &str {
        &self.who
    }

    /// The id of the API key it came with.
    pub fn key_id(&self) -> Option<&str> {
        (self.kind == PrincipalKind::Key).then_some(&*self.id)
    }

    /// What it is.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// Whether it spans all tenants.
    pub fn is_operator(&self) -> bool {
        self.roles.has(Role::Operator)
    }

    /// Whether it may do something, in its own tenant.
    pub fn can(&self, permission: Permission) -> bool {
        self.roles.can(permission)
    }

    /// Whether it may do something in `tenant`.
    pub fn can_in(&self, tenant: &TenantId, permission: Permission) -> bool {
        (self.tenant == *tenant || self.is_operator()) && self.can(permission)
    }

    /// Which events of its tenant it may read.
    pub fn reads(&self) -> Reads {
        self.roles.reads()
    }
}

/// As the sender of commands: walled in its tenant, unless it is an operator.
impl From<&Principal> for By {
    fn from(principal: &Principal) -> Self {
        let tenant = (!principal.is_operator()).then(|| principal.tenant.clone());
        Self {
            who: principal.who.to_string(),
            tenant,
        }
    }
}

/// The user that a genuine token speaks of, if it still counts.
pub(super) fn of_claims(claims: &Claims, state: &State) -> Option<Principal> {
    let user = state.user(&claims.sub)?;
    let counts = !user.disabled && user.epoch == claims.epoch && tenant_is_open(state, &user.tenant);
    counts.then(|| Principal::of_user(user))
}

/// Whether credentials of the tenant count at all.
pub(super) fn tenant_is_open(state: &State, tenant: &TenantId) -> bool {
    state.tenant(tenant).is_some_and(|tenant| !tenant.disabled)
}
