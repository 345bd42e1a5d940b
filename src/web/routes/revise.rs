//! `PATCH` and `DELETE /api/v1/logs/{id}`: an amendment, or a redaction, is appended, and the answer shows the event as
//! it is from then on.
//!
//! What becomes of two who revise the same event at once is the matter of [`settle`].

mod overlooked;
mod settle;
mod wish;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::manage::precondition::Expected;
use super::manage::request_id;
use super::whose::tenant_of;
use super::{Access::Needs, Budget, Route, delete, patch};
use crate::auth::Principal;
use crate::control::Permission::Manage;
use crate::event::TenantId;
use crate::event::id::of_client;
use crate::event::revision::{Deed, REASON_MAX};
use crate::trail::Occasion;
use crate::web::body::Body;
use crate::web::doc::{self, Doc, query};
use crate::web::extract::{Caller, Id, Params, media_type};
use crate::web::given::Given;
use crate::web::{ApiError, AppState};
use wish::{Change, Wish};

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
        .answers(202, "The log has it, and it was not searchable in time. It takes effect when the table comes to it, and is made anew without the client where another revision came first.", "NotYet")
        .problem(403, "The role does not allow it, another tenant is named, or the event is the server's own.")
        .problem(409, "What is to be amended was redacted meanwhile, its history is full, it keeps being revised by others, or the `Idempotency-Key` belongs to another request.")
        .problem(412, "The event was revised meanwhile.")
}

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
        .answers(202, "The log has it, and it was not searchable in time. It takes effect when the table comes to it, and is made anew without the client where another revision came first.", "NotYet")
        .problem(403, "The role does not allow it, another tenant is named, or the event is the server's own.")
        .problem(409, "Its history is full, it keeps being revised by others, or the `Idempotency-Key` belongs to another request.")
        .problem(412, "The event was revised meanwhile.")
}

/// What the parameters say.
struct Wanted {
    tenant: Option<TenantId>,
    reason: Option<String>,
    fields: Vec<String>,
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
    let asked = xxh3_64(&[b"amend ", body.as_ref()].concat());
    let wish = wanted.wish(
        (state, principal, occasion),
        id,
        &headers,
        (Change::Amend(body), asked),
    );
    wish.await?.grant().await
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
    let mut wanted = Wanted::read(&params, true)?;
    let fields = std::mem::take(&mut wanted.fields);
    let asked = xxh3_64(format!("redact {fields:?}").as_bytes());
    let change = Change::Redact((!fields.is_empty()).then_some(fields));
    let wish = wanted.wish((state, principal, occasion), id, &headers, (change, asked));
    wish.await?.grant().await
}

impl Wanted {
    /// The wish that this is, of this caller and about this event.
    async fn wish(
        self,
        (state, principal, occasion): (AppState, Principal, Occasion),
        id: String,
        headers: &HeaderMap,
        (change, asked): (Change, u64),
    ) -> Result<Wish, ApiError> {
        let tenant = tenant_of(&state, &principal, Manage, self.tenant)?;
        state.admit_write()?;
        state.ingest.admit(&principal, 1)?;
        let event_id = event_id(&state, &principal, &tenant, &id).await?;
        let route = format!("revise /api/v1/logs/{event_id}");
        let whence = principal.whence();
        let deed = Deed {
            wish: request_id(headers, &state, &principal, &route, &tenant)?,
            asked,
            by: principal.who().to_owned(),
            at: state.clock.now(),
            ip: whence.and_then(|whence| whence.ip),
            request_id: whence.and_then(|whence| whence.request_id.clone()),
            reason: self.reason,
        };
        Ok(Wish {
            expected: Expected::of(headers)?,
            state,
            principal,
            occasion,
            tenant,
            event_id,
            deed,
            change,
        })
    }

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

/// Which event that is. From here on it is sought by its own id: its sender's may name a later one as well, and goes when
/// the event is redacted. One that was posted under that name is found by it all the same.
async fn event_id(
    state: &AppState,
    principal: &Principal,
    tenant: &TenantId,
    id: &str,
) -> Result<Uuid, ApiError> {
    let derived = of_client(tenant, "", id).to_string();
    for name in [id, &derived] {
        if let Some(event) = state.queries.get(principal, Some(tenant.as_str()), name).await? {
            return Ok(event.event_id);
        }
    }
    Err(wish::absent())
}

fn say_why() -> String {
    format!("say why, in 1 to {REASON_MAX} characters: it is kept with the event")
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
