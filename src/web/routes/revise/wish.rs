//! A wish to revise one event: a task which its client waits for, and which goes on without the client where the table
//! is too far behind. What it does is in [`settle`](super::settle).

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::settle::Appended;
use crate::auth::Principal;
use crate::event::TenantId;
use crate::event::draft::Refusal;
use crate::event::revision::{self, Deed, Refused, Revised, Standing};
use crate::event::view::{self, View};
use crate::query::QueryError;
use crate::query::standing::Stands;
use crate::trail::{Occasion, Reading};
use crate::web::routes::Budget;
use crate::web::routes::manage::etag;
use crate::web::routes::manage::precondition::{Expected, Tag};
use crate::web::{ApiError, AppState, Json};

/// How long it goes on when its client was answered 202: a table that is further behind has other troubles.
const GOES_ON_FOR: Duration = Duration::from_secs(3_600);
/// Before it tries again when the log or ClickHouse was away.
const TRY_AGAIN: Duration = Duration::from_secs(5);

const NOTE: &str = "The event is shown without what was redacted, here and everywhere. The records that were written \
    before stay in the log until its retention removes them.";

/// One event that is to be revised, by whom, how, and on which condition.
pub(super) struct Wish {
    pub(super) state: AppState,
    pub(super) principal: Principal,
    pub(super) occasion: Occasion,
    pub(super) tenant: TenantId,
    pub(super) event_id: Uuid,
    pub(super) deed: Deed,
    pub(super) expected: Expected,
    pub(super) change: Change,
}

/// What is to be done to it.
pub(super) enum Change {
    /// This merge patch is to be applied.
    Amend(Bytes),
    /// These fields are to go; `None`: everything but the bare fact.
    Redact(Option<Vec<String>>),
}

/// An event as answers show it, and what is to be known about it.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    event: View<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl Wish {
    /// Revises the event, and answers when that is searchable, or has taken too long. It is seen through without the
    /// client as well.
    pub(super) async fn grant(self) -> Result<Response, ApiError> {
        let revising = self.state.revising.clone();
        let within = Duration::from_secs(self.state.config.wait_indexed_seconds);
        let deadline = Instant::now() + within;
        let place = revising.place(&self.tenant, self.event_id, within).await;
        let place = place.ok_or_else(too_busy)?;
        let (tell, told) = oneshot::channel();
        revising.run(place, self.see_through(tell, deadline).in_current_span());
        let lost = "the revision's task ended without an answer";
        told.await
            .unwrap_or_else(|_| Err(QueryError::Failed(lost.to_owned()).into()))
    }

    async fn see_through(self, tell: oneshot::Sender<Result<Response, ApiError>>, deadline: Instant) {
        let mut appended = None;
        let (answer, is_settled) = match self.settle(&mut appended, deadline).await {
            Ok(Some(stands)) if appended.is_none() => (self.read(&stands).await, true),
            Ok(Some(stands)) => (Ok(answer(&stands, self.change.note())), true),
            Err(error) if appended.is_none() || !error.status.is_server_error() => (Err(error), true),
            // It is in the log. Whatever is away now will be back.
            Ok(None) | Err(_) => (Ok(not_yet(self.event_id)), false),
        };
        // Nobody listens where the client went away.
        tell.send(answer).ok();
        if !is_settled && self.state.revising.go_on(self.try_on(appended)).await.is_none() {
            let (id, tenant) = (self.event_id, &self.tenant);
            tracing::warn!(%id, %tenant, "the server stops: whether a revision that was answered 202 counts is not looked at any more");
        }
    }

    /// The event, to somebody who has changed nothing by this request: that is a read, and is counted and recorded as
    /// one.
    async fn read(&self, stands: &Stands) -> Result<Response, ApiError> {
        self.state.limits.spend(&self.principal, Budget::Searching)?;
        let read = Reading::get(Some(&self.tenant), &self.event_id.to_string());
        let trail = &self.state.trail;
        trail.note(&self.principal, &self.occasion, read).await?;
        Ok(answer(stands, self.change.note()))
    }

    /// Without a client: until it is granted, or can't be, or has taken too long.
    async fn try_on(&self, mut appended: Option<Appended>) {
        let deadline = Instant::now() + GOES_ON_FOR;
        let (id, tenant) = (self.event_id, &self.tenant);
        loop {
            match self.settle(&mut appended, deadline).await {
                Ok(Some(_)) => return,
                Err(error) if error.status.is_server_error() && Instant::now() + TRY_AGAIN < deadline => {
                    tracing::debug!(detail = error.detail, %id, %tenant, "a revision is tried again");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Ok(None) => {
                    tracing::warn!(%id, %tenant, "the table is far behind: whether a revision counts is not looked at any more");
                    return;
                }
                Err(error) => {
                    tracing::warn!(detail = error.detail, %id, %tenant, "a revision that was answered 202 lost to another one and can't be made anew");
                    return;
                }
            }
        }
    }
}

impl Change {
    pub(super) fn made(
        &self,
        standing: Standing<'_>,
        made_at: Option<i64>,
        deed: Deed,
    ) -> Result<Option<Revised>, Refused> {
        match self {
            Self::Amend(patch) => revision::amendment(standing, patch, deed),
            Self::Redact(fields) => revision::redaction(standing, fields.as_deref(), made_at, deed).map(Some),
        }
    }

    /// The status where what it says can't be done: of a body, or of parameters.
    pub(super) fn invalid(&self) -> StatusCode {
        match self {
            Self::Amend(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Redact(_) => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn is_amendment(&self) -> bool {
        matches!(self, Self::Amend(_))
    }

    fn note(&self) -> Option<&'static str> {
        matches!(self, Self::Redact(_)).then_some(NOTE)
    }
}

pub(super) fn tag(stands: &Stands) -> Tag {
    Tag::of(stands.event.revision.into())
}

fn answer(stands: &Stands, note: Option<&'static str>) -> Response {
    let event = view::to_json_with_changes(&stands.event).with_history(stands.history.as_ref());
    ([etag(&tag(stands))], Json(Answer { event, note })).into_response()
}

/// The log has it; who reads on will see.
fn not_yet(id: Uuid) -> Response {
    let body = serde_json::json!({
        "event_id": id,
        "detail": "The log has it, and it takes effect when the table comes to it. Look again, or repeat the request under the same Idempotency-Key.",
    });
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

pub(super) fn absent() -> ApiError {
    ApiError::not_found("There is no event with this id, or it is not yet searchable.")
}

fn too_busy() -> ApiError {
    ApiError::unavailable(
        "too_busy",
        "Too many revisions wait until they are searchable. This one was not taken: try again.",
        Duration::from_secs(10),
    )
}

pub(super) fn refused(why: Refused, invalid: StatusCode) -> ApiError {
    let detail = why.to_string();
    match why {
        Refused::Invalid(Refusal::Invalid(problems)) => ApiError::invalid(invalid, problems),
        Refused::Invalid(refusal) => refusal.into(),
        Refused::System => {
            ApiError::forbidden("The server's own events can be neither amended nor redacted.")
        }
        Refused::Full => ApiError::new(StatusCode::CONFLICT, "conflict", detail),
    }
}
