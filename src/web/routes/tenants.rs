//! `GET, POST /api/v1/tenants`, `GET, PATCH /api/v1/tenants/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::manage::{Changeable, Resource, list, made, one, request_id, update};
use super::{
    Access::Needs,
    Budget::{Free, Managing},
    Route, get, patch, post,
};
use crate::auth::Principal;
use crate::auth::manage::ManageError;
use crate::clock::Timestamp;
use crate::control::Permission::{self, Manage, Tenants as ManageTenants};
use crate::control::{self, Command, Limits, LimitsPatch, Refusal, Tenant};
use crate::event::TenantId;
use crate::web::doc::Doc;
use crate::web::extract::Caller;
use crate::web::object::{FromObject, JsonBody, Object, flag, label, rates, rates_patch, tenant};
use crate::web::{ApiError, AppState};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/tenants", Needs(Manage, Free), list::<Tenants>).doc(
            said("listTenants", "List tenants")
                .text("An operator sees all of them, an admin its own.")
                .lists("TenantPage"),
        ),
        post("/api/v1/tenants", Needs(ManageTenants, Managing), create).doc(
            said("createTenant", "Make a tenant")
                .takes("TenantToMake")
                .makes("Tenant"),
        ),
        get("/api/v1/tenants/{id}", Needs(Manage, Free), one::<Tenants>)
            .doc(said("getTenant", "Get a tenant").shows("Tenant")),
        patch(
            "/api/v1/tenants/{id}",
            Needs(ManageTenants, Managing),
            update::<Tenants>,
        )
        .doc(
            said("updateTenant", "Change a tenant")
                .takes("TenantPatch")
                .changes("Tenant"),
        ),
    ]
}

fn said(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, "Tenants", summary)
}

/// Tenants: an operator sees all, an admin its own.
struct Tenants;

impl Resource for Tenants {
    type Entity = Tenant;
    const NOUN: &'static str = "tenant";
    const SEEN_WITH: Permission = Manage;
    const LISTS_ALL: bool = true;

    fn found<'a>(state: &'a control::State, id: &str) -> Option<&'a Arc<Tenant>> {
        state.tenant(&TenantId::parse(id)?)
    }

    fn of_tenant<'a>(state: &'a control::State, tenant: &TenantId) -> Vec<&'a Arc<Tenant>> {
        state.tenant(tenant).into_iter().collect()
    }

    fn tenant(tenant: &Tenant) -> &TenantId {
        &tenant.id
    }

    fn version(tenant: &Tenant) -> u64 {
        tenant.version
    }

    fn place(tenant: &Tenant) -> String {
        tenant.id.to_string()
    }

    fn shown(tenant: &Tenant) -> Value {
        json!({
            "id": tenant.id,
            "name": tenant.name,
            "disabled": tenant.disabled,
            "events_per_second": tenant.limits.events_per_second,
            "searches_per_second": tenant.limits.searches_per_second,
            "exports_at_once": tenant.limits.exports_at_once,
            "visible_from": tenant.visible_from,
            "version": tenant.version,
            "created_at": tenant.created_at,
        })
    }
}

struct Changes {
    name: Option<String>,
    limits: LimitsPatch,
    disabled: Option<bool>,
}

impl FromObject for Changes {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        Some(Self {
            name: object.changed("name", label),
            limits: rates_patch(object),
            disabled: object.changed("disabled", flag),
        })
    }
}

impl Changeable for Tenants {
    type Patch = Changes;

    fn change(_: &Principal, changes: Changes, _: Timestamp) -> Result<Command, ApiError> {
        Ok(Command::UpdateTenant {
            name: changes.name,
            limits: changes.limits,
            disabled: changes.disabled,
        })
    }
}

pub(super) struct NewTenant {
    id: TenantId,
    name: Option<String>,
    limits: Limits,
}

impl FromObject for NewTenant {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let id = object.needed("id", tenant);
        let name = object.optional("name", label);
        let limits = rates(object);
        Some(Self {
            id: id?,
            name,
            limits,
        })
    }
}

async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewTenant>,
) -> Result<Response, ApiError> {
    let id = new.id;
    let request = request_id(&headers, &state, &principal, "POST /api/v1/tenants", &id)?;
    let command = Command::CreateTenant {
        name: new.name.unwrap_or_else(|| id.to_string()),
        limits: new.limits,
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
    made::<Tenants>(&state, id.as_str())
}
