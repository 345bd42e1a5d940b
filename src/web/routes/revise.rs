//! `PATCH` and `DELETE /api/v1/logs/{id}`: an amendment, or a redaction, is appended, and the answer shows the event as
//! it is from then on.
//!
//! Two who revise the same event at once append two records of the same number. The first in the log counts; the other
//! one sees that when it reads the event back, and applies its wish to what stands then, unless it said with `If-Match`
//! what it means to revise.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::manage::precondition::{Expected, Tag};
use super::manage::{etag, request_id};
use super::whose::tenant_of;
use super::{Access::Needs, Budget, Route, delete, patch};
use crate::auth::Principal;
use crate::control::Permission::Manage;
use crate::event::TenantId;
use crate::event::draft::Refusal;
use crate::event::revision::{self, Deed, REASON_MAX, Refused, Revised, Standing};
use crate::event::view::{self, View};
use crate::log::Position;
use crate::query::standing::Stands;
use crate::store::row::version_of;
use crate::trail::{Occasion, Reading};
use crate::web::body::Body;
use crate::web::doc::{self, Doc, query};
use crate::web::extract::{Caller, Id, Params, media_type};
use crate::web::given::Given;
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        patch("/api/v1/logs/{id}", Needs(Manage, Budget::Writing), amend).doc(said_of_amend()),
        delete("/api/v1/logs/{id}", Needs(Manage, Budget::Writing), redact).doc(said_of_redact()),
    ]
}

fn said_of_amend() -> Doc {
    Doc::new("amendEvent", "Events", "Amend an event")
        .text("Nothing is rewritten: the amendment is appended to the log, and from then on the event is shown with it, and with its history. Two who amend at once both succeed, unless they say with `If-Match` what they mean to amend.")
        .param(doc::event_id())
        .param(query("reason", "Why.", json!({"type": "string", "minLength": 1, "maxLength": REASON_MAX, "pattern": "\\S"})))
        .param(doc::tenant_id())
        .param(doc::if_match())
        .param(doc::idempotency_key())
        .takes_as("application/merge-patch+json", "EventPatch")
        .takes("EventPatch")
        .answers(200, "The event as it stands.", "Event")
        .header("ETag", "How often it was revised.")
        .answers(202, "The log has it, and it was not searchable in time.", "NotYet")
        .problem(403, "The role does not allow it, another tenant is named, or the event is the server's own.")
        .problem(409, REVISED_TOO_OFTEN)
        .problem(412, "The event was revised meanwhile.")
}

const REVISED_TOO_OFTEN: &str = "The event keeps being revised by others, can't be revised more often, or the `Idempotency-Key` belongs to another request.";

fn said_of_redact() -> Doc {
    Doc::new("redactEvent", "Events", "Redact an event")
        .text("Takes fields away, or, where none is named, everything but the bare fact. The redaction is appended to the log; the records that were written before stay there until its retention removes them, and are shown nowhere.")
        .param(doc::event_id())
        .param(query("reason", "Why.", json!({"type": "string", "minLength": 1, "maxLength": REASON_MAX, "pattern": "\\S", "example": "asked for by the person"})).required())
        .param(query("field", "What is to be taken away, as a JSON pointer; repeated: all of them.", json!({"type": "array", "items": {"type": "string", "example": "/message"}})))
        .param(doc::tenant_id())
        .param(doc::if_match())
        .param(doc::idempotency_key())
        .answers(200, "The event as it stands.", "Event")
        .header("ETag", "How often it was revised.")
        .answers(202, "The log has it, and it was not searchable in time.", "NotYet")
        .problem(403, "The role does not allow it, another tenant is named, or the event is the server's own.")
        .problem(409, REVISED_TOO_OFTEN)
        .problem(412, "The event was revised meanwhile.")
}

/// How often a wish is applied anew when others were faster.
const ATTEMPTS: usize = 16;

const NOTE: &str = "The event is shown without what was redacted, here and everywhere. The records that were written \
    before stay in the log until its retention removes them.";

/// What the parameters say.
struct Wanted {
    tenant: Option<TenantId>,
    reason: Option<String>,
    fields: Vec<String>,
}

