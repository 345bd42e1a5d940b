//! Control state, and the pure rules by which commands change it. Every instance folds the same records with these
//! rules, so all decide alike; nothing here knows the time, the network or chance.
//!
//! What a command does is in the file of what it is about: [`tenants`], [`users`], [`keys`], [`kept`]. [`rules`] holds
//! what they all ask first, [`shelf`] how things are found.

mod kept;
mod keys;
mod rules;
mod shelf;
mod tenants;
mod users;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::command::{Command, Envelope, Kind};
use super::entity::{
    ApiKey, Deployment, EventSchema, Export, SavedSearch, Tenant, User, parse_schema_id, schema_id,
};
use crate::clock::Timestamp;
use crate::event::TenantId;

use rules::{Decision, expect};
use shelf::Shelf;

/// How many users one tenant may have, disabled ones too.
pub const USERS_MAX: usize = 10_000;
/// How many API keys one tenant may have. Past it, those that were revoked make room.
pub const KEYS_MAX: usize = 10_000;
/// How many searches one tenant may keep.
pub const SEARCHES_MAX: usize = 1_000;
/// How many event types of one tenant may have a schema.
pub const SCHEMAS_MAX: usize = 1_000;
/// Bytes of one tenant's schemas, with all versions that are kept in mind: every instance holds them in memory.
pub const SCHEMA_BYTES_MAX: usize = 16 << 20;
/// How many exports one tenant may keep.
pub const EXPORTS_MAX: usize = 1_000;

/// Everything that control records say, up to some offset. Cloning it copies references.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    deployment: Option<Deployment>,
    tenants: BTreeMap<TenantId, Arc<Tenant>>,
    users: Shelf<User>,
    /// Lower-case name to id. Names of disabled users stay taken, so that a name in an old event means one person.
    names: HashMap<String, Arc<str>>,
    keys: Shelf<ApiKey>,
    searches: Shelf<SavedSearch>,
    schemas: Shelf<EventSchema>,
    exports: Shelf<Export>,
}

/// How a command was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Accepted {
        /// The entity's version from now on.
        version: u64,
    },
    /// It changed nothing.
    Refused(Refusal),
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else was faster.
    #[error("it has changed meanwhile: version {expected} was expected, {found} was found")]
    Conflict {
        /// What the sender had seen.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// It does not exist, or not within the sender's tenant.
    #[error("there is no such thing")]
    NotFound,
    /// User names are unique in a deployment.
    #[error("that name is taken")]
    NameTaken,
    /// The tenant that is named does not exist, or is not the sender's.
    #[error("there is no such tenant")]
    NoSuchTenant,
    /// Tenants, and whoever is an operator, are for operators to change.
    #[error("only an operator may do that")]
    OperatorsOnly,
    /// Its name belongs to a request that asked for something else.
    #[error("another request came under this name before: give each one a name of its own")]
    OtherRequest,
    /// The tenant has as many as one may have.
    #[error("the tenant has {max} of them, and may have no more")]
    TooMany {
        /// How many it may have.
        max: usize,
    },
    /// The tenant has as much text as one may have.
    #[error(
        "the tenant's schemas may have {max} bytes with all their versions: make them shorter, or remove some"
    )]
    TooLong {
        /// How many bytes it may have.
        max: usize,
    },
    /// A revoked key stays as it is.
    #[error("the key is revoked, for good: make another one")]
    Revoked,
    /// Nobody could make another one.
    #[error("it would leave no operator who can log in")]
    LastOperator,
}

impl State {
    /// The deployment; `None` only before the first record.
    pub fn deployment(&self) -> Option<&Deployment> {
        self.deployment.as_ref()
    }

    /// A tenant by its id.
    pub fn tenant(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(id)
    }

    /// All tenants, by id.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// From when on events of the tenant are shown: earlier ones were cleaned up.
    pub fn visible_from(&self, tenant: &TenantId) -> Option<Timestamp> {
        self.tenants.get(tenant)?.visible_from
    }

    /// A user by its id.
    pub fn user(&self, id: &str) -> Option<&Arc<User>> {
        self.users.get(id)
    }

    /// A user by its name, without regard to case.
    pub fn user_named(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(self.names.get(&name.to_lowercase())?)
    }

