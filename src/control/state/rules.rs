//! What every command is asked first: whether its sender's wall is around what it is about, has seen the present
//! version of it, and may do so.

use std::sync::Arc;

use super::shelf::Shelf;
use super::{EXPORTS_MAX, Refusal, SCHEMAS_MAX, SEARCHES_MAX, State, USERS_MAX};
use crate::control::command::{By, Command, Envelope};
use crate::control::entity::{Owned, parse_schema_id};
use crate::control::role::{Role, Roles};
use crate::event::TenantId;

/// The entity's new version.
pub(super) type Decision = Result<u64, Refusal>;

impl State {
    /// That something new may stand in `tenant` beside what is on `shelf`. What exists beyond the sender's wall is not
    /// told apart from a tenant that does not exist.
    pub(super) fn expect_room<T: Owned>(
        &self,
        envelope: &Envelope,
        tenant: &TenantId,
        shelf: &Shelf<T>,
        max: usize,
    ) -> Result<(), Refusal> {
        self.expect_tenant(envelope, tenant)?;
        match shelf.get(&envelope.id) {
            Some(found) if !inside(&envelope.by, found.tenant()) => Err(Refusal::NotFound),
            Some(found) => Err(mismatch(envelope, Some(found.version()))),
            None => expect(envelope, 0),
        }?;
        match shelf.count(tenant) < max {
            true => Ok(()),
            false => Err(Refusal::TooMany { max }),
        }
    }

    /// That a tenant has as many as it may of what a command would make, where that is so by now. What makes room may be
    /// on its way; whoever is told so can ask again.
    pub fn has_no_room(&self, envelope: &Envelope) -> Option<Refusal> {
        use Command::{CreateExport, CreateKey, CreateSearch, CreateUser, PutSchema};
        let room = match &envelope.command {
            CreateUser { tenant, .. } => self.expect_room(envelope, tenant, &self.users, USERS_MAX),
            CreateKey { tenant, .. } => self.expect_room(envelope, tenant, &self.keys, self.keys_max(tenant)),
            CreateSearch { tenant, .. } => self.expect_room(envelope, tenant, &self.searches, SEARCHES_MAX),
            CreateExport { tenant, .. } => self.expect_room(envelope, tenant, &self.exports, EXPORTS_MAX),
            PutSchema { .. } => match parse_schema_id(&envelope.id) {
                Some((tenant, _)) => self.expect_room(envelope, &tenant, &self.schemas, SCHEMAS_MAX),
                None => Ok(()),
            },
            _ => Ok(()),
        };
        room.err()
            .filter(|refusal| matches!(refusal, Refusal::TooMany { .. }))
    }

    /// That the tenant exists within the sender's wall.
    pub(super) fn expect_tenant(&self, envelope: &Envelope, tenant: &TenantId) -> Result<(), Refusal> {
        match inside(&envelope.by, tenant) && self.tenants.contains_key(tenant) {
            true => Ok(()),
            false => Err(Refusal::NoSuchTenant),
        }
    }
}

/// What the command is about, in the version that its sender has seen.
pub(super) fn seen<'a, T: Owned>(shelf: &'a Shelf<T>, envelope: &Envelope) -> Result<&'a Arc<T>, Refusal> {
    let found = within(shelf, envelope)?;
    expect(envelope, found.version())?;
    Ok(found)
}

/// What the command is about, in whatever version.
pub(super) fn within<'a, T: Owned>(shelf: &'a Shelf<T>, envelope: &Envelope) -> Result<&'a Arc<T>, Refusal> {
    let found = shelf.get(&envelope.id);
    found
        .filter(|found| inside(&envelope.by, found.tenant()))
        .ok_or(Refusal::NotFound)
}

/// Takes what the command is about away.
pub(super) fn delete<T: Owned>(shelf: &mut Shelf<T>, envelope: &Envelope) -> Decision {
    let version = seen(shelf, envelope)?.version() + 1;
    shelf.remove(&envelope.id);
    Ok(version)
}

/// That the sender has seen the version there is.
pub(super) fn expect(envelope: &Envelope, found: u64) -> Result<(), Refusal> {
    match envelope.expected_version == found {
        true => Ok(()),
        false => Err(mismatch(envelope, Some(found).filter(|found| *found > 0))),
    }
}

pub(super) fn mismatch(envelope: &Envelope, found: Option<u64>) -> Refusal {
    match found {
        Some(found) => Refusal::Conflict {
            expected: envelope.expected_version,
            found,
        },
        None => Refusal::NotFound,
    }
}

/// Whether the sender's wall is around `tenant`.
pub(super) fn inside(by: &By, tenant: &TenantId) -> bool {
    by.tenant.as_ref().is_none_or(|wall| wall == tenant)
}

pub(super) fn operators_only(envelope: &Envelope) -> Result<(), Refusal> {
    match envelope.by.tenant {
        Some(_) => Err(Refusal::OperatorsOnly),
        None => Ok(()),
    }
}

/// That the sender may make, or change, somebody with these roles: a tenant's admin neither makes operators, nor
/// takes one over by its password, nor revokes an operator's key.
pub(super) fn may_grant(envelope: &Envelope, roles: Roles) -> Result<(), Refusal> {
    match roles.has(Role::Operator) {
        true => operators_only(envelope),
        false => Ok(()),
    }
}
