//! The checks: every slot becomes a field of the event, or a problem that names it.

use std::borrow::Cow;
use std::time::Duration;

use uuid::Uuid;

use super::fields::{actor, tags, text, word};
use super::{Accepted, Intake, Problem, Refusal};
use crate::clock::Timestamp;
use crate::event::id::{self, CLIENT_ID_MAX, IdOrigin};
use crate::event::json::{Json, Value};
use crate::event::moment::{self, Moment};
use crate::event::problem::{MESSAGE_MAX, NAME_MAX, SYSTEM_PREFIX, TYPE_MAX};
use crate::event::shapes::{Draft, Given, Slot};
use crate::event::{Event, Outcome, Resource, Severity, Source, TimeFrom};

/// How far ahead of its receipt an event may be dated: clocks and time zones go wrong by less than a day.
pub const AHEAD_MAX: Duration = Duration::from_secs(86_400);

/// The `event_type` of an event that says neither its type nor an action.
pub const UNSPECIFIED: &str = "unspecified";

/// Turns a draft into an event.
pub fn finish(mut draft: Draft<'_>, intake: &Intake<'_>) -> Result<Accepted, Refusal> {
    own_tenant(&mut draft, intake)?;
    if draft.is_empty() && draft.problems.is_empty() {
        return Err(Refusal::of("", "the event says nothing"));
    }
    let (event_id, source_event_id, origin) = identity(&mut draft, intake);
    let (time, time_offset, time_from) =
        when(&mut draft, event_id, source_event_id.as_deref(), origin, intake);
    let resource = Resource {
        kind: text(&mut draft, Slot::ResourceKind, NAME_MAX),
        id: text(&mut draft, Slot::ResourceId, NAME_MAX),
        name: text(&mut draft, Slot::ResourceName, NAME_MAX),
    };
    let action = text(&mut draft, Slot::Action, TYPE_MAX);
    let event = Event {
        event_id,
        source_event_id,
        tenant_id: intake.tenant.clone(),
        time,
        time_offset,
        time_from,
        received_at: intake.received_at,
        event_type: given_type(&mut draft)
            .unwrap_or_else(|| type_of(resource.kind.as_deref(), action.as_deref())),
        action,
        severity: word(
            &mut draft,
            Slot::Severity,
            Severity::parse,
            "INFO, WARNING, ERROR or CRITICAL",
        ),
        outcome: word(
            &mut draft,
            Slot::Outcome,
            Outcome::parse,
            "success, failure or unknown",
        ),
        actor: actor(&mut draft, intake),
        resource,
        message: text(&mut draft, Slot::Message, MESSAGE_MAX),
        before: draft
            .take(Slot::Before)
            .map(|given| Json::from_checked(&given.value)),
        after: draft
            .take(Slot::After)
            .map(|given| Json::from_checked(&given.value)),
        details: draft.take_details(),
        request_id: text(&mut draft, Slot::Request, NAME_MAX),
        trace_id: text(&mut draft, Slot::Trace, NAME_MAX),
        tags: tags(&mut draft),
        source: Source {
            kind: intake.source_kind.to_owned(),
            id: draft
                .cloudevent_source
                .as_deref()
                .or(intake.source_id)
                .map(str::to_owned),
            provenance: None,
        },
        raw: None,
        revision: 0,
    };
    if draft.problems.is_empty() {
        Ok(Accepted {
            event,
            warnings: draft.warnings,
            id: origin,
        })
    } else {
        Err(Refusal::Invalid(draft.problems))
    }
}

fn own_tenant(draft: &mut Draft<'_>, intake: &Intake<'_>) -> Result<(), Refusal> {
    let Some(given) = draft.given(Slot::Tenant) else {
        return Ok(());
    };
    match given.value {
        Value::Text(name) if name.decode() == intake.tenant.as_str() => {}
        Value::Text(_) => {
            return Err(Refusal::OtherTenant {
                field: given.location.pointer(),
            });
        }
        other => {
            let location = given.location.clone();
            draft.problem(&location, format!("expected a string, found {}", other.kind()));
        }
    }
    Ok(())
}

