//! `GET, POST /api/v1/tenants`.

use std::num::NonZeroU32;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::manage::{listed, request_id};
use crate::auth::manage::ManageError;
use crate::control::{Command, Refusal, Tenant};
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::web::extract::{Caller, JsonBody};
use crate::web::{ApiError, AppState, Json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTenant {
    id: String,
    name: Option<String>,
    events_per_second: Option<NonZeroU32>,
}

/// An operator sees all tenants, an admin its own.
pub(super) async fn list(State(state): State<AppState>, Caller(principal): Caller) -> Response {
    let control = state.control.state();
    let tenants = control
        .tenants()
        .map(AsRef::as_ref)
        .filter(|tenant: &&Tenant| principal.is_operator() || tenant.id == *principal.tenant());
    listed(tenants, |tenant| tenant.id.as_str(), shown)
}

pub(super) async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewTenant>,
) -> Result<Response, ApiError> {
    let Some(id) = TenantId::parse(&new.id) else {
        let detail = "must be 1 to 63 of a-z, 0-9, - and _, and begin with a letter or a digit";
        return Err(ApiError::invalid(
            StatusCode::UNPROCESSABLE_ENTITY,
            vec![Problem::new("/id", detail)],
        ));
    };
    let request = request_id(&headers, &state, &principal, "POST /api/v1/tenants", &id);
    let name = new.name.unwrap_or_else(|| new.id.clone());
    let command = Command::CreateTenant {
        name,
        events_per_second: new.events_per_second,
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
        "events_per_second": tenant.events_per_second,
        "version": tenant.version,
    })
}
