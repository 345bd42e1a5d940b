//! `GET /api/v1/logs/stats`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::search::{with_saved, wrong};
use super::whose::existing;
use super::{Access::Needs, Budget, Route, get};
use crate::control::Permission::Read;
use crate::query::stats::Question;
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};
use crate::web::doc::{self, Doc, query};
use crate::web::extract::{Caller, Params};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![get("/api/v1/logs/stats", Needs(Read, Budget::Searching), stats).doc(said())]
}

fn said() -> Doc {
    let fields = json!({"type": "string", "minLength": 1, "maxLength": 4096, "format": "dimensions", "example": "event_type,outcome"});
    Doc::new("countEvents", "Events", "Count events")
        .text("By time, by fields, and how many different values there are. All of it is exact.")
        .params(doc::filters())
        .param(query("interval", "Count by time, in UTC: `minute`, `hour`, `day`, `week`, `month`, or a number of them: `15m`, `6h`, `2d`, `1w`.", json!({"type": "string", "pattern": "^(minute|hour|day|week|month|[1-9][0-9]{0,2}(m|min|h|d|w))$", "example": "day"})))
        .param(query("group_by", "Count by up to three fields, separated by commas: `event_type,details.team`.", fields.clone()))
        .param(query("top", "So many groups, the largest; with `group_by`.", json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 10})))
        .param(query("distinct", "How many different values up to three fields have.", fields))
        .param(query("shares", "Count by severity and outcome. Default: where neither `group_by` nor `distinct` is given.", json!({"type": "boolean"})))
        .param(doc::moment("new_types_since", "The event types that were seen first then or later.", "2026-11-01T00:00:00Z"))
        .param(doc::saved())
        .answers(200, "The numbers.", "Stats")
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
    existing(&state, &principal, tenant)?;
    let answer = state.queries.stats(&principal, &question);
    let read = Reading::of(Kind::Stats, tenant, &asked);
    let stats = state.recorded(&principal, &occasion, read, answer).await?;
    Ok(Json(stats).into_response())
}
