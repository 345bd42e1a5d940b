//! One wish to revise an event, from its first try until a revision that grants it counts.
//!
//! Revisions are made of what the table holds, which is a little behind the log. So two who revise an event at once may
//! make theirs of the same; one of them counts, by its rank (`event::revision`). Whoever's does not sees that when the
//! table holds it, and applies its wish to what counts then; but no amendment brings back what was redacted meanwhile,
//! without its author having seen that. A redaction counts before every amendment that did not know
//! of it, also before one that was searchable already when the redaction came: that one is found in the log
//! ([`overlooked`]), and the redaction is made anew, of the event as amended.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::overlooked;
use crate::auth::Principal;
use crate::event::TenantId;
use crate::event::draft::Refusal;
use crate::event::revision::{self, Deed, Refused, Revised, Standing};
use crate::event::view::{self, View};
use crate::log::Position;
use crate::query::QueryError;
use crate::query::standing::Stands;
use crate::store::row::{REDACTED_VERSION, version_of};
use crate::trail::{Occasion, Reading};
use crate::web::routes::Budget;
use crate::web::routes::manage::etag;
use crate::web::routes::manage::precondition::{Expected, Tag};
use crate::web::{ApiError, AppState, Json};

/// How often a wish is applied anew when others were faster.
const ATTEMPTS: usize = 16;
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
    pub(super) id: String,
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

/// A revision that is in the log.
struct Appended {
    revised: Revised,
    at: Position,
    /// What counted when it was made,
    base: u64,
    /// and where the table was then, at least, of which it was made.
    from: i64,
    /// The redactions that were known when the wish was applied first.
    known: Vec<Uuid>,
}

