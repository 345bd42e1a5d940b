//! `GET, POST /api/v1/keys`, `GET, PATCH, DELETE /api/v1/keys/{id}`. A deleted key is a revoked one, for good.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::manage::{
    Changeable, Removable, Resource, etag, list, made, may_grant, one, remove, request_id, update,
};
use super::whose::tenant_of;
use super::{
    Access::Needs,
    Budget::{Free, Managing},
    Route, delete, get, patch, post,
};
use crate::auth::{NewKey, Principal};
use crate::clock::Timestamp;
use crate::control::Permission::{self, Manage};
use crate::control::{self, ApiKey, Command, Limits, LimitsPatch, Patch, Roles};
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::web::doc::Doc;
use crate::web::extract::Caller;
use crate::web::object::{
    FromObject, JsonBody, Object, date, key_roles, label, limit, rates, rates_patch, tenant,
};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/keys", Needs(Manage, Free), list::<Keys>)
            .doc(said("listKeys", "List API keys").lists("KeyPage")),
        post("/api/v1/keys", Needs(Manage, Managing), create)
            .doc(said("createKey", "Make an API key").text("Its text is in `key`, this once: sent again under the same `Idempotency-Key`, the request is answered without it.").takes("KeyToMake").makes("Key")),
        get("/api/v1/keys/{id}", Needs(Manage, Free), one::<Keys>).doc(said("getKey", "Get an API key").shows("Key")),
        patch("/api/v1/keys/{id}", Needs(Manage, Managing), update::<Keys>)
            .doc(said("updateKey", "Change an API key").takes("KeyPatch").changes("Key")),
        delete("/api/v1/keys/{id}", Needs(Manage, Managing), remove::<Keys>)
            .doc(said("revokeKey", "Revoke an API key").text("For good.").removes()),
    ]
}

fn said(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, "Access", summary)
}

/// API keys, never their text: an operator sees those of every tenant, an admin its own.
struct Keys;

impl Resource for Keys {
    type Entity = ApiKey;
    const NOUN: &'static str = "key";
    const SEEN_WITH: Permission = Manage;

    fn found<'a>(state: &'a control::State, id: &str) -> Option<&'a Arc<ApiKey>> {
        state.key(id)
    }

    fn of_tenant<'a>(state: &'a control::State, tenant: &TenantId) -> Vec<&'a Arc<ApiKey>> {
        state.keys_of(tenant).collect()
    }

    fn tenant(key: &ApiKey) -> &TenantId {
        &key.tenant
    }

    fn version(key: &ApiKey) -> u64 {
        key.version
    }

    fn place(key: &ApiKey) -> String {
        format!("{}\0{}", key.name, key.id)
    }

    fn shown(key: &ApiKey) -> Value {
        json!({
            "id": &*key.id,
            "name": &*key.name,
            "tenant_id": key.tenant,
            "roles": key.roles,
            "limit": key.limit.as_deref(),
            "expires_at": key.expires_at,
            "events_per_second": key.limits.events_per_second,
            "searches_per_second": key.limits.searches_per_second,
            "exports_at_once": key.limits.exports_at_once,
            "revoked_at": key.revoked_at,
            "created_by": &*key.created_by,
            "version": key.version,
            "created_at": key.created_at,
        })
    }
}

impl Removable for Keys {
    fn removal() -> Command {
        Command::RevokeKey
    }
}

struct Changes {
    name: Option<String>,
    limit: Patch<String>,
    limits: LimitsPatch,
    expires_at: Patch<Timestamp>,
}

impl FromObject for Changes {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        Some(Self {
            name: object.changed("name", label),
            limit: object.patched("limit", limit),
            limits: rates_patch(object),
            expires_at: object.patched("expires_at", date),
        })
    }
}

impl Changeable for Keys {
    type Patch = Changes;

    fn change(by: &Principal, changes: Changes, now: Timestamp) -> Result<Command, ApiError> {
        may_grant(by)?;
        if matches!(changes.expires_at, Patch::Set(end) if end <= now) {
            let problem = Problem::new("/expires_at", "lies in the past: to end a key, delete it");
            return Err(ApiError::invalid(StatusCode::UNPROCESSABLE_ENTITY, vec![problem]));
        }
        Ok(Command::UpdateKey {
            name: changes.name,
            limit: changes.limit,
            limits: changes.limits,
            expires_at: changes.expires_at,
        })
    }
}

struct Wanted {
    name: String,
    roles: Roles,
    limit: Option<String>,
    tenant_id: Option<TenantId>,
    expires_at: Option<Timestamp>,
    limits: Limits,
}

impl FromObject for Wanted {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let (name, roles) = (object.needed("name", label), object.needed("roles", key_roles));
        let limit = object.optional("limit", limit);
        let tenant_id = object.optional("tenant_id", tenant);
        let expires_at = object.optional("expires_at", date);
        let limits = rates(object);
        Some(Self {
            name: name?,
            roles: roles?,
            limit,
            tenant_id,
            expires_at,
            limits,
        })
    }
}

/// 201 with the key's text in `key`, this once.
async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, ApiError> {
    may_grant(&principal)?;
    let new = NewKey {
        name: wanted.name,
        tenant: tenant_of(&state, &principal, Manage, wanted.tenant_id)?,
        roles: wanted.roles,
        limit: wanted.limit,
        expires_at: wanted.expires_at,
        limits: wanted.limits,
    };
    let request = request_id(&headers, &state, &principal, "POST /api/v1/keys", &new.tenant)?;
    let (id, text) = state.auth.create_key(&principal, request, new).await?;
    let control = state.control.state();
    let (Some(key), Some(text)) = (control.key(&id), text) else {
        return made::<Keys>(&state, &id);
    };
    let mut body = Keys::shown(key);
    body["key"] = text.expose_secret().into();
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::CREATED, [no_store, etag(&Keys::tag(key))], Json(body)).into_response())
}
