//! CloudEvents 1.0, structured and binary.
//!
//! The attributes are authoritative: `id`, `source`, `type` and `time` are the event's. `data` is read leniently by
//! the table of the plain shapes, since its form is a matter of its own type; the rest of it becomes the details.
//! `subject` names the resource when the data does not, `traceparent` the trace, and every attribute without a field
//! of its own is kept under `details.cloudevent`.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Draft, Location, Reading, Slot};
use crate::event::json::scan::{self, Limits, Member};
use crate::event::json::{Text, Value};
use crate::event::problem::{NAME_MAX, Problem};

const GROUP: &str = "cloudevent";

/// Whether an object is a CloudEvent.
pub fn is_one(members: &[Member<'_>]) -> bool {
    find(members, "specversion").is_some()
}

fn find<'a>(members: &[Member<'a>], key: &str) -> Option<Value<'a>> {
    members
        .iter()
        .find(|member| member.key.decode() == key)
        .map(|member| member.value)
}

/// The data of a CloudEvent where it had to be decoded or came apart from the attributes.
#[derive(Debug)]
pub enum Payload {
    /// None, or it stands in the event as JSON.
    Nothing,
    /// A JSON text.
    Json(String),
    /// A text of another type.
    Text(String),
    /// Bytes of another type, in base64.
    Bytes(String),
    /// Something is wrong with it.
    Bad(Problem),
}

impl Payload {
    /// Of a structured event: `data_base64`, decoded where it holds JSON.
    pub fn of(members: &[Member<'_>]) -> Self {
        let Some(Value::Text(encoded)) = find(members, "data_base64") else {
            return Self::Nothing;
        };
        let content_type = match find(members, "datacontenttype") {
            Some(Value::Text(text)) => Some(text.decode()),
            _ => None,
        };
        match STANDARD.decode(encoded.decode().as_bytes()) {
            Ok(bytes) => Self::of_body(content_type.as_deref(), &bytes),
            Err(_) => Self::Bad(Problem::new("/data_base64", "expected base64 with its padding")),
        }
    }

    /// Of a body with its content type; without one, JSON is tried.
    pub fn of_body(content_type: Option<&str>, body: &[u8]) -> Self {
        let text = std::str::from_utf8(body);
        let json = content_type.map(is_json);
        match (json, text) {
            (_, Ok("")) => Self::Nothing,
            (Some(true), Ok(text)) => Self::Json(text.to_owned()),
            (Some(true), Err(_)) => Self::Bad(Problem::new("/data", "invalid UTF-8")),
            (None, Ok(text)) if scan::whole(text, Limits::EVENT).is_ok() => Self::Json(text.to_owned()),
            (_, Ok(text)) if !text.contains('\0') => Self::Text(text.to_owned()),
            _ => Self::Bytes(STANDARD.encode(body)),
        }
    }
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media_type == "application/json" || media_type == "text/json" || media_type.ends_with("+json")
}

/// Reads a structured event; `payload` holds what [`Payload::of`] found in it.
pub fn read_structured<'a>(draft: &mut Draft<'a>, members: &[Member<'a>], payload: &'a Payload) {
    let attributes: Vec<_> = members
        .iter()
        .map(|member| (member.key.decode(), member.value))
        .filter(|(name, value)| !matches!(value, Value::Null) && name != "data" && name != "data_base64")
        .collect();
    let data = find(members, "data").filter(|value| !matches!(value, Value::Null));
    if data.is_some() && find(members, "data_base64").is_some() {
        draft.problems.push(Problem::new(
            "/data_base64",
            "`data` is there as well: only one of them may be",
        ));
    }
    read(draft, attributes, data, payload);
}

/// Reads an event in binary mode.
pub fn read_binary<'a>(draft: &mut Draft<'a>, attributes: &'a [(String, String)], payload: &'a Payload) {
    let attributes = attributes
        .iter()
        .map(|(name, value)| (Cow::Borrowed(name.as_str()), Value::Text(Text::plain(value))))
        .collect();
    read(draft, attributes, None, payload);
}

/// The attributes in headers: `ce-…` (HTTP, where values are percent-encoded) and `ce_…` (Kafka, where they are
/// plain). Other headers are no attributes.
pub fn attributes(headers: &[(&str, &[u8])]) -> (Vec<(String, String)>, Vec<Problem>) {
    let (mut attributes, mut problems) = (Vec::new(), Vec::new());
    for &(header, value) in headers {
        let name = header.to_ascii_lowercase();
        let (name, encoded) = match (name.strip_prefix("ce-"), name.strip_prefix("ce_")) {
            (Some(name), _) => (name, true),
            (_, Some(name)) => (name, false),
            _ => continue,
        };
        let value = if encoded {
            percent_decoded(value)
        } else {
            value.to_vec()
        };
        match String::from_utf8(value) {
            Ok(value) if value.contains('\0') => problems.push(Problem::new(header, "holds a NUL character")),
            Ok(value)
                if attributes
                    .iter()
                    .any(|(other, known)| other == name && *known != value) =>
            {
                problems.push(Problem::new(header, "this attribute stands twice"));
            }
            Ok(value) => attributes.push((name.to_owned(), value)),
            Err(_) => problems.push(Problem::new(header, "invalid UTF-8")),
        }
    }
    (attributes, problems)
}

