//! What a redaction leaves of an event, and of the history of its amendments.
//!
//! Any redaction takes the bytes of the original as well, for what must go stands there too; their SHA-256 stays.

use std::cmp::Reverse;

use super::{Edit, History};
use crate::event::draft::{Problem, Refusal};
use crate::event::json::scan::{elements, members};
use crate::event::json::{Json, Value};
use crate::event::{Actor, Event, Resource, Source};

/// Fields that one redaction may name.
const FIELDS_MAX: usize = 100;
/// Bytes of a pointer.
const POINTER_MAX: usize = 1_024;

/// The bare fact: which event, when, of what kind, how it ended and how it came here.
pub fn bare(event: &Event) -> Event {
    let mut bare = Event {
        source_event_id: None,
        actor: Actor::default(),
        resource: Resource::default(),
        message: None,
        before: None,
        after: None,
        details: None,
        request_id: None,
        trace_id: None,
        tags: Vec::new(),
        source: Source {
            kind: event.source.kind.clone(),
            id: None,
            provenance: None,
        },
        ..event.clone()
    };
    // Even the names in it may be what must go.
    drop_original(&mut bare, vec![String::new()]);
    bare
}

/// The event without what these JSON pointers name, each of which must name something in it or in its history.
pub fn without(event: &Event, history: Option<&History>, fields: &[String]) -> Result<Event, Refusal> {
    let mut result = event.clone();
    let mut problems = Vec::new();
    if fields.len() > FIELDS_MAX {
        return Err(Refusal::of(
            "field",
            format!("at most {FIELDS_MAX} can be named at once"),
        ));
    }
    let mut taken: Vec<&str> = Vec::new();
    for field in in_order(fields) {
        let went_with = |pointer: &str| taken.iter().any(|other| meet(other, pointer));
        let was_there = |pointer: &str| {
            let edits = history.into_iter().flat_map(History::edits);
            edits.into_iter().any(|edit| meet(&edit.path, pointer))
        };
        match remove(&mut result, field) {
            Ok(true) => taken.push(field),
            Ok(false) if went_with(field) || was_there(field) => {}
            Ok(false) => problems.push(Problem::new(
                "field",
                format!("there is nothing at {}", shown(field)),
            )),
            Err(why) => problems.push(Problem::new("field", format!("{}: {why}", shown(field)))),
        }
    }
    if !problems.is_empty() {
        return Err(Refusal::Invalid(problems));
    }
    let redacted = result.raw.as_ref().map(|raw| raw.redacted.clone());
    let mut redacted = redacted.unwrap_or_default();
    redacted.retain(|pointer| !pointer.is_empty());
    redacted.insert(0, String::new());
    drop_original(&mut result, redacted);
    Ok(result)
}

/// Each pointer once, those of tags from the last on: when one goes, those behind it move, and pointers are of the event as
/// it was.
fn in_order(fields: &[String]) -> Vec<&str> {
    let tag = |field: &&str| {
        field
            .strip_prefix("/tags/")
            .and_then(|at| at.parse::<usize>().ok())
    };
    let mut fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    fields.sort_by_key(|field| Reverse(tag(field)));
    fields.dedup();
    fields
}

/// Takes out of changes what is redacted: those at the pointers, above them and below; `None`: all.
pub(super) fn blank(edits: &mut [Edit], fields: Option<&[String]>) {
    for edit in edits {
        let cut = match fields {
            None => Some(end_of_first_step(&edit.path)),
            Some(fields) => {
                let touching = fields.iter().map(|field| whole_lists(field));
                let touching = touching.filter(|field| meet(&edit.path, field));
                touching.map(|field| field.len().min(edit.path.len())).min()
            }
        };
        if let Some(end) = cut {
            // What follows the pointer are names of what is gone.
            edit.path.truncate(end);
            (edit.value, edit.old, edit.redacted) = (None, None, true);
        }
    }
}

/// Takes out of pointers what may be said by a sender's own names.
pub(super) fn shorten<'a>(pointers: impl Iterator<Item = &'a mut String>) {
    for pointer in pointers {
        pointer.truncate(end_of_first_step(pointer));
    }
}

fn end_of_first_step(pointer: &str) -> usize {
    let second = pointer.match_indices('/').nth(1);
    second.map_or(pointer.len(), |(at, _)| at)
}

/// Whether changes are of what a redaction took away; `None`: it took everything.
pub(super) fn touches(edits: &[Edit], fields: Option<&[String]>) -> bool {
    let taken = |edit: &Edit| {
        let mut fields = fields.into_iter().flatten().map(|field| whole_lists(field));
        fields.any(|field| meet(&edit.path, field))
    };
    fields.is_none() || edits.iter().any(taken)
}

/// Whether two pointers name the same, or one something within the other.
fn meet(a: &str, b: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(a, b) || within(b, a)
}

/// Elements of lists move when others come or go, so an earlier change may have had this one under another number.
fn whole_lists(pointer: &str) -> &str {
    let mut end = 0;
    for step in pointer.split('/').skip(1) {
        if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            return &pointer[..end];
        }
        end += 1 + step.len();
    }
    pointer
}