/// The id of the event, what the client called it where that is not the id itself, and where the id came from.
fn identity(draft: &mut Draft<'_>, intake: &Intake<'_>) -> (Uuid, Option<String>, IdOrigin) {
    let given = draft.take(Slot::Id).and_then(|given| match given.value {
        Value::Text(text) => checked_id(draft, &given.location.pointer(), text.decode()),
        other => {
            draft.problem(
                &given.location,
                format!("expected a string, found {}", other.kind()),
            );
            None
        }
    });
    if let (Some(source), Some(name)) = (&draft.cloudevent_source, &given) {
        // Two sources may use the same id, also the same UUID, for two events: the source is always part of it.
        return (
            id::of_client(intake.tenant, source, name),
            given.map(Cow::into_owned),
            IdOrigin::Derived,
        );
    }
    let Some(name) = given.or_else(|| checked_id(draft, "Idempotency-Key", Cow::Borrowed(intake.client_id?)))
    else {
        let (event_id, origin) = intake.fallback.make(intake.tenant);
        return (event_id, None, origin);
    };
    match id::kept(&name) {
        Some((event_id, origin)) => (event_id, None, origin),
        None => {
            let event_id = id::of_client(intake.tenant, intake.source_id.unwrap_or_default(), &name);
            (event_id, Some(name.into_owned()), IdOrigin::Derived)
        }
    }
}

fn checked_id<'t>(draft: &mut Draft<'_>, field: &str, name: Cow<'t, str>) -> Option<Cow<'t, str>> {
    if name.len() > CLIENT_ID_MAX {
        let detail = format!(
            "an id has at most {CLIENT_ID_MAX} bytes, this one has {}",
            name.len()
        );
        draft.problems.push(Problem::new(field, detail));
        return None;
    }
    if name.contains('\0') {
        draft
            .problems
            .push(Problem::new(field, "an id can't hold a NUL character"));
        return None;
    }
    Some(name)
}

/// When it happened: what the client wrote, else the time in its UUIDv7, else the receipt.
fn when(
    draft: &mut Draft<'_>,
    event_id: Uuid,
    source_event_id: Option<&str>,
    origin: IdOrigin,
    intake: &Intake<'_>,
) -> (Timestamp, Option<i16>, TimeFrom) {
    let latest = intake.received_at.plus(AHEAD_MAX);
    let possible = |at: Timestamp| at.micros() >= 0 && at <= latest;
    if let Some(given) = draft.take(Slot::Time) {
        match moment_of(&given) {
            Ok(Moment { at, offset }) if possible(at) => return (at, offset, TimeFrom::Client),
            Ok(Moment { at, .. }) => {
                let bounds =
                    format!("{at} is not between 1970-01-01T00:00:00Z and {latest}, a day after its receipt");
                draft.problem(&given.location, bounds);
            }
            Err(detail) => draft.problem(&given.location, detail),
        }
    }
    let clients_v7 = match origin {
        IdOrigin::ClientV7 => Some(event_id),
        IdOrigin::Derived => source_event_id.and_then(id::uuid),
        _ => None,
    };
    match clients_v7.and_then(id::moment) {
        Some(at) if possible(at) => (at, None, TimeFrom::Id),
        Some(at) => {
            let field = if draft.cloudevent_source.is_some() {
                "/id"
            } else {
                "/event_id"
            };
            let detail = format!(
                "the time in this UUIDv7 ({} ms since 1970) is not between 1970-01-01T00:00:00Z and {latest}: \
                 the time of receipt is used",
                at.millis()
            );
            draft.warnings.push(Problem::new(field, detail));
            (intake.received_at, None, TimeFrom::Received)
        }
        None => (intake.received_at, None, TimeFrom::Received),
    }
}

fn moment_of(given: &Given<'_>) -> Result<Moment, String> {
    const EXPECTED: &str =
        "a date such as 2026-11-20T09:00:00Z, or a number since 1970 in seconds or milliseconds";
    let moment = match &given.value {
        Value::Text(text) => moment::parse(&text.decode()),
        Value::Number(digits) => moment::number(digits).map(|at| Moment { at, offset: None }),
        other => return Err(format!("expected {EXPECTED}; found {}", other.kind())),
    };
    moment.ok_or_else(|| format!("expected {EXPECTED}"))
}

fn given_type(draft: &mut Draft<'_>) -> Option<String> {
    let location = draft.given(Slot::Type)?.location.clone();
    let name = text(draft, Slot::Type, TYPE_MAX)?;
    if name.starts_with(SYSTEM_PREFIX) {
        let detail = format!("types that begin with `{SYSTEM_PREFIX}` are the server's own");
        draft.problem(&location, detail);
        return None;
    }
    Some(name)
}

/// A type for an event that names none: `document.update` for an UPDATE of a `document`.
fn type_of(resource: Option<&str>, action: Option<&str>) -> String {
    let name = match (resource, action) {
        (Some(resource), Some(action)) => format!("{resource}.{action}").to_lowercase(),
        (None, Some(action)) => action.to_lowercase(),
        (_, None) => return UNSPECIFIED.to_owned(),
    };
    if name.len() <= TYPE_MAX && !name.starts_with(SYSTEM_PREFIX) {
        name
    } else {
        UNSPECIFIED.to_owned()
    }
}
