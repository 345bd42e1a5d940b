//! A rejected record as a line of JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::event::view::to_json;
use crate::event::{Event, schema};
use crate::log::framing::{Framed, unframe};
use crate::log::rejected::Rejected;

/// Its payload is text where it is that, else the event where it is one of ours in Avro, else base64.
pub(super) fn of(rejected: &Rejected) -> Value {
    let record = &rejected.record;
    let (name, payload) = payload(&record.payload);
    let mut line = json!({
        "offset": record.offset,
        "rejected_at": record.appended_at,
        "reason": rejected.reason,
        "detail": rejected.detail,
        "origin": rejected.origin,
        "tenant": rejected.tenant,
        "cut": rejected.cut.as_ref().map(|cut| json!({"bytes": cut.bytes, "sha256": cut.sha256})),
    });
    line[name] = payload;
    line
}

fn payload(bytes: &[u8]) -> (&'static str, Value) {
    if let Some(event) = event(bytes)
        && let Ok(event) = serde_json::to_value(to_json(&event))
    {
        return ("event", event);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => ("payload", text.into()),
        Err(_) => ("payload_base64", STANDARD.encode(bytes).into()),
    }
}

/// The event in a payload that was written by us.
fn event(payload: &[u8]) -> Option<Event> {
    let datum = match unframe(payload) {
        Framed::SingleObject(fingerprint, datum) if fingerprint == schema::fingerprint() => datum,
        Framed::Confluent(_, datum) => datum,
        _ => return None,
    };
    schema::decode(datum).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_not_mangled() {
        assert_eq!(payload(b"{\"a\":"), ("payload", "{\"a\":".into()));
        assert_eq!(payload(b"\xc3\x01\xff"), ("payload_base64", "wwH/".into()));
        assert_eq!(
            payload(b"\0\0\0\0\x07\xff"),
            ("payload_base64", "AAAAAAf/".into())
        );
    }
}
