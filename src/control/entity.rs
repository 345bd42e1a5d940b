//! What control state is made of: tenants, users, API keys, and what tenants keep ([`kept`]). Each has a version, 1 when
//! it is made and one more with every accepted command, which is what `expected_version` speaks of.

mod kept;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::role::Roles;
use crate::clock::Timestamp;
use crate::event::TenantId;
use crate::keyring::Sealed;

pub use kept::{EventSchema, Export, ExportState, SavedSearch, parse_schema_id, schema_id};

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

/// What stands in a tenant, under an id of its own.
pub trait Owned {
    /// Never changes.
    fn id(&self) -> &Arc<str>;
    /// Where it belongs.
    fn tenant(&self) -> &TenantId;
    /// Counts accepted commands.
    fn version(&self) -> u64;
}

/// How much somebody may do, on each instance. `None`: a tenant as configured, a key as much as its tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Events written a second.
    pub events_per_second: Option<NonZeroU32>,
    /// Searches a second.
    pub searches_per_second: Option<NonZeroU32>,
    /// Exports that run at once.
    pub exports_at_once: Option<NonZeroU32>,
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
    /// How much it may do.
    pub limits: Limits,
    /// Events from before this are shown to nobody; it only ever rises.
    pub visible_from: Option<Timestamp>,
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
    /// Which events that is about, as the query of a URL (`resource_type=invoice`); `None`: all.
    pub limit: Option<Arc<str>>,
    /// The sealed password hash, and the version of this user that brought it, which is part of the seal's context.
    /// `None`: who comes by OIDC only.
    pub password: Option<(u64, Sealed)>,
    /// Tokens carry it; raising it ends them all.
    pub epoch: u64,
    /// When it was last raised: tokens that others gave out before don't count.
    pub epoch_since: Timestamp,
    /// Sessions that were ended before their tokens expire, and when the last of those would have.
    pub revoked_sessions: BTreeMap<Uuid, Timestamp>,
    /// Can't log in, and its tokens count no more.
    pub disabled: bool,
    /// Counts accepted commands, but for those that end one session.
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
    /// Which events that is about, as the query of a URL; `None`: all.
    pub limit: Option<Arc<str>>,
    /// SHA-256 of the key's whole text.
    pub sha256: [u8; 32],
    /// When it stops counting; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// How much it may do, within what its tenant may.
    pub limits: Limits,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: Arc<str>,
    /// Counts accepted commands.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Each has these three fields.
macro_rules! owned {
    ($($entity:ty),*) => {$(
        impl Owned for $entity {
            fn id(&self) -> &Arc<str> {
                &self.id
            }

            fn tenant(&self) -> &TenantId {
                &self.tenant
            }

            fn version(&self) -> u64 {
                self.version
            }
        }
    )*};
}

owned!(User, ApiKey, SavedSearch, EventSchema, Export);
