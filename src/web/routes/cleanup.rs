//! `DELETE /api/v1/logs/cleanup`: what happened before a moment is shown no more, and deleted after that.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::manage::request_id;
use super::whose::tenant_of;
use super::{Access::Needs, Budget, Route, delete};
use crate::auth::manage::ManageError;
use crate::clock::Timestamp;
use crate::control::Permission::Manage;
use crate::control::{Command, Refusal};
use crate::event::TenantId;
use crate::event::moment;
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};
use crate::web::doc::{self, Doc, query};
use crate::web::extract::{Caller, Params};
use crate::web::given::Given;
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![delete("/api/v1/logs/cleanup", Needs(Manage, Budget::Managing), clean_up).doc(said())]
}

fn said() -> Doc {
    Doc::new("cleanUpEvents", "Events", "Clean up")
        .text("What happened before a moment is shown no more, and its rows are deleted. The records stay in the log until its retention removes them.")
        .param(doc::moment("before", "The moment: in the past, 1970 or later.", "2025-01-01T00:00:00Z").required())
        .param(query("dry_run", "Only say how many events that would be.", json!({"type": "boolean", "default": false, "example": true})))
        .param(doc::tenant_id())
        .param(doc::idempotency_key())
        .answers(200, "Done, or what would be.", "CleanUp")
        .problem(409, "The tenant keeps being changed by others, or the `Idempotency-Key` belongs to another request.")
}

/// How often it is tried anew where the tenant was changed meanwhile.
const ATTEMPTS: usize = 5;

/// What the parameters say.
struct Wanted {
    before: Timestamp,
    dry_run: bool,
    tenant: Option<TenantId>,
}

#[derive(Serialize)]
struct Answer {
    before: Timestamp,
    events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    visible_from: Option<Timestamp>,
    dry_run: bool,
    note: &'static str,
}

pub(super) async fn clean_up(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    Params(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wanted = Wanted::read(&params, state.clock.now())?;
    let tenant = tenant_of(&state, &principal, Manage, wanted.tenant)?;
    let request = request_id(
        &headers,
        &state,
        &principal,
        "DELETE /api/v1/logs/cleanup",
        &tenant,
    )?;
    let before = wanted.before;
    let visible_from = || state.control.state().visible_from(&tenant);
    let events = state.queries.count_before(&principal, &tenant, before).await?;
    let answer = |visible_from, note| {
        let dry_run = wanted.dry_run;
        let answer = Answer {
            before,
            events,
            visible_from,
            dry_run,
            note,
        };
        Ok(Json(answer).into_response())
    };
    if wanted.dry_run {
        // The clean-up itself is a command, and recorded as one.
        let read = Reading::of(Kind::Stats, Some(&tenant), &params);
        state.trail.note(&principal, &occasion, read).await?;
        return answer(
            visible_from(),
            "Nothing was done. Without dry_run these events are shown no more.",
        );
    }
    for attempt in 1.. {
        let control = state.control.state();
        let found = control
            .tenant(&tenant)
            .ok_or_else(|| ApiError::not_found("There is no such tenant."))?;
        if found.visible_from.is_some_and(|from| from >= before) {
            break;
        }
        // A wish that was refused is refused for good under its name.
        let request = uuid::Uuid::new_v5(&request, &found.version.to_be_bytes());
        let command = Command::CleanUp { before };
        let changed = state
            .auth
            .change(&principal, request, found.version, tenant.as_str(), command);
        match changed.await {
            Err(ManageError::Refused(Refusal::Conflict { .. })) if attempt < ATTEMPTS => {}
            changed => {
                changed?;
                break;
            }
        }
    }
    if let Some(from) = visible_from() {
        state.queries.show_from(&tenant, from).await?;
    }
    answer(
        visible_from(),
        "These events are shown no more, and their rows are deleted next. The records stay in the log until its retention \
         removes them.",
    )
}

impl Wanted {
    fn read(params: &[(String, String)], now: Timestamp) -> Result<Self, ApiError> {
        let mut given = Given::of(params);
        let before = given.one("before", |value| moment_of(value, now));
        let (dry_run, tenant) = (given.flag("dry_run"), given.tenant());
        if !given.has("before") {
            let detail = "say which events are to go: those that happened before this moment";
            given.wrong("before", detail);
        }
        given.finish()?;
        // There is one, or `finish` has said what is wrong with it.
        let before = before.ok_or_else(|| ApiError::invalid(StatusCode::BAD_REQUEST, Vec::new()))?;
        Ok(Self {
            before,
            dry_run,
            tenant,
        })
    }
}

fn moment_of(value: &str, now: Timestamp) -> Result<Timestamp, String> {
    let at = moment::parse(value).map(|moment| moment.at);
    let at = at.ok_or("expected a date such as 2026-01-01 or 2026-01-01T09:00:00Z")?;
    match at.micros() >= 0 && at <= now {
        true => Ok(at),
        false => Err("must lie in the past: what is yet to come can't be cleaned up".to_owned()),
    }
}
