//! What control state is made of: tenants, users, API keys. Each has a version, 1 when it is made and one more with
//! every accepted command, which is what `expected_version` speaks of.

use std::num::NonZeroU32;
use std::sync::Arc;

use uuid::Uuid;

use super::role::Roles;
use crate::clock::Timestamp;
use crate::event::TenantId;
use crate::keyring::Sealed;

/// What the first valid control record says of the deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Names this log: offsets mean something only within it.
    pub log_id: Uuid,
    /// Partitions of `audit.events`, fixed when the topic was made.
    pub partitions: u32,
    /// When it began.
    pub created_at: Timestamp,
}

/// A tenant: a wall around events, users and keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name on every wire.
    pub id: TenantId,
    /// Its name for people.
    pub name: String,
    /// Refuses every credential of the tenant.
    pub disabled: bool,
    /// Events it may write a second on each instance; `None`: the configured default.
    pub events_per_second: Option<NonZeroU32>,
    /// Counts accepted commands.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Somebody who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Never changes and is never given again.
    pub id: Arc<str>,
    /// Unique in the deployment, without regard to case.
    pub name: Arc<str>,
    /// Where it belongs.
    pub tenant: TenantId,
    /// What it may do there.
    pub roles: Roles,
    /// The sealed password hash, and the version of this user that brought it, which is part of the seal's context.
    pub password: (u64, Sealed),
    /// Tokens carry it; raising it ends them all.
    pub epoch: u64,
    /// Can't log in, and its tokens count no more.
    pub disabled: bool,
    /// Counts accepted commands.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A credential for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part of the key's text.
    pub id: Arc<str>,
    /// For people.
    pub name: Arc<str>,
    /// Where it belongs.
    pub tenant: TenantId,
    /// Its scope.
    pub roles: Roles,
    /// SHA-256 of the key's whole text.
    pub sha256: [u8; 32],
    /// When it stops counting; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Events it may write a second on each instance; `None`: as much as its tenant.
    pub events_per_second: Option<NonZeroU32>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: Arc<str>,
    /// Counts accepted commands.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ApiKey {
    /// Whether it counts at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
