//! `GET /api/v1/exports/{id}/file`: the file of an export, whole or in parts.
//!
//! Each request asks ClickHouse what was redacted of the time that the file is about, and is recorded: so it costs a search.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tower_http::services::ServeFile;

use super::super::export::file_name;
use super::super::manage::precondition::is_known;
use super::{find, value};
use crate::control::{Export, ExportState};
use crate::exports::order;
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};
use crate::web::extract::{Caller, Id};
use crate::web::{ApiError, AppState};

/// The longest `Range` that is kept in the record of a fetch, in characters.
const RANGE_MAX: usize = 200;
const EXPIRED: &str = "The file has expired and is gone. Ask for another export.";

pub(super) async fn file(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    Id(id): Id,
    mut request: Request,
) -> Result<Response, ApiError> {
    let export = find(&state, &principal, &id)?;
    let (sha256, redactions) = whole(&export)?;
    if *export.instance != *state.exports.instance() {
        let detail = format!("The file lies on the instance {}: ask that one.", export.instance);
        return Err(conflict("elsewhere", detail));
    }
    let scope = state.queries.scope(&principal, Some(&export.tenant))?;
    if order::is_outdated(&scope, &export) {
        return Err(gone(
            "outdated",
            "Events in the file have been cleaned up since. Ask for another export.",
        ));
    }
    let (_, order) = order::read(&export, &state.control.state())?;
    if state.queries.redactions(&scope, &order).await? != redactions {
        let detail =
            "Events of the time that is in the file have been redacted since. Ask for another export.";
        return Err(gone("outdated", detail));
    }
    let tag = format!("\"{sha256}\"");
    let headers = request.headers_mut();
    if is_known(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, value(&tag))]).into_response());
    }
    // A part of another file would not fit to what the caller has.
    if headers.remove(header::IF_RANGE).is_some_and(|known| known != tag) {
        headers.remove(header::RANGE);
    }
    // By its digest alone, not by a date to the second.
    headers.remove(header::IF_MODIFIED_SINCE);
    headers.remove(header::IF_UNMODIFIED_SINCE);
    // Every part: any of them may be all that its reader wants.
    let read = Reading::with(Kind::Export, Some(&export.tenant), fetched(&id, headers));
    state.trail.note(&principal, &occasion, read).await?;
    let mut answer = served(&state, &id, request).await?;
    if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(no_such_range(answer));
    }
    let name = file_name(&export.tenant, &order, export.created_at);
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, value(&tag));
    headers.remove(header::LAST_MODIFIED);
    headers.insert(header::CONTENT_TYPE, value(order.media_type()));
    headers.insert(
        header::CONTENT_DISPOSITION,
        value(&format!("attachment; filename=\"{name}\"")),
    );
    headers.insert(header::CACHE_CONTROL, value("private, no-transform"));
    Ok(answer)
}

/// The digest of an export's file, and the print of what was redacted when it was read.
fn whole(export: &Export) -> Result<(&str, &str), ApiError> {
    match &export.state {
        ExportState::Done {
            sha256, redactions, ..
        } => Ok((sha256, redactions)),
        ExportState::Queued | ExportState::Running => {
            let detail = "The export is not finished: ask again when its state is `done`.";
            Err(conflict("not_ready", detail.to_owned()))
        }
        ExportState::Failed { reason } => {
            let detail = format!("The export failed: {reason}. Ask for another one.");
            Err(conflict("export_failed", detail))
        }
        ExportState::Expired => Err(gone("expired", EXPIRED)),
    }
}

fn conflict(kind: &'static str, detail: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, kind, detail)
}

fn gone(kind: &'static str, detail: &str) -> ApiError {
    ApiError::new(StatusCode::GONE, kind, detail)
}

/// What a request asks for of the file.
async fn served(state: &AppState, id: &str, request: Request) -> Result<Response, ApiError> {
    let mut served = ServeFile::new(state.exports.file(id));
    let answer = served.try_call(request).await.map_err(|error| {
        tracing::error!(%error, id, "the file of an export can't be read");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The file can't be read.",
        )
    })?;
    match answer.status() {
        StatusCode::NOT_FOUND => Err(gone("expired", EXPIRED)),
        _ => Ok(answer.map(Body::new)),
    }
}

fn no_such_range(answer: Response) -> Response {
    let detail = "The file has no such range; Content-Range says how long it is.";
    let mut refused =
        ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "no_such_range", detail).into_response();
    if let Some(range) = answer.headers().get(header::CONTENT_RANGE) {
        refused.headers_mut().insert(header::CONTENT_RANGE, range.clone());
    }
    refused
}

/// Which file was fetched, and which part of it where not the whole.
fn fetched(id: &str, headers: &HeaderMap) -> Value {
    let mut fetched = json!({"export": id});
    if let Some(range) = headers.get(header::RANGE) {
        let range = String::from_utf8_lossy(range.as_bytes());
        fetched["range"] = range.chars().take(RANGE_MAX).collect::<String>().into();
    }
    fetched
}
