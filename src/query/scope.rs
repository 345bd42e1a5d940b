//! Whose events a question may see: the fence that stands before every filter.

use super::QueryError;
use crate::auth::Principal;
use crate::control::{Permission, Reads};
use crate::event::TenantId;

/// One tenant, and within it perhaps one actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    tenant: TenantId,
    own: Option<String>,
}

impl Scope {
    /// What a principal may read in the tenant it names, or in its own. [`QueryError::Forbidden`] when that is
    /// nothing; the answer does not tell whether the tenant exists.
    pub fn of(principal: &Principal, tenant: Option<&TenantId>) -> Result<Self, QueryError> {
        let tenant = tenant.unwrap_or_else(|| principal.tenant());
        if !principal.can_in(tenant, Permission::Read) {
            return Err(QueryError::Forbidden(
                "You may not read this tenant's events.".to_owned(),
            ));
        }
        let own = match principal.reads() {
            Reads::All => None,
            Reads::Own => Some(principal.actor_id().to_owned()),
            Reads::Nothing => return Err(QueryError::Forbidden("You may not read events.".to_owned())),
        };
        Ok(Self {
            tenant: tenant.clone(),
            own,
        })
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The `actor.id` to which reading is confined.
    pub fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    #[cfg(test)]
    pub(crate) fn for_test(tenant: &TenantId, own: Option<&str>) -> Self {
        Self {
            tenant: tenant.clone(),
            own: own.map(str::to_owned),
        }
    }
}
