//! From bytes to an [`Event`], or to everything that is wrong with them.
//!
//! [`accept`] is the one way in for whatever clients send: it bounds the bytes, scans them once, lets
//! [`shapes`](super::shapes) sort the members into slots, checks every slot, and gives the event its id, its time
//! and its defaults. Problems are collected, so that a client sees all of them at once.

mod avro;
mod check;
mod fields;

pub use avro::accept_datum;
pub use check::{AHEAD_MAX, UNSPECIFIED};

use uuid::Uuid;

use super::id::IdOrigin;
use super::json::pointer::{line_and_column, pointer_at};
use super::json::scan::{self, Limits};
pub use super::problem::{EVENT_BYTES_MAX, Problem};
use super::shapes::{Draft, Reading, cloudevent};
use super::{Event, TenantId};
use crate::clock::{Clock, Timestamp};

/// What is known about an item before it is read.
#[derive(Clone, Copy)]
pub struct Intake<'a> {
    /// The tenant of the credential.
    pub tenant: &'a TenantId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// `http`, `kafka`, …
    pub source_kind: &'a str,
    /// The configured source, where there is one. It is also the namespace of the client's ids.
    pub source_id: Option<&'a str>,
    /// The `Idempotency-Key`: serves as the client's id when the body has none.
    pub client_id: Option<&'a str>,
    /// Whence an id when nobody gave one.
    pub fallback: FallbackId<'a>,
    /// Set where the caller may only write as itself.
    pub actor: Option<&'a str>,
}

/// Whence an id when neither the body nor the transport gave one.
#[derive(Clone, Copy)]
pub enum FallbackId<'a> {
    /// A fresh UUIDv7.
    Mint(&'a dyn Clock),
    /// Always the same for the same place, such as `topic/partition/offset`: a second reading makes no second event.
    Derived(&'a str),
}

/// An event that may be appended.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The event.
    pub event: Event,
    /// What was kept, but perhaps not as meant: unknown keys, a UUIDv7 with an impossible time.
    pub warnings: Vec<Problem>,
    /// Where its id came from.
    pub id: IdOrigin,
}

/// Why an item can't become an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not what an event must be; all that is wrong.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
    /// It names another tenant than the credential's.
    #[error("`{field}` names another tenant")]
    OtherTenant {
        /// Where.
        field: String,
    },
    /// It is larger than an event may be.
    #[error("the event has {bytes} bytes, {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl Refusal {
    /// One problem of one field.
    pub fn of(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Problem::new(field, detail)])
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("`{}`: {}", problem.field, problem.detail))
        .collect();
    lines.join("; ")
}

/// Reads one JSON object in any of the accepted shapes, structured CloudEvents among them.
pub fn accept(body: &[u8], intake: &Intake<'_>) -> Result<Accepted, Refusal> {
    let text = text_of(body)?;
    let (members, problems) = scanned(text)?;
    let Some(members) = members else {
        return Err(Refusal::of("", "expected a JSON object"));
    };
    let payload;
    let mut draft = Draft::empty();
    draft.problems = problems;
    if cloudevent::is_one(&members) {
        payload = cloudevent::Payload::of(&members);
        cloudevent::read_structured(&mut draft, &members, &payload);
    } else {
        draft.read(&members, Reading::Strict);
    }
    check::finish(draft, intake)
}

/// Reads a CloudEvent in binary mode: attributes in headers (`ce-…` of HTTP, `ce_…` of Kafka), data in the body.
pub fn accept_cloudevent_binary(
    headers: &[(&str, &[u8])],
    content_type: Option<&str>,
    body: &[u8],
    intake: &Intake<'_>,
) -> Result<Accepted, Refusal> {
    bounded(body.len())?;
    let (attributes, problems) = cloudevent::attributes(headers);
    let payload = cloudevent::Payload::of_body(content_type, body);
    let mut draft = Draft::empty();
    draft.problems = problems;
    cloudevent::read_binary(&mut draft, &attributes, &payload);
    check::finish(draft, intake)
}

fn bounded(bytes: usize) -> Result<(), Refusal> {
    if bytes > EVENT_BYTES_MAX {
        Err(Refusal::TooLarge {
            bytes,
            limit: EVENT_BYTES_MAX,
        })
    } else {
        Ok(())
    }
}

fn text_of(body: &[u8]) -> Result<&str, Refusal> {
    bounded(body.len())?;
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        let (line, column) = line_and_column(body, at);
        let field = std::str::from_utf8(&body[..at])
            .map(|text| pointer_at(text, at))
            .unwrap_or_default();
        Refusal::of(field, format!("invalid UTF-8 at line {line}, column {column}"))
    })
}

type Outline<'a> = (Option<Vec<scan::Member<'a>>>, Vec<Problem>);

/// The members of the object, and the faults that leave the rest readable.
fn scanned(text: &str) -> Result<Outline<'_>, Refusal> {
    let (members, faults) = scan::outline(text, Limits::EVENT)
        .map_err(|fault| Refusal::Invalid(vec![Problem::from_fault(text, fault)]))?;
    Ok((
        members,
        faults
            .into_iter()
            .map(|fault| Problem::from_fault(text, fault))
            .collect(),
    ))
}

impl FallbackId<'_> {
    fn make(self, tenant: &TenantId) -> (Uuid, IdOrigin) {
        match self {
            Self::Mint(clock) => (clock.fresh_id(), IdOrigin::Minted),
            Self::Derived(place) => (super::id::of_place(tenant, place), IdOrigin::Placed),
        }
    }
}

#[cfg(test)]
mod tests;
