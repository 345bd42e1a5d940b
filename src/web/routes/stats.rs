//! `GET /api/v1/logs/stats`

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::manage::existing;
use super::search::{with_saved, wrong};
use super::{Access::Needs, Budget, Route, get};
use crate::control::Permission::Read;
use crate::query::stats::Question;
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};
use crate::web::extract::{Caller, Params};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![get("/api/v1/logs/stats", Needs(Read, Budget::Searching), stats)]
}

pub(super) async fn stats(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let steering = ["sort", "limit", "cursor", "count", "fields"];
    let asked = with_saved(&state, &principal, &params, &steering)?;
    let question = Question::parse(&asked).map_err(wrong)?;
    let tenant = question.search.tenant_id.as_ref();
    if let Some(tenant) = tenant {
        existing(&state, &principal, tenant)?;
    }
    let answer = state.queries.stats(&principal, &question);
    let read = Reading::of(Kind::Stats, tenant, &asked);
    let stats = state.recorded(&principal, &occasion, read, answer).await?;
    Ok(Json(stats).into_response())
}
