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
use tracing::Instrument;
use uuid::Uuid;

use super::overlooked::{self, Overlooked};
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

/// A revision that is in the log.
struct Appended {
    revised: Revised,
    at: Position,
    /// The redactions that were known when the wish was applied first.
    known: Vec<Uuid>,
}

/// What the table says of a wish.
enum Sight {
    /// The event isn't there, or no more.
    Gone,
    /// The event does not have it: it comes first now, or lost to another one. With what is known of the table's place
    /// when it said so (see [`Entry::made_at`](revision::Entry::made_at)).
    Open(Stands, Option<i64>),
    /// It counts, but passed over this amendment.
    PassedOver { stands: Stands, amendment: Overlooked },
    /// It is part of the event's history.
    Granted(Stands),
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
            let (base, revised) = match self.look().await? {
                // What the caller may see does not hold it any more.
                Sight::Gone => return appended.take().map(|own| Some(own.stands())).ok_or_else(absent),
                Sight::Granted(stands) => return Ok(Some(stands)),
                Sight::PassedOver { stands, amendment } => match self.with(&amendment) {
                    Some(revised) => (amendment.stands, revised),
                    None => return Ok(Some(stands)),
                },
                Sight::Open(stands, made_at) => {
                    self.expected.check(Some(&tag(&stands)))?;
                    match self.change.made(stands.standing(), made_at, self.deed.clone()) {
                        Ok(Some(revised)) => (stands, revised),
                        Ok(None) => return Ok(Some(stands)),
                        Err(why) => return Err(refused(why, self.change.invalid())),
                    }
                }
            };
            let known = match appended {
                Some(lost) => lost.known.clone(),
                None => redactions(&base),
            };
            if self.change.is_amendment() && revised.history.touches_redacted(&known) {
                return Err(ApiError::new(StatusCode::CONFLICT, "conflict", REDACTED));
            }
            let at = self.state.ingest.revise(&self.principal, &revised).await?;
            *appended = Some(Appended { revised, at, known });
        }
        Err(ApiError::new(
            StatusCode::CONFLICT,
            "conflict",
            "The event keeps being revised by others. Read it, and try again.",
        ))
    }

    /// Reads the event. A redaction asks first how far the table is: what stands in the log from there on may be unknown
    /// to it. Where something was redacted before, nothing is passed over.
    async fn look(&self) -> Result<Sight, ApiError> {
        let made_at = match self.change.is_amendment() {
            true => None,
            false => Some(overlooked::projected(&self.state, self.event_id).await?),
        };
        let queries = &self.state.queries;
        let id = self.event_id.to_string();
        let found = queries
            .standing(&self.principal, Some(self.tenant.as_str()), &id)
            .await?;
        let Some(stands) = found.filter(|stands| stands.event.event_id == self.event_id) else {
            return Ok(Sight::Gone);
        };
        let history = stands.history.as_ref();
        let Some(granted) = history.and_then(|history| history.granting(self.deed.wish)) else {
            let made_at = made_at.filter(|_| stands.version < REDACTED_VERSION);
            return Ok(Sight::Open(stands, made_at));
        };
        if granted.asked() != Some(self.deed.asked) {
            return Err(ApiError::conflict(
                "Idempotency-Key",
                "another request came with this key before: give each one a key of its own",
            ));
        }
        let passed_over = match granted.number == stands.event.revision {
            true => overlooked::amendment(&self.state, &stands.event, granted).await?,
            false => None,
        };
        Ok(match passed_over {
            Some(amendment) => Sight::PassedOver { stands, amendment },
            None => Sight::Granted(stands),
        })
    }

    /// This redaction, made anew of an amendment that it passed over. `None` where there is no room for both: it counts,
    /// and the amendment does not.
    fn with(&self, overlooked: &Overlooked) -> Option<Revised> {
        let standing = overlooked.stands.standing();
        let made = self
            .change
            .made(standing, Some(overlooked.redacted_at), self.deed.clone());
        made.inspect_err(|why| {
            let (id, tenant) = (self.event_id, &self.tenant);
            tracing::warn!(%why, %id, %tenant, "an amendment that a redaction did not know of can't be kept beside it");
        })
        .ok()?
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
}

impl Change {
    fn made(
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
    fn invalid(&self) -> StatusCode {
        match self {
            Self::Amend(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Redact(_) => StatusCode::BAD_REQUEST,
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

    fn stands(self) -> Stands {
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
