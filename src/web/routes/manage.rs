//! What tenants, users and keys have in common: how they are listed, and who may make them for whom.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::auth::Principal;
use crate::control::Permission;
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::web::extract::{idempotency_key, unknown_parameter};
use crate::web::{ApiError, AppState, Json};

/// Which tenants' entities a list shows.
pub(super) struct Visible<'a> {
    principal: &'a Principal,
    tenant: Option<TenantId>,
}

impl<'a> Visible<'a> {
    /// All that the caller may manage, or, with the parameter `tenant_id`, that tenant's alone.
    pub(super) fn of(
        state: &AppState,
        principal: &'a Principal,
        params: &[(String, String)],
    ) -> Result<Self, ApiError> {
        let (mut tenant, mut problems) = (None, Vec::new());
        for (name, value) in params {
            match (name.as_str(), TenantId::parse(value)) {
                ("tenant_id", _) if tenant.is_some() => {
                    problems.push(Problem::new(name, "given more than once"));
                }
                ("tenant_id", Some(named)) => tenant = Some(named),
                ("tenant_id", None) => problems.push(Problem::new(name, "not the name of a tenant")),
                _ => problems.push(unknown_parameter(name)),
            }
        }
        if !problems.is_empty() {
            return Err(ApiError::invalid(StatusCode::BAD_REQUEST, problems));
        }
        if let Some(named) = &tenant {
            tenant_for(principal, Some(named.clone()))?;
            existing(state, principal, named)?;
        }
        Ok(Self { principal, tenant })
    }

    /// Whether it shows what belongs to `tenant`.
    pub(super) fn has(&self, tenant: &TenantId) -> bool {
        self.tenant.as_ref().is_none_or(|only| only == tenant)
            && self.principal.can_in(tenant, Permission::Manage)
    }
}

/// 404 for an operator who names a tenant that does not exist. Others learn nothing of tenants that are not theirs.
pub(super) fn existing(state: &AppState, principal: &Principal, tenant: &TenantId) -> Result<(), ApiError> {
    match principal.is_operator() && state.control.state().tenant(tenant).is_none() {
        true => Err(ApiError::not_found(format!("There is no tenant {tenant}."))),
        false => Ok(()),
    }
}

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
) -> Result<Uuid, ApiError> {
    Ok(match idempotency_key(headers)? {
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
    })
}
