//! `GET, POST /api/v1/exports`, `GET, DELETE /api/v1/exports/{id}`, `GET /api/v1/exports/{id}/file`: background exports.

mod file;
mod said;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::manage::page::{Listing, Paging};
use super::manage::precondition::is_known;
use super::manage::{Removable, Resource, etag, refuse_parameters, remove, request_id};
use super::search::with_saved_of;
use super::whose::tenant_of;
use super::{Access::Needs, Budget, Route, delete, get, post};
use crate::auth::Principal;
use crate::control::Permission::{self, Export as Exporting, Manage};
use crate::control::{self, Command, Export, ExportState};
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::exports::order;
use crate::query::params;
use crate::web::extract::{Caller, Id, Params};
use crate::web::object::{FromObject, JsonBody, Object, tenant, text};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/exports", Needs(Exporting, Budget::Free), list).doc(said::list()),
        post("/api/v1/exports", Needs(Exporting, Budget::Managing), create).doc(said::create()),
        get("/api/v1/exports/{id}", Needs(Exporting, Budget::Free), one).doc(said::one()),
        get(
            "/api/v1/exports/{id}/file",
            Needs(Exporting, Budget::Searching),
            file::file,
        )
        .doc(said::file()),
        delete("/api/v1/exports/{id}", Needs(Exporting, Budget::Managing), cancel).doc(said::cancel()),
    ]
}

struct Exports;

impl Resource for Exports {
    type Entity = Export;
    const NOUN: &'static str = "export";
    const SEEN_WITH: Permission = Exporting;

    fn found<'a>(state: &'a control::State, id: &str) -> Option<&'a Arc<Export>> {
        state.export(id)
    }

    fn of_tenant<'a>(state: &'a control::State, tenant: &TenantId) -> Vec<&'a Arc<Export>> {
        state.exports_of(tenant).collect()
    }

    fn tenant(export: &Export) -> &TenantId {
        &export.tenant
    }

    fn version(export: &Export) -> u64 {
        export.version
    }

    fn place(export: &Export) -> String {
        // The newest first.
        format!("{:020}\0{}", i64::MAX - export.created_at.micros(), export.id)
    }

    fn shown(export: &Export) -> Value {
        shown(export, None)
    }

    fn may_change(by: &Principal, export: &Export) -> Result<(), ApiError> {
        match *export.created_by == *by.who() || by.can_in(&export.tenant, Manage) {
            true => Ok(()),
            false => Err(ApiError::forbidden(
                "Somebody else asked for this export: ask an admin.",
            )),
        }
    }
}

impl Removable for Exports {
    fn removal() -> Command {
        Command::DeleteExport
    }
}

/// Who sees less than is in the file does not see that there is one.
fn may_have(state: &AppState, by: &Principal, export: &Export) -> bool {
    let scope = state.queries.scope(by, Some(&export.tenant));
    scope.is_ok_and(|scope| order::may_have(&scope, export))
}

fn no_such() -> ApiError {
    ApiError::not_found("There is no such export.")
}

fn find(state: &AppState, principal: &Principal, id: &str) -> Result<Arc<Export>, ApiError> {
    let control = state.control.state();
    let found = control
        .export(id)
        .filter(|export| may_have(state, principal, export));
    found.cloned().ok_or_else(no_such)
}

fn shown(export: &Export, state: Option<&AppState>) -> Value {
    let running = state.and_then(|state| state.exports.progress(&export.id));
    let (name, done, reason) = match &export.state {
        ExportState::Queued => ("queued", None, None),
        ExportState::Running => ("running", None, None),
        ExportState::Done {
            events,
            bytes,
            sha256,
            ..
        } => ("done", Some((*events, *bytes, sha256)), None),
        ExportState::Failed { reason } => ("failed", None, Some(reason)),
        ExportState::Expired => ("expired", None, None),
    };
    let progress = match (&done, &running) {
        (Some(_), _) => Some(1.0),
        (None, Some(running)) => running.share(),
        (None, None) => None,
    };
    let so_far = running.map(|running| (running.events(), running.bytes()));
    let counted = done.map(|(events, bytes, _)| (events, bytes)).or(so_far);
    json!({
        "id": &*export.id,
        "tenant_id": export.tenant,
        "query": order::asked(export),
        "format": &*export.format,
        "compression": export.compression.as_deref().unwrap_or("none"),
        "state": name,
        "progress": progress,
        "events": counted.map(|(events, _)| events),
        "bytes": counted.map(|(_, bytes)| bytes),
        "sha256": done.map(|(_, _, sha256)| &**sha256),
        "reason": reason.map(|reason| &**reason),
        "file": done.map(|_| format!("/api/v1/exports/{}/file", export.id)),
        "instance": &*export.instance,
        "created_by": &*export.created_by,
        "version": export.version,
        "created_at": export.created_at,
        "expires_at": export.expires_at,
    })
}

