//! Whose events a question may see: the fence that stands before every filter.

use std::sync::Arc;

use super::QueryError;
use super::filter::Filter;
use super::limit::Limit;
use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::control::{Permission, Reads, State};
use crate::event::TenantId;

/// One tenant, within it perhaps one actor, and perhaps what a grant's limit lets through; nothing that was cleaned up.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    tenant: TenantId,
    own: Option<String>,
    limit: Option<Limit>,
    visible_from: Option<Timestamp>,
}

impl Scope {
    /// What a principal may read in the tenant it names, or in its own. [`QueryError::Forbidden`] when that is
    /// nothing; the answer does not tell whether the tenant exists.
    pub fn of(principal: &Principal, tenant: Option<&TenantId>, state: &State) -> Result<Self, QueryError> {
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
        Self::restricted(tenant.clone(), own, principal.limit(), state)
    }

    /// A tenant, and what was said of the asker when it was known. [`QueryError::Forbidden`] when the limit can't be read.
    pub fn restricted(
        tenant: TenantId,
        own: Option<String>,
        limit: Option<&Arc<str>>,
        state: &State,
    ) -> Result<Self, QueryError> {
        let unreadable = || {
            let why = "Your reading is limited by a filter that can't be read: an admin must mend the limit of your grant.";
            QueryError::Forbidden(why.to_owned())
        };
        let limit = limit
            .map(|text| Limit::of(text).ok_or_else(unreadable))
            .transpose()?;
        let visible_from = state.visible_from(&tenant);
        Ok(Self {
            tenant,
            own,
            limit,
            visible_from,
        })
    }

    /// All of the tenant that anybody may see.
    pub fn whole(&self) -> Self {
        Self {
            own: None,
            limit: None,
            ..self.clone()
        }
    }

    /// Takes in what was cleaned up since.
    pub fn renew(&mut self, state: &State) {
        self.visible_from = self.visible_from.max(state.visible_from(&self.tenant));
    }

    /// From when on there are events for anybody: earlier ones were cleaned up.
    pub fn visible_from(&self) -> Option<Timestamp> {
        self.visible_from
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
            visible_from: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn limited(self, limit: &str) -> Self {
        Self::restricted(self.tenant, self.own, Some(&limit.into()), &State::default()).unwrap()
    }

    #[cfg(test)]
    pub(crate) fn from(self, visible_from: Timestamp) -> Self {
        Self {
            visible_from: Some(visible_from),
            ..self
        }
    }
}
