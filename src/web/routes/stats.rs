//! `GET /api/v1/logs/stats`

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::manage::existing;
use super::search::{with_saved, wrong};
use super::{Access::Needs, Budget, Route, get};
use crate::control::Permission::Read;
use crate::query::stats::Question;
use crate::web::extract::{Caller, Params};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![get("/api/v1/logs/stats", Needs(Read, Budget::Searching), stats)]
}

pub(super) async fn stats(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let question = Question::parse(&with_saved(
        &state,
        &principal,
        &params,
        &["sort", "limit", "cursor", "count", "fields"],
    )?)
    .map_err(wrong)?;
    if let Some(tenant) = &question.search.tenant_id {
        existing(&state, &principal, tenant)?;
    }
    Ok(Json(state.queries.stats(&principal, &question).await?).into_response())
}
