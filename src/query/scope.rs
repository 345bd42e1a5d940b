//! Whose events a question may see: the fence that stands before every filter.

use std::sync::Arc;

use super::QueryError;
use super::filter::Filter;
use super::limit::Limit;
use crate::auth::Principal;
use crate::control::{Permission, Reads};
use crate::event::TenantId;

/// One tenant, within it perhaps one actor, and perhaps what a grant's limit lets through.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    tenant: TenantId,
    own: Option<String>,
    limit: Option<Limit>,
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
        Self::restricted(tenant.clone(), own, limit_of(principal))
    }

    /// A tenant, and what was said of the asker when it was known. [`QueryError::Forbidden`] when the limit can't be read.
    pub fn restricted(
        tenant: TenantId,
        own: Option<String>,
        limit: Option<&Arc<str>>,
    ) -> Result<Self, QueryError> {
        let unreadable = || {
            let why = "Your reading is limited by a filter that can't be read: an admin must mend the limit of your grant.";
            QueryError::Forbidden(why.to_owned())
        };
        let limit = limit
            .map(|text| Limit::of(text).ok_or_else(unreadable))
            .transpose()?;
        Ok(Self { tenant, own, limit })
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The `actor.id` to which reading is confined.
    pub fn own(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// What everything that is read must satisfy.
    pub fn limit(&self) -> Option<&Filter> {
        self.limit.as_ref().map(Limit::filter)
    }

    /// The same as it was written.
    pub fn limit_text(&self) -> Option<&str> {
        self.limit.as_ref().map(Limit::text)
    }

    /// Whether some events of the tenant are out of sight.
    pub fn is_restricted(&self) -> bool {
        self.own.is_some() || self.limit.is_some()
    }

    #[cfg(test)]
    pub(crate) fn for_test(tenant: &TenantId, own: Option<&str>) -> Self {
        Self {
            tenant: tenant.clone(),
            own: own.map(str::to_owned),
            limit: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn limited(self, limit: &str) -> Self {
        Self::restricted(self.tenant, self.own, Some(&limit.into())).unwrap()
    }
}

fn limit_of(_principal: &Principal) -> Option<&Arc<str>> {
    None
}
