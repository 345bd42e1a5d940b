//! What a merge patch may change of an event, and what comes of it.
//!
//! The patch is applied to the nested form in which answers show the event. Only what it touches is checked again, by
//! the rules of the door: the rest stays byte for byte, also where a connector was let through with more than a client
//! may send.

use serde::Serialize;

use super::Edit;
use super::patch::merged;
use crate::event::draft::{self, FallbackId, Intake, Problem, Refusal};
use crate::event::json::pointer::push_step;
use crate::event::json::scan::{self, Limits, Member, members};
use crate::event::json::text::quote_into;
use crate::event::json::{Json, Value};
use crate::event::problem::EVENT_BYTES_MAX;
use crate::event::view::changes::changes;
use crate::event::view::{ActorView, ResourceView};
use crate::event::{Event, Outcome, Severity};

/// What can be amended, in the nested form.
#[derive(Serialize)]
struct Amendable<'a> {
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    severity: Severity,
    outcome: Outcome,
    actor: ActorView<'a>,
    resource: ResourceView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
}

/// The names of [`Amendable`].
const AMENDABLE: [&str; 13] = [
    "event_type",
    "action",
    "severity",
    "outcome",
    "actor",
    "resource",
    "message",
    "before",
    "after",
    "details",
    "request_id",
    "trace_id",
    "tags",
];
const OF_ACTOR: &[&str] = &["id", "type", "name", "email", "session_id", "ip", "user_agent"];
const OF_RESOURCE: &[&str] = &["type", "id", "name"];
/// What says which event it is, and how and when it came here.
const FIXED: [&str; 9] = [
    "event_id",
    "tenant_id",
    "time",
    "time_offset",
    "time_from",
    "received_at",
    "source",
    "source_event_id",
    "raw",
];

/// The event as a merge patch makes it.
pub fn amended(event: &Event, patch: &[u8]) -> Result<Event, Refusal> {
    if patch.len() > EVENT_BYTES_MAX {
        return Err(too_large(patch.len()));
    }
    let text = std::str::from_utf8(patch).map_err(|_| Refusal::of("", "invalid UTF-8"))?;
    let (found, faults) = scan::outline(text, Limits::EVENT)
        .map_err(|fault| Refusal::Invalid(vec![Problem::from_fault(text, fault)]))?;
    let found = found.ok_or_else(|| Refusal::of("", "expected a JSON object: a merge patch"))?;
    let mut problems: Vec<Problem> = faults
        .into_iter()
        .map(|fault| Problem::from_fault(text, fault))
        .collect();
    problems.extend(found.iter().flat_map(problems_of));
    if !problems.is_empty() {
        return Err(Refusal::Invalid(problems));
    }
    let present = amendable(event);
    let after = checked(event, &touched(&present, &found))?;
    let mut result = event.clone();
    for member in &found {
        take_over(&member.key.decode(), &after, &mut result);
    }
    // It may stay as large as it is, but not grow past what a client may send.
    let size = amendable(&result).as_str().len();
    match size > EVENT_BYTES_MAX.max(present.as_str().len()) {
        true => Err(too_large(size)),
        false => Ok(result),
    }
}

/// What leads from one state of an event to the other.
pub fn edits(before: &Event, after: &Event) -> Vec<Edit> {
    let found = changes(&amendable(before), &amendable(after));
    found.into_iter().map(Edit::from).collect()
}

fn amendable(event: &Event) -> Json {
    let amendable = Amendable {
        event_type: &event.event_type,
        action: event.action.as_deref(),
        severity: event.severity,
        outcome: event.outcome,
        actor: ActorView::of(&event.actor),
        resource: ResourceView::of(&event.resource),
        message: event.message.as_deref(),
        before: event.before.as_ref(),
        after: event.after.as_ref(),
        details: event.details.as_ref(),
        request_id: event.request_id.as_deref(),
        trace_id: event.trace_id.as_deref(),
        tags: &event.tags,
    };
    Json::from_compact(serde_json::to_string(&amendable).unwrap_or_default())
}

fn too_large(bytes: usize) -> Refusal {
    Refusal::TooLarge {
        bytes,
        limit: EVENT_BYTES_MAX,
    }
}

/// What a patch may not say.
fn problems_of(member: &Member<'_>) -> Vec<Problem> {
    let key = member.key.decode();
    let problem = |detail: String| {
        let mut field = String::new();
        push_step(&mut field, &key);
        vec![Problem::new(field, detail)]
    };
    if FIXED.contains(&key.as_ref()) {
        let detail = "can't be amended: it says which event this is, and how it came here";
        return problem(detail.to_owned());
    }
    match (key.as_ref(), &member.value) {
        ("event_type", Value::Null) => problem("can't be taken away".to_owned()),
        ("actor", value) => group("actor", value, OF_ACTOR),
        ("resource", value) => group("resource", value, OF_RESOURCE),
        (key, _) if AMENDABLE.contains(&key) => Vec::new(),
        _ => problem(format!("no such field; there are {}", AMENDABLE.join(", "))),
    }
}

fn group(name: &'static str, value: &Value<'_>, known: &[&str]) -> Vec<Problem> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(span) => {
            let unknown = members(*span).into_iter().filter(|member| {
                let key = member.key.decode();
                !known.contains(&key.as_ref())
            });
            let problem = |member: Member<'_>| {
                let mut field = format!("/{name}");
                push_step(&mut field, &member.key.decode());
                Problem::new(field, format!("no such field; there are {}", known.join(", ")))
            };
            unknown.map(problem).collect()
        }
        other => vec![Problem::new(
            format!("/{name}"),
            format!("expected an object or null, found {}", other.kind()),
        )],
    }
}

/// What the patch touches, as it becomes: an event in the nested form for the checks of the door.
fn touched(present: &Json, patch: &[Member<'_>]) -> String {
    let present = match present.read() {
        Value::Object(span) => members(span),
        _ => Vec::new(),
    };
    // Something must be said, and the id says nothing that counts.
    let mut body = format!("{{\"event_id\":\"{}\"", uuid::Uuid::nil());
    for change in patch {
        let key = change.key.decode();
        let target = present.iter().find(|member| member.key.decode() == key);
        if let Some(value) = merged(target.map(|member| &member.value), &change.value) {
            body.push(',');
            quote_into(&key, &mut body);
            body.push(':');
            body.push_str(value.as_str());
        }
    }
    body.push('}');
    body
}

fn checked(event: &Event, body: &str) -> Result<Event, Refusal> {
    let intake = Intake {
        tenant: &event.tenant_id,
        received_at: event.received_at,
        source_kind: &event.source.kind,
        source_id: None,
        client_id: None,
        fallback: FallbackId::Derived("amendment"),
        actor: None,
    };
    Ok(draft::accept(body.as_bytes(), &intake)?.event)
}

fn take_over(key: &str, from: &Event, to: &mut Event) {
    match key {
        "event_type" => to.event_type.clone_from(&from.event_type),
        "action" => to.action.clone_from(&from.action),
        "severity" => to.severity = from.severity,
        "outcome" => to.outcome = from.outcome,
        "actor" => to.actor.clone_from(&from.actor),
        "resource" => to.resource.clone_from(&from.resource),
        "message" => to.message.clone_from(&from.message),
        "before" => to.before.clone_from(&from.before),
        "after" => to.after.clone_from(&from.after),
        "details" => to.details.clone_from(&from.details),
        "request_id" => to.request_id.clone_from(&from.request_id),
        "trace_id" => to.trace_id.clone_from(&from.trace_id),
        "tags" => to.tags.clone_from(&from.tags),
        _ => {}
    }
}
