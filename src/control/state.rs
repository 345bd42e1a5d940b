//! Control state, and the pure rules by which commands change it. Every instance folds the same records with these
//! rules, so all decide alike; nothing here knows the time, the network or chance.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::command::{By, Command, Envelope, Rate};
use super::entity::{ApiKey, Deployment, Tenant, User};
use super::role::{Role, Roles};
use crate::event::TenantId;

/// Everything that control records say, up to some offset. Cloning it copies references.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    deployment: Option<Deployment>,
    tenants: BTreeMap<TenantId, Arc<Tenant>>,
    users: HashMap<Arc<str>, Arc<User>>,
    /// Lower-case name to id. Names of disabled users stay taken, so that a name in an old event means one person.
    names: HashMap<String, Arc<str>>,
    keys: HashMap<Arc<str>, Arc<ApiKey>>,
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
    /// Nobody could make another one.
    #[error("it would leave no operator who can log in")]
    LastOperator,
}

type Decision = Result<u64, Refusal>;

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
        self.users.values()
    }

    /// An API key by its id.
    pub fn key(&self, id: &str) -> Option<&Arc<ApiKey>> {
        self.keys.get(id)
    }

    /// All API keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.keys.values()
    }

    /// Decides a command, and changes the state when it is accepted.
    pub fn apply(&mut self, envelope: &Envelope) -> Outcome {
        match self.decide(envelope) {
            Ok(version) => Outcome::Accepted { version },
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn decide(&mut self, envelope: &Envelope) -> Decision {
        match &envelope.command {
            Command::Bootstrap { log_id, partitions } => {
                expect(envelope, self.deployment.map_or(0, |_| 1))?;
                let (log_id, partitions, created_at) = (*log_id, *partitions, envelope.at);
                self.deployment = Some(Deployment {
                    log_id,
                    partitions,
                    created_at,
                });
                Ok(1)
            }
            Command::CreateTenant { .. } | Command::UpdateTenant { .. } => self.decide_tenant(envelope),
            Command::CreateUser { .. } => self.create_user(envelope),
            Command::UpdateUser { .. } | Command::SetPassword { .. } | Command::EndSessions => {
                self.change_user(envelope)
            }
            Command::CreateKey { .. } => self.create_key(envelope),
            Command::RevokeKey => self.revoke_key(envelope),
        }
    }

    fn decide_tenant(&mut self, envelope: &Envelope) -> Decision {
        operators_only(envelope)?;
        let id = TenantId::parse(&envelope.id).ok_or(Refusal::NotFound)?;
        let found = self.tenants.get(&id);
        expect(envelope, found.map_or(0, |tenant| tenant.version))?;
        let changed = match (&envelope.command, found) {
            (
                Command::CreateTenant {
                    name,
                    events_per_second,
                },
                None,
            ) => Tenant {
                id: id.clone(),
                name: name.clone(),
                disabled: false,
                events_per_second: *events_per_second,
                version: 1,
                created_at: envelope.at,
            },
            (
                Command::UpdateTenant {
                    name,
                    events_per_second,
                    disabled,
                },
                Some(tenant),
            ) => Tenant {
                name: name.clone().unwrap_or_else(|| tenant.name.clone()),
                disabled: disabled.unwrap_or(tenant.disabled),
                events_per_second: match events_per_second {
                    None => tenant.events_per_second,
                    Some(Rate::Default) => None,
                    Some(Rate::PerSecond(rate)) => Some(*rate),
                },
                version: tenant.version + 1,
                ..Tenant::clone(tenant)
            },
            (_, found) => return Err(mismatch(envelope, found.map(|tenant| tenant.version))),
        };
        let shut = changed.disabled && found.is_some_and(|tenant| !tenant.disabled);
        if shut && self.locks_out(|user| user.tenant == id) {
            return Err(Refusal::LastOperator);
        }
        let version = changed.version;
        self.tenants.insert(id, Arc::new(changed));
        Ok(version)
    }

    fn create_user(&mut self, envelope: &Envelope) -> Decision {
        let Command::CreateUser {
            name,
            tenant,
            roles,
            password,
        } = &envelope.command
        else {
            return Err(Refusal::NotFound);
        };
        self.expect_room(
            envelope,
            tenant,
            self.users
                .get(&*envelope.id)
                .map(|user| (user.version, &user.tenant)),
        )?;
        may_grant(envelope, *roles)?;
        if self.names.contains_key(&name.to_lowercase()) {
            return Err(Refusal::NameTaken);
        }
        let user = User {
            id: envelope.id.as_str().into(),
            name: name.as_str().into(),
            tenant: tenant.clone(),
            roles: *roles,
            password: (1, password.clone()),
            epoch: 1,
            disabled: false,
            version: 1,
            created_at: envelope.at,
        };
        self.names.insert(name.to_lowercase(), user.id.clone());
        self.users.insert(user.id.clone(), Arc::new(user));
        Ok(1)
    }

    fn change_user(&mut self, envelope: &Envelope) -> Decision {
        let user = self
            .users
            .get(&*envelope.id)
            .filter(|user| inside(&envelope.by, &user.tenant));
        let user = user.ok_or(Refusal::NotFound)?;
        expect(envelope, user.version)?;
        may_grant(envelope, user.roles)?;
        let mut changed = User {
            version: user.version + 1,
            ..User::clone(user)
        };
        match &envelope.command {
            Command::UpdateUser { roles, disabled } => {
                changed.roles = roles.unwrap_or(user.roles);
                changed.disabled = disabled.unwrap_or(user.disabled);
                changed.epoch += u64::from(changed.disabled && !user.disabled);
                may_grant(envelope, changed.roles)?;
            }
            Command::SetPassword { password } => {
                changed.password = (changed.version, password.clone());
                changed.epoch += 1;
            }
            _ => changed.epoch += 1,
        }
        let steps_down = changed.disabled || !changed.roles.has(Role::Operator);
        if steps_down && self.locks_out(|other| other.id == changed.id) {
            return Err(Refusal::LastOperator);
        }
        let version = changed.version;
        self.users.insert(changed.id.clone(), Arc::new(changed));
        Ok(version)
    }

    fn create_key(&mut self, envelope: &Envelope) -> Decision {
        let Command::CreateKey {
            name,
            tenant,
            roles,
            sha256,
            expires_at,
            events_per_second,
        } = &envelope.command
        else {
            return Err(Refusal::NotFound);
        };
        self.expect_room(
            envelope,
            tenant,
            self.keys.get(&*envelope.id).map(|key| (key.version, &key.tenant)),
        )?;
        may_grant(envelope, *roles)?;
        let key = ApiKey {
            id: envelope.id.as_str().into(),
            name: name.as_str().into(),
            tenant: tenant.clone(),
            roles: *roles,
            sha256: *sha256,
            expires_at: *expires_at,
            events_per_second: *events_per_second,
            revoked_at: None,
            created_by: envelope.by.who.as_str().into(),
            version: 1,
            created_at: envelope.at,
        };
        self.keys.insert(key.id.clone(), Arc::new(key));
        Ok(1)
    }

    fn revoke_key(&mut self, envelope: &Envelope) -> Decision {
        let key = self
            .keys
            .get(&*envelope.id)
            .filter(|key| inside(&envelope.by, &key.tenant));
        let key = key.ok_or(Refusal::NotFound)?;
        expect(envelope, key.version)?;
        may_grant(envelope, key.roles)?;
        let version = key.version + 1;
        let revoked_at = key.revoked_at.or(Some(envelope.at));
        let revoked = ApiKey {
            revoked_at,
            version,
            ..ApiKey::clone(key)
        };
        self.keys.insert(revoked.id.clone(), Arc::new(revoked));
        Ok(version)
    }

    /// That something new may stand in `tenant`. What exists beyond the sender's wall is not told apart from a
    /// tenant that does not exist.
    fn expect_room(
        &self,
        envelope: &Envelope,
        tenant: &TenantId,
        found: Option<(u64, &TenantId)>,
    ) -> Result<(), Refusal> {
        if !inside(&envelope.by, tenant) || !self.tenants.contains_key(tenant) {
            return Err(Refusal::NoSuchTenant);
        }
        match found {
            Some((_, elsewhere)) if !inside(&envelope.by, elsewhere) => Err(Refusal::NotFound),
            Some((version, _)) => Err(mismatch(envelope, Some(version))),
            None => expect(envelope, 0),
        }
    }

    /// Whether there are operators who can log in now, all of them among `leaving`.
    fn locks_out(&self, leaving: impl Fn(&User) -> bool) -> bool {
        let open = |tenant| self.tenants.get(tenant).is_some_and(|tenant| !tenant.disabled);
        let mut able = self
            .users
            .values()
            .filter(|user| user.roles.has(Role::Operator) && !user.disabled && open(&user.tenant));
        let mut any = false;
        able.all(|user| {
            any = true;
            leaving(user)
        }) && any
    }
}

/// That the sender has seen the version there is.
fn expect(envelope: &Envelope, found: u64) -> Result<(), Refusal> {
    match envelope.expected_version == found {
        true => Ok(()),
        false => Err(mismatch(envelope, Some(found).filter(|found| *found > 0))),
    }
}

fn mismatch(envelope: &Envelope, found: Option<u64>) -> Refusal {
    match found {
        Some(found) => Refusal::Conflict {
            expected: envelope.expected_version,
            found,
        },
        None => Refusal::NotFound,
    }
}

/// Whether the sender's wall is around `tenant`.
fn inside(by: &By, tenant: &TenantId) -> bool {
    by.tenant.as_ref().is_none_or(|wall| wall == tenant)
}

fn operators_only(envelope: &Envelope) -> Result<(), Refusal> {
    if envelope.by.tenant.is_some() {
        Err(Refusal::OperatorsOnly)
    } else {
        Ok(())
    }
}

/// That the sender may make, or change, somebody with these roles: a tenant's admin neither makes operators, nor
/// takes one over by its password, nor revokes an operator's key.
fn may_grant(envelope: &Envelope, roles: Roles) -> Result<(), Refusal> {
    if roles.has(Role::Operator) {
        operators_only(envelope)
    } else {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod fixture;