/// One event that is to be revised, by whom, and on which condition.
struct Wish<'a> {
    state: &'a AppState,
    principal: &'a Principal,
    occasion: Occasion,
    tenant: &'a TenantId,
    id: &'a str,
    deed: Deed,
    expected: Expected,
}

/// An event as answers show it, and what is to be known about it.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    event: View<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// `PATCH`: applies a merge patch.
pub(super) async fn amend(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    Id(id): Id,
    Params(params): Params,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    is_patch(&headers)?;
    let wanted = Wanted::read(&params, false)?;
    let tenant = tenant_of(&state, &principal, Manage, wanted.tenant.clone())?;
    let asked = xxh3_64(&[b"amend ", body.as_ref()].concat());
    let wish = Wish::of(
        (&state, &principal, occasion),
        (&tenant, &id),
        &headers,
        (wanted.reason, asked),
    )?;
    let invalid = StatusCode::UNPROCESSABLE_ENTITY;
    let make = |standing: Standing<'_>, deed| {
        revision::amendment(standing, &body, deed).map_err(|why| refused(why, invalid))
    };
    wish.grant(make, None).await
}

/// `DELETE`: takes fields away, or everything but the bare fact.
pub(super) async fn redact(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    Id(id): Id,
    Params(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let wanted = Wanted::read(&params, true)?;
    let tenant = tenant_of(&state, &principal, Manage, wanted.tenant.clone())?;
    let asked = xxh3_64(format!("redact {:?}", wanted.fields).as_bytes());
    let wish = Wish::of(
        (&state, &principal, occasion),
        (&tenant, &id),
        &headers,
        (wanted.reason, asked),
    )?;
    let fields = (!wanted.fields.is_empty()).then_some(wanted.fields);
    let make = |standing: Standing<'_>, deed| {
        let redacted = revision::redaction(standing, fields.as_deref(), deed);
        redacted
            .map(Some)
            .map_err(|why| refused(why, StatusCode::BAD_REQUEST))
    };
    wish.grant(make, Some(NOTE)).await
}

impl<'a> Wish<'a> {
    fn of(
        (state, principal, occasion): (&'a AppState, &'a Principal, Occasion),
        (tenant, id): (&'a TenantId, &'a str),
        headers: &HeaderMap,
        (reason, asked): (Option<String>, u64),
    ) -> Result<Self, ApiError> {
        state.admit_write()?;
        let route = format!("revise /api/v1/logs/{id}");
        let whence = principal.whence();
        let ip: Option<IpAddr> = whence.and_then(|whence| whence.ip);
        let deed = Deed {
            wish: request_id(headers, state, principal, &route, tenant)?,
            asked,
            by: principal.who().to_owned(),
            at: state.clock.now(),
            ip,
            request_id: whence.and_then(|whence| whence.request_id.clone()),
            reason,
        };
        Ok(Self {
            state,
            principal,
            occasion,
            tenant,
            id,
            deed,
            expected: Expected::of(headers)?,
        })
    }

