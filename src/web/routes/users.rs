//! `GET, POST /api/v1/users`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::manage::{Visible, listed, request_id, tenant_for};
use super::{Access::Needs, Budget, Route, get, post};
use crate::auth::NewUser;
use crate::control::Permission::Manage;
use crate::control::{Roles, User};
use crate::event::TenantId;
use crate::web::extract::{Caller, Params};
use crate::web::object::{FromObject, JsonBody, Object, roles, secret, tenant, text};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/users", Needs(Manage, Budget::Free), list),
        post("/api/v1/users", Needs(Manage, Budget::Free), create),
    ]
}

pub(super) struct Wanted {
    name: String,
    password: SecretString,
    roles: Roles,
    tenant_id: Option<TenantId>,
}

impl FromObject for Wanted {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let (name, password) = (object.needed("name", text), object.needed("password", secret));
        let roles = object.needed("roles", roles);
        let tenant_id = object.optional("tenant_id", tenant);
        Some(Self {
            name: name?,
            password: password?,
            roles: roles?,
            tenant_id,
        })
    }
}

/// An operator sees everybody, an admin its tenant's.
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let visible = Visible::of(&state, &principal, &params)?;
    let control = state.control.state();
    let users = control
        .users()
        .map(AsRef::as_ref)
        .filter(|user: &&User| visible.has(&user.tenant));
    Ok(listed(users, |user| &user.name, shown))
}

pub(super) async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, ApiError> {
    let new = NewUser {
        name: wanted.name,
        tenant: tenant_for(&principal, wanted.tenant_id)?,
        roles: wanted.roles,
        limit: None,
        password: Some(wanted.password),
    };
    let request = request_id(&headers, &state, &principal, "POST /api/v1/users", &new.tenant)?;
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