fn shown(pointer: &str) -> String {
    pointer.chars().take(100).collect()
}

fn drop_original(event: &mut Event, redacted: Vec<String>) {
    if let Some(raw) = &mut event.raw {
        raw.bytes = Vec::new();
        raw.redacted = redacted;
    }
}

/// Takes a value out of an event; says whether it was there.
fn remove(event: &mut Event, pointer: &str) -> Result<bool, &'static str> {
    if pointer.len() > POINTER_MAX {
        return Err("is longer than 1024 bytes");
    }
    let steps = steps(pointer).ok_or("is no JSON pointer: /message, /details/email")?;
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let (actor, resource) = (&mut event.actor, &mut event.resource);
    let text = |text: &mut Option<String>| Ok(text.take().is_some());
    match steps.as_slice() {
        ["action"] => text(&mut event.action),
        ["message"] => text(&mut event.message),
        ["request_id"] => text(&mut event.request_id),
        ["trace_id"] => text(&mut event.trace_id),
        ["source_event_id"] => text(&mut event.source_event_id),
        ["actor"] => Ok(std::mem::take(actor) != Actor::default()),
        ["actor", "id"] => text(&mut actor.id),
        ["actor", "type"] => text(&mut actor.kind),
        ["actor", "name"] => text(&mut actor.name),
        ["actor", "email"] => text(&mut actor.email),
        ["actor", "session_id"] => text(&mut actor.session_id),
        ["actor", "ip"] => Ok(actor.ip.take().is_some()),
        ["actor", "user_agent"] => text(&mut actor.user_agent),
        ["resource"] => Ok(std::mem::take(resource) != Resource::default()),
        ["resource", "type"] => text(&mut resource.kind),
        ["resource", "id"] => text(&mut resource.id),
        ["resource", "name"] => text(&mut resource.name),
        ["source", "id"] => text(&mut event.source.id),
        ["source", "provenance", rest @ ..] => Ok(remove_json(&mut event.source.provenance, rest)),
        ["before", rest @ ..] => Ok(remove_json(&mut event.before, rest)),
        ["after", rest @ ..] => Ok(remove_json(&mut event.after, rest)),
        ["details", rest @ ..] => Ok(remove_json(&mut event.details, rest)),
        ["tags"] => Ok(!std::mem::take(&mut event.tags).is_empty()),
        ["tags", index] => Ok(remove_tag(&mut event.tags, index)),
        ["raw"] => Ok(event.raw.is_some()),
        [
            "event_id" | "tenant_id" | "time" | "time_offset" | "time_from" | "received_at" | "event_type"
            | "severity" | "outcome",
            ..,
        ]
        | ["source", "kind"] => Err("stays: it is part of the bare fact"),
        _ => Ok(false),
    }
}

fn remove_tag(tags: &mut Vec<String>, index: &str) -> bool {
    // As RFC 6901 spells it: `01` and `+1` name nothing.
    let found = (0..tags.len()).find(|at| at.to_string() == index);
    found.map(|at| tags.remove(at)).is_some()
}

fn remove_json(json: &mut Option<Json>, steps: &[&str]) -> bool {
    let Some(whole) = json else {
        return false;
    };
    if steps.is_empty() {
        *json = None;
        return true;
    }
    let mut out = String::new();
    let found = write_without(&whole.read(), steps, &mut out);
    if found {
        *json = Some(Json::from_compact(out));
    }
    found
}

/// The value without what stands at the steps, of which there is at least one. A member goes with its name; an element
/// leaves `null`, so that the others stay where they are.
fn write_without(value: &Value<'_>, steps: &[&str], out: &mut String) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return false;
    };
    let mut found = false;
    match value {
        Value::Object(span) => {
            out.push('{');
            let mut is_first = true;
            for member in members(*span) {
                let is_it = member.key.decode() == *step;
                if is_it && rest.is_empty() {
                    found = true;
                    continue;
                }
                if !std::mem::take(&mut is_first) {
                    out.push(',');
                }
                Value::Text(member.key).write_compact(out);
                out.push(':');
                if is_it {
                    found |= write_without(&member.value, rest, out);
                } else {
                    member.value.write_compact(out);
                }
            }
            out.push('}');
        }
        Value::Array(span) => {
            out.push('[');
            for (index, element) in elements(*span).iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                match index.to_string() == *step {
                    true if rest.is_empty() => {
                        out.push_str("null");
                        found = true;
                    }
                    true => found |= write_without(element, rest, out),
                    false => element.write_compact(out),
                }
            }
            out.push(']');
        }
        scalar => scalar.write_compact(out),
    }
    found
}

/// The steps of a JSON pointer (RFC 6901); `None` where it is none.
fn steps(pointer: &str) -> Option<Vec<String>> {
    let rest = pointer.strip_prefix('/')?;
    let step = |step: &str| {
        let mut out = String::new();
        let mut chars = step.chars();
        while let Some(c) = chars.next() {
            out.push(match c {
                '~' => match chars.next()? {
                    '0' => '~',
                    '1' => '/',
                    _ => return None,
                },
                c => c,
            });
        }
        Some(out)
    };
    rest.split('/').map(step).collect()
}