const REDACTED: &str = "What is to be amended was redacted meanwhile, and is not brought back. Read the event, and decide \
    anew whether to amend it.";

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
        let within = Duration::from_secs(self.state.config.wait_indexed_seconds);
        let deadline = Instant::now() + within;
        let revising = self.state.revising.clone();
        let place = revising.place(&self.tenant, &self.id, within).await;
        let place = place.ok_or_else(too_busy)?;
        self.state.ingest.admit(&self.principal, 1)?;
        let (tell, told) = oneshot::channel();
        revising.run(place, self.see_through(tell, deadline));
        told.await.unwrap_or_else(|_| Err(too_busy()))
    }

    async fn see_through(self, tell: oneshot::Sender<Result<Response, ApiError>>, deadline: Instant) {
        let mut appended = None;
        let (answer, is_settled) = match self.settle(&mut appended, deadline).await {
            Ok(Some(stands)) if appended.is_none() => (self.read(&stands).await, true),
            Ok(Some(stands)) => (Ok(answer(&stands, self.change.note())), true),
            Err(error) if appended.is_none() || !error.status.is_server_error() => (Err(error), true),
            // It is in the log. Whatever is away now will be back.
            Ok(None) | Err(_) => (Ok(not_yet(&self.id, appended.as_ref())), false),
        };
        // Nobody listens where the client went away.
        tell.send(answer).ok();
        if !is_settled && self.state.revising.go_on(self.go_on(appended)).await.is_none() {
            let (id, tenant) = (&self.id, &self.tenant);
            tracing::warn!(id, %tenant, "the server stops: whether a revision that was answered 202 counts is not looked at any more");
        }
    }

    /// The event, to somebody who has changed nothing by this request: that is a read, and is counted and recorded as
    /// one.
    async fn read(&self, stands: &Stands) -> Result<Response, ApiError> {
        self.state.limits.spend(&self.principal, Budget::Searching)?;
        let read = Reading::get(Some(&self.tenant), &self.id);
        let trail = &self.state.trail;
        trail.note(&self.principal, &self.occasion, read).await?;
        Ok(answer(stands, self.change.note()))
    }

    /// Without a client: until it is granted, or can't be, or has taken too long.
    async fn go_on(&self, mut appended: Option<Appended>) {
        let deadline = Instant::now() + GOES_ON_FOR;
        loop {
            let (id, tenant) = (&self.id, &self.tenant);
            match self.settle(&mut appended, deadline).await {
                Ok(Some(_)) => return,
                Err(error) if error.status.is_server_error() && Instant::now() + TRY_AGAIN < deadline => {
                    tracing::debug!(detail = error.detail, id, %tenant, "a revision is tried again");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Ok(None) if Instant::now() + TRY_AGAIN < deadline => tokio::time::sleep(TRY_AGAIN).await,
                Ok(None) => {
                    tracing::warn!(id, %tenant, "the table is far behind: whether a revision counts is not looked at any more");
                    return;
                }
                Err(error) => {
                    tracing::warn!(detail = error.detail, id, %tenant, "a revision that was answered 202 lost to another one and can't be made anew");
                    return;
                }
            }
        }
    }

    /// Revises the event as it stands, again where others were faster, until this wish is part of its history. `None`
    /// where the table does not hold what was appended before the deadline.
    async fn settle(
        &self,
        appended: &mut Option<Appended>,
        deadline: Instant,
    ) -> Result<Option<Stands>, ApiError> {
        for _ in 0..=ATTEMPTS {
            if let Some(own) = appended
                && !self.arrives(own, deadline).await
            {
                return Ok(None);
            }
            let Some((stands, mut from)) = self.stands().await? else {
                // What the caller may see does not hold it any more.
                return appended.take().map(|own| Some(own.alone())).ok_or_else(absent);
            };
            let mut passed_over = None;
            if self.is_granted(&stands)? {
                if let Some(own) = appended.as_ref().filter(|own| own.is_in(&stands)) {
                    match self.passed_over(own, deadline).await {
                        Some(found) => passed_over = found,
                        None => return Ok(None),
                    }
                    from = own.at.offset;
                }
                if passed_over.is_none() {
                    return Ok(Some(stands));
                }
            } else {
                self.expected.check(Some(&tag(&stands)))?;
            }
            let base = passed_over.as_ref().unwrap_or(&stands);
            let revised = match self.change.made(base.standing(), self.deed.clone()) {
                Ok(Some(revised)) => revised,
                Ok(None) => return Ok(Some(stands)),
                // It counts; only what it was made without can't be brought in.
                Err(_) if passed_over.is_some() => return Ok(Some(stands)),
                Err(error) => return Err(error),
            };
            let known = match appended {
                Some(lost) => lost.known.clone(),
                None => redactions(base),
            };
            if self.change.is_amendment() && revised.history.touches_redacted(&known) {
                return Err(ApiError::new(StatusCode::CONFLICT, "conflict", REDACTED));
            }
            let at = self.state.ingest.revise(&self.principal, &revised).await?;
            *appended = Some(Appended {
                revised,
                at,
                base: base.version,
                from,
                known,
            });
        }
        Err(ApiError::new(
            StatusCode::CONFLICT,
            "conflict",
            "The event keeps being revised by others. Read it, and try again.",
        ))
    }

    /// The event as it stands. For a redaction also how far the table was at least before it was asked: what stands in
    /// the log from there on may be unknown to it. Not where something was redacted before, for then nothing is passed over.
    async fn stands(&self) -> Result<Option<(Stands, i64)>, ApiError> {
        let Some(stands) = self.as_held().await? else {
            return Ok(None);
        };
        if self.change.is_amendment() || stands.version >= REDACTED_VERSION {
            return Ok(Some((stands, i64::MAX)));
        }
        let from = overlooked::projected(&self.state, &stands.event).await?;
        Ok(self.as_held().await?.map(|stands| (stands, from)))
    }

    async fn as_held(&self) -> Result<Option<Stands>, QueryError> {
        let queries = &self.state.queries;
        let tenant = Some(self.tenant.as_str());
        queries.standing(&self.principal, tenant, &self.id).await
    }

    /// Whether this wish is part of the event's history. 409 where another one came under its name.
    fn is_granted(&self, stands: &Stands) -> Result<bool, ApiError> {
        let history = stands.history.as_ref();
        match history.and_then(|history| history.granting(self.deed.wish)) {
            None => Ok(false),
            Some(granted) if granted.asked() == Some(self.deed.asked) => Ok(true),
            Some(_) => Err(ApiError::conflict(
                "Idempotency-Key",
                "another request came with this key before: give each one a key of its own",
            )),
        }
    }

    /// Whether the table holds it before the waiting is over.
    async fn arrives(&self, own: &Appended, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(arrived) = self.state.ingest.progress().wait(own.at, left).await {
            return arrived;
        }
        let queries = &self.state.queries;
        queries
            .wait_for_version(&own.revised.event, own.version(), deadline)
            .await
    }

    /// What would count if it were not for this redaction, and is no part of it: an amendment that it did not know of.
    /// `None` where the log can't be asked before the deadline.
    async fn passed_over(&self, own: &Appended, deadline: Instant) -> Option<Option<Stands>> {
        let place = (own.at.partition, own.from..own.at.offset);
        let found = overlooked::amendment(&self.state, &own.revised.event, own.base, place);
        match tokio::time::timeout_at(deadline, found).await {
            Ok(Ok(found)) => Some(found),
            Ok(Err(error)) => {
                tracing::debug!(%error, "whether a redaction passed over an amendment can't be looked up now");
                None
            }
            Err(_) => None,
        }
    }
}

