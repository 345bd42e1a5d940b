//! What tenants, users and keys have in common: how they are listed, and who may make them for whom.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::auth::Principal;
use crate::control::Permission;
use crate::event::TenantId;
use crate::web::{ApiError, AppState, Json};

/// All of `entities`, in the order of what `name` says of them.
pub(super) fn listed<'a, T: 'a>(
    entities: impl Iterator<Item = &'a T>,
    name: impl Fn(&T) -> &str,
    shown: impl Fn(&T) -> Value,
) -> Response {
    let mut entities: Vec<&T> = entities.collect();
    entities.sort_by(|a, b| name(a).cmp(name(b)));
    let data: Vec<Value> = entities.into_iter().map(shown).collect();
    Json(json!({"data": data})).into_response()
}

/// The tenant that is meant: the caller's own, or, for operators, the one they name.
pub(super) fn tenant_for(principal: &Principal, named: Option<TenantId>) -> Result<TenantId, ApiError> {
    let tenant = named.unwrap_or_else(|| principal.tenant().clone());
    match principal.can_in(&tenant, Permission::Manage) {
        true => Ok(tenant),
        false => Err(ApiError::forbidden("Only an operator may manage another tenant.")),
    }
}

/// The same `Idempotency-Key` of the same caller, on the same route (as `POST /path`) and for the same tenant, is the
/// same request: it gets the first answer.
pub(super) fn request_id(
    headers: &HeaderMap,
    state: &AppState,
    principal: &Principal,
    route: &str,
    tenant: &TenantId,
) -> Uuid {
    match headers.get("idempotency-key") {
        None => state.clock.fresh_id(),
        Some(key) => {
            let parts = [
                principal.id().as_bytes(),
                route.as_bytes(),
                tenant.as_str().as_bytes(),
                key.as_bytes(),
            ];
            let name = parts.join(&0);
            Uuid::new_v5(&Uuid::NAMESPACE_OID, &name)
        }
    }
}