    /// Revises the event as it stands, again where others were faster, until this wish is part of its history.
    async fn grant(
        &self,
        make: impl Fn(Standing<'_>, Deed) -> Result<Option<Revised>, ApiError>,
        note: Option<&'static str>,
    ) -> Result<Response, ApiError> {
        self.state.ingest.admit(self.principal, 1)?;
        for _ in 0..ATTEMPTS {
            let stands = self.stands().await?.ok_or_else(absent)?;
            if let Some(granted) = stands
                .history
                .as_ref()
                .and_then(|history| history.granting(self.deed.wish))
            {
                return match granted.asked() == Some(self.deed.asked) {
                    true => self.read(&stands, note).await,
                    false => Err(ApiError::conflict(
                        "Idempotency-Key",
                        "another request came with this key before: give each one a key of its own",
                    )),
                };
            }
            self.expected.check(Some(&tag(&stands)))?;
            let Some(revised) = make(stands.standing(), self.deed.clone())? else {
                return self.read(&stands, note).await;
            };
            let at = self.state.ingest.revise(self.principal, &revised).await?;
            if !self.arrives(&revised, at).await {
                return Ok(not_yet(&revised));
            }
            let Some(stands) = self.stands().await? else {
                // What the caller may see does not hold it any more.
                return Ok(answer(
                    &Stands {
                        event: revised.event,
                        history: Some(revised.history),
                    },
                    note,
                ));
            };
            let own = revised.history.last().map(|entry| entry.id);
            if own.is_some_and(|own| stands.history.as_ref().is_some_and(|history| history.has(own))) {
                return Ok(answer(&stands, note));
            }
        }
        Err(ApiError::new(
            StatusCode::CONFLICT,
            "conflict",
            "The event keeps being revised by others. Read it, and try again.",
        ))
    }

    /// The event, to somebody who has changed nothing by this request: that is a read, and is counted and recorded as
    /// one.
    async fn read(&self, stands: &Stands, note: Option<&'static str>) -> Result<Response, ApiError> {
        self.state.limits.spend(self.principal, Budget::Searching)?;
        let read = Reading::get(Some(self.tenant), self.id);
        self.state
            .trail
            .note(self.principal, &self.occasion, read)
            .await?;
        Ok(answer(stands, note))
    }

    async fn stands(&self) -> Result<Option<Stands>, ApiError> {
        let queries = &self.state.queries;
        let tenant = Some(self.tenant.as_str());
        Ok(queries.standing(self.principal, tenant, self.id).await?)
    }

    /// Whether the table holds it before the waiting is over.
    async fn arrives(&self, revised: &Revised, at: Position) -> bool {
        let within = Duration::from_secs(self.state.config.wait_indexed_seconds);
        let deadline = Instant::now() + within;
        if let Some(arrived) = self.state.ingest.progress().wait(at, within).await {
            return arrived;
        }
        let event = &revised.event;
        let version = version_of(event.revision, at.offset.max(0).cast_unsigned());
        self.state
            .queries
            .wait_for_version(event, version, deadline)
            .await
    }
}

impl Wanted {
    fn read(params: &[(String, String)], redacts: bool) -> Result<Self, ApiError> {
        let mut given = Given::of(params);
        let reason = |value: &'_ str| {
            let reason = value.trim();
            match (1..=REASON_MAX).contains(&reason.chars().count()) {
                true => Ok(reason.to_owned()),
                false => Err(say_why()),
            }
        };
        let (tenant, reason) = (given.tenant(), given.one("reason", reason));
        let fields = match redacts {
            true => given.all("field"),
            false => Vec::new(),
        };
        if redacts && !given.has("reason") {
            given.wrong("reason", say_why());
        }
        given.finish()?;
        Ok(Self {
            tenant,
            reason,
            fields: fields.into_iter().map(str::to_owned).collect(),
        })
    }
}

fn say_why() -> String {
    format!("say why, in 1 to {REASON_MAX} characters: it is kept with the event")
}

fn tag(stands: &Stands) -> Tag {
    Tag::of(stands.event.revision.into())
}

fn answer(stands: &Stands, note: Option<&'static str>) -> Response {
    let event = view::to_json_with_changes(&stands.event).with_history(stands.history.as_ref());
    ([etag(&tag(stands))], Json(Answer { event, note })).into_response()
}

/// The log has it; who reads on will see.
fn not_yet(revised: &Revised) -> Response {
    let event = &revised.event;
    let body = serde_json::json!({
        "event_id": event.event_id,
        "detail": "The log has it, and it is not yet searchable. Look again, or repeat the request under the same Idempotency-Key.",
    });
    (StatusCode::ACCEPTED, Json(body)).into_response()
}

fn absent() -> ApiError {
    ApiError::not_found("There is no event with this id, or it is not yet searchable.")
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

fn is_patch(headers: &HeaderMap) -> Result<(), ApiError> {
    match media_type(headers).as_deref() {
        None | Some("application/json" | "application/merge-patch+json") => Ok(()),
        Some(kind) => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!(
                "The body is said to be {kind}. Send a merge patch (RFC 7396) as application/merge-patch+json."
            ),
        )),
    }
}
