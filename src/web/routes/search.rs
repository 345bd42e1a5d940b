//! `GET /api/v1/logs` = `GET /events`, and `GET /api/v1/logs/{id}`.

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::manage::existing;
use super::revise::etag;
use super::{Access::Needs, Budget, Route, get};
use crate::control::Permission::Read;
use crate::event::TenantId;
use crate::event::view::{self, View};
use crate::query::standing::Stands;
use crate::query::{self, Page};
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};
use crate::web::extract::{Caller, Id, Params, unknown_parameter};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/logs", Needs(Read, Budget::Searching), page),
        get("/events", Needs(Read, Budget::Searching), page),
        get("/api/v1/logs/{id}", Needs(Read, Budget::Searching), by_id),
    ]
}

/// A page of events.
#[derive(Serialize)]
struct Body<'a> {
    data: Vec<View<'a>>,
    next_cursor: Option<&'a str>,
    prev_cursor: Option<&'a str>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count_is_exact: Option<bool>,
}

pub(super) async fn page(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    OriginalUri(uri): OriginalUri,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let search =
        query::parse(&params).map_err(|problems| ApiError::invalid(StatusCode::BAD_REQUEST, problems))?;
    if let Some(tenant) = &search.tenant_id {
        existing(&state, &principal, tenant)?;
    }
    let answer = state.queries.page(&principal, &search);
    let page = match search.cursor {
        // A search is recorded once, with its first page.
        Some(_) => answer.await?,
        None => {
            let read = Reading::of(Kind::Search, search.tenant_id.as_ref(), &params);
            state.recorded(&principal, &occasion, read, answer).await?
        }
    };
    let data: Vec<_> = page.events.iter().map(|event| view::to_json(event)).collect();
    let body = Body {
        data,
        has_more: page.next_cursor.is_some(),
        next_cursor: page.next_cursor.as_deref(),
        prev_cursor: page.prev_cursor.as_deref(),
        count: page.count.as_ref().map(|count| count.events),
        count_is_exact: page.count.as_ref().map(|count| count.is_exact),
    };
    let mut response = Json(body).into_response();
    if let Some(link) = link(uri.path(), &params, &page) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

pub(super) async fn by_id(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    Id(id): Id,
    Params(params): Params,
) -> Result<Response, ApiError> {
    if let Some((name, _)) = params.iter().find(|(name, _)| name != "tenant_id") {
        return Err(ApiError::invalid(
            StatusCode::BAD_REQUEST,
            vec![unknown_parameter(name)],
        ));
    }
    let tenant = params.first().map(|(_, tenant)| tenant.as_str());
    let named = tenant.and_then(TenantId::parse);
    if let Some(tenant) = &named {
        existing(&state, &principal, tenant)?;
    }
    let answer = state.queries.standing(&principal, tenant, &id);
    let read = Reading::get(named.as_ref(), &id);
    match state.recorded(&principal, &occasion, read, answer).await? {
        Some(Stands { event, history }) => {
            let shown = view::to_json_with_changes(&event).with_history(history.as_ref());
            Ok(([etag(event.revision)], Json(shown)).into_response())
        }
        None => Err(ApiError::not_found(
            "There is no event with this id, or it is not yet searchable.",
        )),
    }
}

/// RFC 8288: the same search with another cursor.
fn link(path: &str, params: &[(String, String)], page: &Page) -> Option<HeaderValue> {
    let with = |cursor: &String, relation: &str| {
        let mut query: Vec<String> = params
            .iter()
            .filter(|(name, _)| name != "cursor")
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        query.push(format!("cursor={}", encoded(cursor)));
        format!("<{path}?{}>; rel=\"{relation}\"", query.join("&"))
    };
    let next = page.next_cursor.as_ref().map(|cursor| with(cursor, "next"));
    let prev = page.prev_cursor.as_ref().map(|cursor| with(cursor, "prev"));
    let links: Vec<String> = next.into_iter().chain(prev).collect();
    (!links.is_empty()).then(|| HeaderValue::from_str(&links.join(", ")).ok())?
}

fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
