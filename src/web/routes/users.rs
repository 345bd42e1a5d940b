//! `GET, POST /api/v1/users`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::auth::{NewUser, Principal};
use crate::control::{Permission, Role, Roles, User};
use crate::event::TenantId;
use crate::web::extract::{Caller, JsonBody};
use crate::web::{ApiError, AppState, Json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    name: String,
    password: SecretString,
    roles: Vec<Role>,
    tenant_id: Option<TenantId>,
}

/// An operator sees everybody, an admin its tenant's.
pub(super) async fn list(State(state): State<AppState>, Caller(principal): Caller) -> Response {
    let control = state.control.state();
    let mut users: Vec<_> = control
        .users()
        .filter(|user| principal.can_in(&user.tenant, Permission::Manage))
        .collect();
    users.sort_by(|a, b| a.name.cmp(&b.name));
    let data: Vec<Value> = users.into_iter().map(|user| shown(user)).collect();
    Json(json!({"data": data})).into_response()
}

pub(super) async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, ApiError> {
    let tenant = tenant_for(&principal, wanted.tenant_id)?;
    let request = request_id(&headers, &state, &principal);
    let roles = Roles::of(&wanted.roles);
    let new = NewUser {
        name: wanted.name,
        tenant,
        roles,
        password: wanted.password,
    };
    let id = state.auth.create_user(&principal, request, new).await?;
    let control = state.control.state();
    Ok((
        StatusCode::CREATED,
        Json(control.user(&id).map(|user| shown(user))),
    )
        .into_response())
}

fn shown(user: &User) -> Value {
    json!({
        "id": &*user.id,
        "name": &*user.name,
        "tenant_id": user.tenant,
        "roles": user.roles,
        "version": user.version,
    })
}

/// The tenant that is meant: the caller's own, or, for operators, the one they name.
pub(super) fn tenant_for(principal: &Principal, named: Option<TenantId>) -> Result<TenantId, ApiError> {
    let tenant = named.unwrap_or_else(|| principal.tenant().clone());
    match principal.can_in(&tenant, Permission::Manage) {
        true => Ok(tenant),
        false => Err(ApiError::forbidden("Only an operator may manage another tenant.")),
    }
}

/// The same `Idempotency-Key` of the same caller is the same request: it gets the first answer.
pub(super) fn request_id(headers: &HeaderMap, state: &AppState, principal: &Principal) -> Uuid {
    match headers.get("idempotency-key") {
        None => state.clock.fresh_id(),
        Some(key) => {
            let name = [principal.id().as_bytes(), b"\0", key.as_bytes()].concat();
            Uuid::new_v5(&Uuid::NAMESPACE_OID, &name)
        }
    }
}