fn percent_decoded(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut i = 0;
    while i < value.len() {
        let hex = value
            .get(i + 1..i + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match hex
            .filter(|_| value[i] == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(value[i]);
                i += 1;
            }
        }
    }
    out
}

type Attribute<'a> = (Cow<'a, str>, Value<'a>);

fn read<'a>(
    draft: &mut Draft<'a>,
    attributes: Vec<Attribute<'a>>,
    data: Option<Value<'a>>,
    payload: &'a Payload,
) {
    for required in ["id", "source", "type"] {
        let there = attributes
            .iter()
            .any(|(name, value)| name == required && !is_empty(value));
        if !there {
            draft.problems.push(Problem::new(
                format!("/{required}"),
                "a CloudEvent must have this attribute",
            ));
        }
    }
    let mut rest = Vec::new();
    for (name, value) in attributes {
        let location = Location::new("", name);
        match location.key.as_ref() {
            "specversion" if matches!(value, Value::Text(text) if text.decode() == "1.0") => {}
            "specversion" => draft.problem(&location, "only version \"1.0\" of CloudEvents is known"),
            "id" => draft.fill(Slot::Id, location, value, Reading::Strict),
            "type" => draft.fill(Slot::Type, location, value, Reading::Strict),
            "time" => draft.fill(Slot::Time, location, value, Reading::Strict),
            "tenantid" => draft.fill(Slot::Tenant, location, value, Reading::Strict),
            "source" => match value {
                Value::Text(text) if text.decode().len() <= NAME_MAX => {
                    draft.cloudevent_source = Some(text.decode())
                }
                Value::Text(_) => draft.problem(&location, format!("at most {NAME_MAX} bytes are kept")),
                other => draft.problem(&location, format!("expected a string, found {}", other.kind())),
            },
            "datacontenttype" if matches!(value, Value::Text(text) if is_json(&text.decode())) => {}
            _ => rest.push((location, value)),
        }
    }
    read_data(draft, data, payload);
    for (location, value) in rest {
        read_extension(draft, location, value);
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    matches!(value, Value::Text(text) if text.is_empty())
}

fn read_data<'a>(draft: &mut Draft<'a>, data: Option<Value<'a>>, payload: &'a Payload) {
    let value = match (data, payload) {
        (Some(value), _) => value,
        (None, Payload::Nothing) => return,
        (None, Payload::Json(text)) => match scan::whole(text, Limits::EVENT) {
            Ok((value, faults)) => {
                draft.problems.extend(
                    faults
                        .into_iter()
                        .map(|fault| below_data(Problem::from_fault(text, fault))),
                );
                value
            }
            Err(fault) => {
                draft.problems.push(below_data(Problem::from_fault(text, fault)));
                return;
            }
        },
        (None, Payload::Text(text)) => {
            return draft.keep(
                None,
                Location::new("", Cow::Borrowed("data")),
                Value::Text(Text::plain(text)),
            );
        }
        (None, Payload::Bytes(text)) => {
            return draft.keep(
                None,
                Location::new("", Cow::Borrowed("data_base64")),
                Value::Text(Text::plain(text)),
            );
        }
        (None, Payload::Bad(problem)) => return draft.problems.push(problem.clone()),
    };
    match value {
        Value::Object(span) => draft.read(&scan::members(span), Reading::Lenient),
        other => draft.keep(None, Location::new("", Cow::Borrowed("data")), other),
    }
}

fn below_data(mut problem: Problem) -> Problem {
    problem.field.insert_str(0, "/data");
    problem
}

/// An attribute without a field of its own, or one that serves a field which the data may have filled.
fn read_extension<'a>(draft: &mut Draft<'a>, location: Location<'a>, value: Value<'a>) {
    let free = |draft: &Draft<'a>, slot| draft.given(slot).is_none();
    match (location.key.as_ref(), value) {
        ("subject", Value::Text(text))
            if text.decode().len() <= NAME_MAX && free(draft, Slot::ResourceId) =>
        {
            draft.fill(Slot::ResourceId, location, value, Reading::Strict);
        }
        ("traceparent", Value::Text(text)) => {
            if let (Cow::Borrowed(parent), true) = (text.decode(), free(draft, Slot::Trace))
                && let Some(trace) = trace_of(parent)
            {
                draft.fill(
                    Slot::Trace,
                    location.clone(),
                    Value::Text(Text::plain(trace)),
                    Reading::Strict,
                );
            }
            draft.keep(Some(GROUP), location, value);
        }
        _ => draft.keep(Some(GROUP), location, value),
    }
}

/// The trace id in a W3C `traceparent`: `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`.
fn trace_of(parent: &str) -> Option<&str> {
    let mut parts = parent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
    (hex(version, 2) && hex(trace, 32) && trace.bytes().any(|b| b != b'0')).then_some(trace)
}