impl Change {
    fn made(&self, standing: Standing<'_>, deed: Deed) -> Result<Option<Revised>, ApiError> {
        match self {
            Self::Amend(patch) => revision::amendment(standing, patch, deed)
                .map_err(|why| refused(why, StatusCode::UNPROCESSABLE_ENTITY)),
            Self::Redact(fields) => revision::redaction(standing, fields.as_deref(), deed)
                .map(Some)
                .map_err(|why| refused(why, StatusCode::BAD_REQUEST)),
        }
    }

    fn is_amendment(&self) -> bool {
        matches!(self, Self::Amend(_))
    }

    fn note(&self) -> Option<&'static str> {
        matches!(self, Self::Redact(_)).then_some(NOTE)
    }
}

impl Appended {
    fn version(&self) -> u64 {
        version_of(self.revised.history.rank(), self.at.offset.max(0).cast_unsigned())
    }

    fn is_in(&self, stands: &Stands) -> bool {
        let own = self.revised.history.last().map(|entry| entry.id);
        let history = stands.history.as_ref();
        own.is_some_and(|own| history.is_some_and(|history| history.has(own)))
    }

    fn alone(self) -> Stands {
        Stands {
            version: self.version(),
            event: self.revised.event,
            history: Some(self.revised.history),
        }
    }
}

fn tag(stands: &Stands) -> Tag {
    Tag::of(stands.event.revision.into())
}

fn redactions(stands: &Stands) -> Vec<Uuid> {
    let redactions = stands.history.iter().flat_map(|history| history.redactions());
    redactions.map(|redaction| redaction.id).collect()
}

fn answer(stands: &Stands, note: Option<&'static str>) -> Response {
    let event = view::to_json_with_changes(&stands.event).with_history(stands.history.as_ref());
    ([etag(&tag(stands))], Json(Answer { event, note })).into_response()
}

/// The log has it; who reads on will see.
fn not_yet(id: &str, appended: Option<&Appended>) -> Response {
    let id = appended.map_or_else(|| id.to_owned(), |own| own.revised.event.event_id.to_string());
    let body = serde_json::json!({
        "event_id": id,
        "detail": "The log has it, and it takes effect when the table comes to it. Look again, or repeat the request under the same Idempotency-Key.",
    });
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

fn absent() -> ApiError {
    ApiError::not_found("There is no event with this id, or it is not yet searchable.")
}

fn too_busy() -> ApiError {
    ApiError::unavailable(
        "too_busy",
        "Too many revisions wait until they are searchable. This one was not taken: try again.",
        Duration::from_secs(10),
    )
}

fn refused(why: Refused, invalid: StatusCode) -> ApiError {
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
