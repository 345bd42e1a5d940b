//! When are two events with the same id copies of one another?
//!
//! When they say the same about what happened. How they came here (receipt, source, provenance, the original bytes)
//! does not count, and neither does a time that nobody wrote: a retry without a time equals its first copy, although
//! it was received later. A time counts when both copies state one. The order of keys in JSON does not count;
//! numbers count as written, so `1` and `1.0` differ.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::json::scan::{each_member, elements};
use super::json::{Json, Value};
use super::{Event, TimeFrom};
use crate::clock::Timestamp;

/// What an event says, in 24 bytes: small enough to keep for every event of the seen window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Hash of everything that counts but the time.
    pub hash: u64,
    /// The time, when the client or the source stated it.
    pub stated: Option<Timestamp>,
}

impl Content {
    /// Whether two events with these contents, and the same id, are copies.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let times_agree = match (self.stated, other.stated) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.hash == other.hash && times_agree
    }
}

impl Event {
    /// What the event says, for comparing copies.
    pub fn content(&self) -> Content {
        let stated = (self.time_from == TimeFrom::Client).then_some(self.time);
        Content {
            hash: self.content_hash(),
            stated,
        }
    }

    /// XXH3 over everything that makes up the content but the time.
    pub fn content_hash(&self) -> u64 {
        let mut hasher = Hasher(Xxh3Default::new());
        hasher.text(Some(&self.event_type));
        hasher.text(self.action.as_deref());
        hasher.text(Some(self.severity.as_str()));
        hasher.text(Some(self.outcome.as_str()));
        let actor = &self.actor;
        for text in [
            &actor.id,
            &actor.kind,
            &actor.name,
            &actor.email,
            &actor.session_id,
            &actor.user_agent,
        ] {
            hasher.text(text.as_deref());
        }
        hasher.text(actor.ip.map(|ip| ip.to_string()).as_deref());
        for text in [
            &self.resource.kind,
            &self.resource.id,
            &self.resource.name,
            &self.message,
        ] {
            hasher.text(text.as_deref());
        }
        for json in [&self.before, &self.after, &self.details] {
            hasher.number(json.as_ref().map_or(0, of_json));
        }
        hasher.text(self.request_id.as_deref());
        hasher.text(self.trace_id.as_deref());
        hasher.number(self.tags.len() as u64);
        for tag in &self.tags {
            hasher.text(Some(tag));
        }
        hasher.0.digest()
    }
}

struct Hasher(Xxh3Default);

impl Hasher {
    /// The length goes first, so that no two lists of texts run together.
    fn text(&mut self, text: Option<&str>) {
        self.number(text.map_or(u64::MAX, |text| text.len() as u64));
        self.0.update(text.unwrap_or_default().as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }
}

fn of_json(json: &Json) -> u64 {
    of_value(&json.read())
}

/// Members are added up, so that their order does not matter; elements are chained, so that theirs does.
fn of_value(value: &Value<'_>) -> u64 {
    match value {
        Value::Null => 1,
        Value::Bool(false) => 2,
        Value::Bool(true) => 3,
        Value::Number(text) => tagged(4, xxh3_64(text.as_bytes())),
        Value::Text(text) => tagged(5, xxh3_64(text.decode().as_bytes())),
        Value::Object(span) => {
            let mut sum = 0u64;
            each_member(*span, |member| {
                sum = sum.wrapping_add(tagged(
                    xxh3_64(member.key.decode().as_bytes()),
                    of_value(&member.value),
                ));
            });
            tagged(6, sum)
        }
        Value::Array(span) => elements(*span)
            .iter()
            .fold(7, |chain, element| tagged(chain, of_value(element))),
    }
}

fn tagged(tag: u64, value: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&tag.to_le_bytes());
    bytes[8..].copy_from_slice(&value.to_le_bytes());
    xxh3_64(&bytes)
}