async fn list(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let Listing { tenant, paging } = Listing::of(&params)?;
    let tenant = tenant_of(&state, &principal, Exporting, tenant)?;
    let control = state.control.state();
    let seen = control
        .exports_of(&tenant)
        .filter(|export| may_have(&state, &principal, export));
    let placed = seen.map(|export| (Exports::place(export), export)).collect();
    Ok(Paging::answer(&paging, placed, |export| {
        shown(export, Some(&state))
    }))
}

async fn one(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(id): Id,
    Params(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    refuse_parameters(&params)?;
    let export = find(&state, &principal, &id)?;
    // While it is written, its answer changes and its version does not.
    if matches!(export.state, ExportState::Queued | ExportState::Running) {
        return Ok(Json(shown(&export, Some(&state))).into_response());
    }
    let tag = Exports::tag(&export);
    if is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [etag(&tag)]).into_response());
    }
    Ok(([etag(&tag)], Json(shown(&export, Some(&state)))).into_response())
}

async fn cancel(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(id): Id,
    Params(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    find(&state, &principal, &id)?;
    remove::<Exports>(State(state), Caller(principal), Id(id), Params(params), headers).await
}

struct Wanted {
    query: Option<String>,
    format: Option<String>,
    compression: Option<String>,
    tenant_id: Option<TenantId>,
}

impl FromObject for Wanted {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        Some(Self {
            query: object.optional("query", text),
            format: object.optional("format", text),
            compression: object.optional("compression", text),
            tenant_id: object.optional("tenant_id", tenant),
        })
    }
}

async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, ApiError> {
    let tenant = tenant_of(&state, &principal, Exporting, wanted.tenant_id)?;
    let scope = state.queries.scope(&principal, Some(&tenant))?;
    let query = wanted.query.unwrap_or_default();
    let query = query.strip_prefix('?').unwrap_or(&query);
    let query = params::pairs(query).map_err(|problem| invalid(vec![problem]))?;
    let query = with_saved_of(&state, &tenant, &query, &PAGES).map_err(|problem| invalid(vec![problem]))?;
    let export = order::parse(&query, wanted.format.as_deref(), wanted.compression.as_deref());
    let export = export.map_err(invalid)?;
    if let Some(problem) = state.exports.disk_problem() {
        return Err(ApiError::unavailable(
            "disk_full",
            problem,
            std::time::Duration::from_secs(60),
        ));
    }
    let request = request_id(&headers, &state, &principal, "POST /api/v1/exports", &tenant)?;
    let id = Uuid::new_v5(&request, b"export").to_string();
    let keep = std::time::Duration::from_secs(u64::from(state.exports.keep_hours()) * 3_600);
    // A request that comes again is the same one, though its file would expire later.
    let command = Command::CreateExport {
        tenant,
        query: order::text(&query, &scope),
        format: export.format.as_str().to_owned(),
        compression: export.compression.as_str().map(str::to_owned),
        instance: state.exports.instance().to_owned(),
        expires_at: state.clock.now().plus(keep),
    };
    state.auth.change(&principal, request, 0, &id, command).await?;
    let export = find(&state, &principal, &id)?;
    let place = format!("/api/v1/exports/{id}");
    let headers = [(header::LOCATION, value(&place))];
    Ok((StatusCode::ACCEPTED, headers, Json(shown(&export, Some(&state)))).into_response())
}

/// What a saved search says of its pages is no matter of a file.
const PAGES: [&str; 4] = ["sort", "limit", "cursor", "count"];

/// In a body, parameters are members of the query.
fn invalid(problems: Vec<Problem>) -> ApiError {
    let within = |problem: Problem| match problem.field.as_str() {
        "format" | "compression" => Problem::new(format!("/{}", problem.field), problem.detail),
        name => Problem::new("/query", format!("{name}: {}", problem.detail)),
    };
    let problems = problems.into_iter().map(within).collect();
    ApiError::invalid(StatusCode::UNPROCESSABLE_ENTITY, problems)
}

/// Of what this program writes itself: digests, ids, names of tenants.
fn value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
