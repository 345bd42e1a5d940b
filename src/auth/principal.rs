//! The principal: first argument of everything that reads or writes on somebody's behalf.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::token::Claims;
use super::{AuthError, apikey};
use crate::clock::Timestamp;
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
    limit: Option<Arc<str>>,
    proof: Proof,
    whence: Option<Arc<Whence>>,
}

/// What kind of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A person, with a password or by OIDC.
    User,
    /// A machine with an API key.
    Key,
    /// The server itself: the gate, a connector, an import.
    System,
}

/// What it came with, as far as that says how long it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    System,
    Key { until: Option<Timestamp> },
    Token(Session),
}

/// What a token says of the session it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// Shared by all tokens of one login.
    pub(super) id: Uuid,
    /// When this token stops counting.
    pub(super) until: Timestamp,
    /// Of which time it is.
    pub(super) began: Began,
}

/// When a session began, in terms of what ends all sessions of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Began {
    /// In this epoch of the user.
    InEpoch(u64),
    /// At this moment, by the clock of whoever gave the token out.
    At(Timestamp),
}

impl Session {
    /// That it counts for `user` at `now`.
    pub(super) fn check(&self, user: &User, now: Timestamp) -> Result<(), AuthError> {
        let of_this_epoch = match self.began {
            Began::InEpoch(epoch) => epoch == user.epoch,
            Began::At(at) => at >= user.epoch_since,
        };
        match of_this_epoch && !user.disabled && !user.revoked_sessions.contains_key(&self.id) {
            false => Err(AuthError::Invalid),
            true if now < self.until => Ok(()),
            true => Err(AuthError::Expired),
        }
    }
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whence {
    /// The caller's address, as far as trusted proxies tell it.
    pub ip: Option<IpAddr>,
    /// The request's `x-request-id`.
    pub request_id: Option<String>,
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
            limit: None,
            proof: Proof::System,
            whence: None,
        }
    }

    pub(super) fn of_key(key: &ApiKey) -> Self {
        Self {
            tenant: key.tenant.clone(),
            kind: PrincipalKind::Key,
            id: key.id.clone(),
            who: key.id.clone(),
            roles: key.roles,
            limit: key.limit.clone(),
            proof: Proof::Key {
                until: key.expires_at,
            },
            whence: None,
        }
    }

    /// The user in a session that counts.
    pub(super) fn of_user(user: &User, session: Session) -> Self {
        Self {
            tenant: user.tenant.clone(),
            kind: PrincipalKind::User,
            id: user.id.clone(),
            who: user.name.clone(),
            roles: user.roles,
            limit: user.limit.clone(),
            proof: Proof::Token(session),
            whence: None,
        }
    }

    /// The same, coming from there.
    pub fn coming_from(self, whence: Whence) -> Self {
        Self {
            whence: Some(Arc::new(whence)),
            ..self
        }
    }

    /// Where its request came from, where it is one.
    pub fn whence(&self) -> Option<&Whence> {
        self.whence.as_deref()
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

    /// Which of those, as the query of a URL; `None`: all of them. Whatever it reads must satisfy this as well.
    pub fn limit(&self) -> Option<&Arc<str>> {
        self.limit.as_ref()
    }

    /// When its token, or its key, stops counting.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self.proof {
            Proof::System => None,
            Proof::Key { until } => until,
            Proof::Token(session) => Some(session.until),
        }
    }

    /// The session that its token belongs to.
    pub fn session(&self) -> Option<Uuid> {
        self.token().map(|session| session.id)
    }

    pub(super) fn token(&self) -> Option<&Session> {
        match &self.proof {
            Proof::Token(session) => Some(session),
            Proof::System | Proof::Key { .. } => None,
        }
    }

    /// That it would be let in at `now` as it was, with the same rights.
    pub(super) fn check(&self, state: &State, now: Timestamp) -> Result<(), AuthError> {
        let present = match &self.proof {
            Proof::System => return Ok(()),
            Proof::Key { .. } => {
                let key = state.key(&self.id).ok_or(AuthError::Invalid)?;
                apikey::check(key, now)?;
                Self::of_key(key)
            }
            Proof::Token(session) => {
                let user = state.user(&self.id).ok_or(AuthError::Invalid)?;
                session.check(user, now)?;
                Self::of_user(user, *session)
            }
        };
        if !tenant_is_open(state, &present.tenant) {
            return Err(AuthError::Invalid);
        }
        let rights = |principal: &Self| (principal.roles, principal.limit.clone());
        match rights(&present) == rights(self) {
            true => Ok(()),
            false => Err(AuthError::Changed),
        }
    }
}

/// As the sender of commands: walled in its tenant, unless it is an operator.
impl From<&Principal> for By {
    fn from(principal: &Principal) -> Self {
        let tenant = (!principal.is_operator()).then(|| principal.tenant.clone());
        let whence = principal.whence().cloned().unwrap_or_default();
        Self {
            who: principal.who.to_string(),
            tenant,
            ip: whence.ip,
            request_id: whence.request_id,
        }
    }
}

/// The user that a genuine token speaks of, if it still counts.
pub(super) fn of_claims(claims: &Claims, state: &State, now: Timestamp) -> Result<Principal, AuthError> {
    let user = state.user(&claims.sub).ok_or(AuthError::Invalid)?;
    let session = claims.session();
    session.check(user, now)?;
    match tenant_is_open(state, &user.tenant) {
        true => Ok(Principal::of_user(user, session)),
        false => Err(AuthError::Invalid),
    }
}

/// Whether credentials of the tenant count at all.
pub(super) fn tenant_is_open(state: &State, tenant: &TenantId) -> bool {
    state.tenant(tenant).is_some_and(|tenant| !tenant.disabled)
}
