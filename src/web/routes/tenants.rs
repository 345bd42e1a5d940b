//! `GET, POST /api/v1/tenants`.

use std::num::NonZeroU32;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::manage::{Visible, listed, request_id};
use super::{Access::Needs, Budget, Route, get, post};
use crate::auth::manage::ManageError;
use crate::control::Permission::{Manage, Tenants};
use crate::control::{Command, Limits, Refusal, Tenant};
use crate::event::TenantId;
use crate::web::extract::{Caller, Params};
use crate::web::object::{FromObject, JsonBody, Object, rate, tenant, text};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/tenants", Needs(Manage, Budget::Free), list),
        post("/api/v1/tenants", Needs(Tenants, Budget::Free), create),
    ]
}

pub(super) struct NewTenant {
    id: TenantId,
    name: Option<String>,
    events_per_second: Option<NonZeroU32>,
}

impl FromObject for NewTenant {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let id = object.needed("id", tenant);
        let name = object.optional("name", text);
        let events_per_second = object.optional("events_per_second", rate);
        Some(Self {
            id: id?,
            name,
            events_per_second,
        })
    }
}

/// An operator sees all tenants, an admin its own.
pub(super) async fn list(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let visible = Visible::of(&state, &principal, &params)?;
    let control = state.control.state();
    let tenants = control
        .tenants()
        .map(AsRef::as_ref)
        .filter(|tenant: &&Tenant| visible.has(&tenant.id));
    Ok(listed(tenants, |tenant| tenant.id.as_str(), shown))
}

pub(super) async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewTenant>,
) -> Result<Response, ApiError> {
    let id = new.id;
    let request = request_id(&headers, &state, &principal, "POST /api/v1/tenants", &id)?;
    let name = new.name.unwrap_or_else(|| id.to_string());
    let command = Command::CreateTenant {
        name,
        limits: Limits {
            events_per_second: new.events_per_second,
            ..Limits::default()
        },
    };
    state
        .auth
        .change(&principal, request, 0, id.as_str(), command)
        .await
        .map_err(|error| match error {
            ManageError::Refused(Refusal::Conflict { .. }) => {
                ApiError::conflict("/id", format!("there is a tenant {id} already"))
            }
            error => error.into(),
        })?;
    let control = state.control.state();
    let body = control.tenant(&id).map(|tenant| shown(tenant));
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn shown(tenant: &Tenant) -> Value {
    json!({
        "id": tenant.id,
        "name": tenant.name,
        "events_per_second": tenant.limits.events_per_second,
        "version": tenant.version,
    })
}
