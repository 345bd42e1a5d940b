//! What every command is asked first: whether its sender's wall is around what it is about, has seen the present
//! version of it, and may do so.

use std::sync::Arc;

use super::shelf::Shelf;
use super::{Refusal, State};
use crate::control::command::{By, Envelope};
use crate::control::entity::Owned;
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
