//! Whose things a request is about: the caller's own tenant, or, for operators, the one they name.

use crate::auth::Principal;
use crate::control::Permission;
use crate::event::TenantId;
use crate::web::{ApiError, AppState};

/// The tenant that is meant. The caller must be allowed this there, and for operators there must be one of that name.
pub(super) fn tenant_of(
    state: &AppState,
    principal: &Principal,
    permission: Permission,
    named: Option<TenantId>,
) -> Result<TenantId, ApiError> {
    let tenant = named.unwrap_or_else(|| principal.tenant().clone());
    if !principal.can_in(&tenant, permission) {
        return Err(ApiError::forbidden("Only an operator may name another tenant."));
    }
    existing(state, principal, Some(&tenant))?;
    Ok(tenant)
}

/// 404 for an operator who names a tenant that does not exist. Others learn nothing of tenants that are not theirs.
pub(super) fn existing(
    state: &AppState,
    principal: &Principal,
    named: Option<&TenantId>,
) -> Result<(), ApiError> {
    match named {
        Some(tenant) if principal.is_operator() && state.control.state().tenant(tenant).is_none() => {
            Err(ApiError::not_found(format!("There is no tenant {tenant}.")))
        }
        _ => Ok(()),
    }
}