    /// All users, in no order.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.all()
    }

    /// The users of a tenant, by id.
    pub fn users_of(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<User>> {
        self.users.of(tenant)
    }

    /// An API key by its id.
    pub fn key(&self, id: &str) -> Option<&Arc<ApiKey>> {
        self.keys.get(id)
    }

    /// All API keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.keys.all()
    }

    /// The API keys of a tenant, by id.
    pub fn keys_of(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.keys.of(tenant)
    }

    /// A saved search by its id.
    pub fn search(&self, id: &str) -> Option<&Arc<SavedSearch>> {
        self.searches.get(id)
    }

    /// The saved searches of a tenant, by id.
    pub fn searches_of(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<SavedSearch>> {
        self.searches.of(tenant)
    }

    /// The schema of an event type.
    pub fn schema(&self, tenant: &TenantId, event_type: &str) -> Option<&Arc<EventSchema>> {
        self.schemas.get(&schema_id(tenant, event_type))
    }

    /// The schemas of a tenant, by event type.
    pub fn schemas_of(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<EventSchema>> {
        self.schemas.of(tenant)
    }

    /// Whether a tenant has any schema: those who have none pay nothing for the others.
    pub fn has_schemas(&self, tenant: &TenantId) -> bool {
        self.schemas.count(tenant) > 0
    }

    /// An export by its id.
    pub fn export(&self, id: &str) -> Option<&Arc<Export>> {
        self.exports.get(id)
    }

    /// All exports, in no order: for the instances that work on them.
    pub fn exports(&self) -> impl Iterator<Item = &Arc<Export>> {
        self.exports.all()
    }

    /// The exports of a tenant, by id.
    pub fn exports_of(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<Export>> {
        self.exports.of(tenant)
    }

    /// Whose the thing of this kind and id is; of tenants and schemas their ids say so, whether there are any.
    pub fn owner(&self, kind: Kind, id: &str) -> Option<TenantId> {
        match kind {
            Kind::Deployment => None,
            Kind::Tenant => TenantId::parse(id),
            Kind::Schema => parse_schema_id(id).map(|(tenant, _)| tenant),
            Kind::User => self.user(id).map(|user| user.tenant.clone()),
            Kind::Key => self.key(id).map(|key| key.tenant.clone()),
            Kind::Search => self.search(id).map(|search| search.tenant.clone()),
            Kind::Export => self.export(id).map(|export| export.tenant.clone()),
        }
    }

    /// Decides a command, and changes the state when it is accepted.
    pub fn apply(&mut self, envelope: &Envelope) -> Outcome {
        match self.decide(envelope) {
            Ok(version) => Outcome::Accepted { version },
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn decide(&mut self, envelope: &Envelope) -> Decision {
        use Command::*;
        match &envelope.command {
            Bootstrap { log_id, partitions } => {
                expect(envelope, self.deployment.map_or(0, |_| 1))?;
                let (log_id, partitions, created_at) = (*log_id, *partitions, envelope.at);
                self.deployment = Some(Deployment {
                    log_id,
                    partitions,
                    created_at,
                });
                Ok(1)
            }
            CreateTenant { .. } | UpdateTenant { .. } => self.decide_tenant(envelope),
            CleanUp { before } => self.clean_up(envelope, *before),
            CreateUser { .. } => self.create_user(envelope),
            UpdateUser { .. } | SetPassword { .. } | EndSessions => self.change_user(envelope),
            RevokeSession { session, until } => self.revoke_session(envelope, *session, *until),
            CreateKey { .. } => self.create_key(envelope),
            UpdateKey { .. } | RevokeKey => self.change_key(envelope),
            CreateSearch { .. } => self.create_search(envelope),
            UpdateSearch { .. } => self.update_search(envelope),
            DeleteSearch => rules::delete(&mut self.searches, envelope),
            PutSchema { schema } => self.put_schema(envelope, schema),
            DeleteSchema => rules::delete(&mut self.schemas, envelope),
            CreateExport { .. } => self.create_export(envelope),
            UpdateExport { state } => self.update_export(envelope, state),
            DeleteExport => rules::delete(&mut self.exports, envelope),
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture;
