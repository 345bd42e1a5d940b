//! `GET, POST /api/v1/keys`, `DELETE /api/v1/keys/{id}`.

use std::num::NonZeroU32;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::manage::{Visible, listed, request_id, tenant_for};
use super::{Access::Needs, Budget, Route, delete, get, post};
use crate::auth::NewKey;
use crate::clock::Timestamp;
use crate::control::{ApiKey, Command, Limits, Permission, Roles};
use crate::event::TenantId;
use crate::web::extract::{Caller, Id, Params};
use crate::web::object::{FromObject, JsonBody, Object, date, rate, roles, tenant, text};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/keys", Needs(Permission::Manage, Budget::Free), list),
        post("/api/v1/keys", Needs(Permission::Manage, Budget::Free), create),
        delete(
            "/api/v1/keys/{id}",
            Needs(Permission::Manage, Budget::Free),
            revoke,
        ),
    ]
}

pub(super) struct Wanted {
    name: String,
    roles: Roles,
    tenant_id: Option<TenantId>,
    expires_at: Option<Timestamp>,
    events_per_second: Option<NonZeroU32>,
}

impl FromObject for Wanted {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let (name, roles) = (object.needed("name", text), object.needed("roles", roles));
        let tenant_id = object.optional("tenant_id", tenant);
        let expires_at = object.optional("expires_at", date);
        let events_per_second = object.optional("events_per_second", rate);
        Some(Self {
            name: name?,
            roles: roles?,
            tenant_id,
            expires_at,
            events_per_second,
        })
    }
}

/// An operator sees all keys, an admin its tenant's; never their text.
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let visible = Visible::of(&state, &principal, &params)?;
    let control = state.control.state();
    let keys = control
        .keys()
        .map(AsRef::as_ref)
        .filter(|key: &&ApiKey| visible.has(&key.tenant));
    Ok(listed(keys, |key| &key.id, shown))
}

/// 201 with the key's text in `key`, this once.
pub(super) async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, ApiError> {
    let new = NewKey {
        name: wanted.name,
        tenant: tenant_for(&principal, wanted.tenant_id)?,
        roles: wanted.roles,
        expires_at: wanted.expires_at,
        limit: None,
        limits: Limits {
            events_per_second: wanted.events_per_second,
            ..Limits::default()
        },
    };
    let request = request_id(&headers, &state, &principal, "POST /api/v1/keys", &new.tenant)?;
    let (id, text) = state.auth.create_key(&principal, request, new).await?;
    let control = state.control.state();
    let mut body = control
        .key(&id)
        .map_or_else(|| json!({"id": id}), |key| shown(key));
    if let Some(text) = text {
        body["key"] = text.expose_secret().into();
    }
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::CREATED, no_store, Json(body)).into_response())
}

pub(super) async fn revoke(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let control = state.control.state();
    let key = control
        .key(&id)
        .filter(|key| principal.can_in(&key.tenant, Permission::Manage));
    let version = key
        .map(|key| key.version)
        .ok_or_else(|| ApiError::not_found("There is no such key."))?;
    state
        .auth
        .change(
            &principal,
            state.clock.fresh_id(),
            version,
            &id,
            Command::RevokeKey {},
        )
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn shown(key: &ApiKey) -> Value {
    json!({
        "id": &*key.id,
        "name": &*key.name,
        "tenant_id": key.tenant,
        "roles": key.roles,
        "expires_at": key.expires_at,
        "events_per_second": key.limits.events_per_second,
        "version": key.version,
    })
}
