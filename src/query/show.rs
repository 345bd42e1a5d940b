//! A row as JSON, without an event in between: the same bytes as `event::view` writes, or of chosen fields alone.

pub(super) mod details;

use std::io::Write as _;
use std::net::IpAddr;

use super::fields::{Fields, Named as N};
use crate::clock::Timestamp;
use crate::event::revision::Rank;
use crate::event::{Event, Json};
use crate::store::EventRow;
use crate::store::row::{self, StrangeRow};

/// Writes an event as one JSON object. [`StrangeRow`] when a column holds what no event can have; what was written until
/// then must be taken back.
pub fn push_json(row: &EventRow<'_>, fields: &Fields, out: &mut Vec<u8>) -> Result<(), StrangeRow> {
    let mut object = Object::begin(out, fields);
    object.with(N::EventId, "event_id", |out| {
        push_quoted(out, row.event_id.hyphenated())
    });
    object.text(N::SourceEventId, "source_event_id", &row.source_event_id);
    object.with(N::TenantId, "tenant_id", |out| push_text(out, &row.tenant_id));
    object.with(N::Time, "time", |out| push_moment(out, row.time));
    if let Some(minutes) = row.time_offset {
        object.with(N::TimeOffset, "time_offset", |out| push_offset(out, minutes));
    }
    object.with(N::TimeFrom, "time_from", |out| {
        push_text(out, time_from(row).unwrap_or_default())
    });
    object.with(N::ReceivedAt, "received_at", |out| {
        push_moment(out, row.received_at)
    });
    object.with(N::EventType, "event_type", |out| push_text(out, &row.event_type));
    object.text(N::Action, "action", &row.action);
    object.with(N::Severity, "severity", |out| {
        push_text(out, severity(row).unwrap_or_default())
    });
    object.with(N::Outcome, "outcome", |out| {
        push_text(out, outcome(row).unwrap_or_default())
    });
    if fields.has_any(&ACTOR) {
        object.key("actor");
        push_actor(row, fields, object.out);
    }
    if fields.has_any(&RESOURCE) {
        object.key("resource");
        let mut inner = Object::begin(object.out, fields);
        inner.text(N::ResourceType, "type", &row.resource_type);
        inner.text(N::ResourceId, "id", &row.resource_id);
        inner.text(N::ResourceName, "name", &row.resource_name);
        inner.end();
    }
    object.text(N::Message, "message", &row.message);
    object.json(N::Before, "before", &row.before);
    object.json(N::After, "after", &row.after);
    if fields.has_details() && !row.details_types.is_empty() {
        details::push(row, fields, &mut object);
    }
    object.text(N::RequestId, "request_id", &row.request_id);
    object.text(N::TraceId, "trace_id", &row.trace_id);
    object.with(N::Tags, "tags", |out| push_texts(out, &row.tags));
    if fields.has_any(&SOURCE) {
        object.key("source");
        let mut inner = Object::begin(object.out, fields);
        inner.with(N::SourceKind, "kind", |out| push_text(out, &row.source));
        inner.text(N::SourceId, "id", &row.source_id);
        inner.json(N::Provenance, "provenance", &row.provenance);
        inner.end();
    }
    match row::revision_of(row.version) {
        0 => {}
        number => object.with(N::Revision, "revision", |out| push_display(out, number)),
    }
    object.end();
    check(row)
}

/// The chosen fields of an event as one JSON object.
pub fn to_json(event: &Event, fields: &Fields) -> Result<String, StrangeRow> {
    let rank = Rank {
        redacted: false,
        number: event.revision,
    };
    let version = row::version_of(rank, 0);
    let row = EventRow::from_event(event, uuid::Uuid::nil(), 0, version);
    let mut out = Vec::with_capacity(512);
    push_json(&row, fields, &mut out)?;
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// About how many bytes some events are, where they are large.
pub fn bytes(events: &[Event]) -> usize {
    let json = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.as_str().len());
    let of = |event: &Event| json(&event.details) + json(&event.before) + json(&event.after);
    events.iter().map(of).sum()
}

fn push_display(out: &mut Vec<u8>, number: u32) {
    // Writing into memory does not fail.
    let _ = write!(out, "{number}");
}

const ACTOR: [N; 7] = [
    N::ActorId,
    N::ActorType,
    N::ActorName,
    N::ActorEmail,
    N::SessionId,
    N::Ip,
    N::UserAgent,
];
const RESOURCE: [N; 3] = [N::ResourceType, N::ResourceId, N::ResourceName];
const SOURCE: [N; 3] = [N::SourceKind, N::SourceId, N::Provenance];

/// An object that is being written.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    fields: &'a Fields,
    is_empty: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>, fields: &'a Fields) -> Self {
        out.push(b'{');
        Self {
            out,
            fields,
            is_empty: true,
        }
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn with(&mut self, field: N, key: &str, push: impl FnOnce(&mut Vec<u8>)) {
        if self.fields.has(field) {
            self.key(key);
            push(self.out);
        }
    }

    fn text(&mut self, field: N, key: &str, text: &str) {
        if !text.is_empty() {
            self.with(field, key, |out| push_text(out, text));
        }
    }

    fn json(&mut self, field: N, key: &str, json: &str) {
        if !json.is_empty() {
            self.with(field, key, |out| out.extend_from_slice(json.as_bytes()));
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

fn push_actor(row: &EventRow<'_>, fields: &Fields, out: &mut Vec<u8>) {
    let mut actor = Object::begin(out, fields);
    actor.text(N::ActorId, "id", &row.actor_id);
    actor.text(N::ActorType, "type", &row.actor_type);
    actor.text(N::ActorName, "name", &row.actor_name);
    actor.text(N::ActorEmail, "email", &row.actor_email);
    actor.text(N::SessionId, "session_id", &row.session_id);
    if let Some(ip) = ip(row) {
        actor.with(N::Ip, "ip", |out| push_quoted(out, ip));
    }
    actor.text(N::UserAgent, "user_agent", &row.user_agent);
    actor.end();
}

/// A JSON string as serde_json writes it.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing a text into memory has no way to fail.
        let _ = serde_json::to_writer(out, text);
    }
}

/// An array of texts.
pub(super) fn push_texts(out: &mut Vec<u8>, texts: &[impl AsRef<str>]) {
    out.push(b'[');
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(out, text.as_ref());
    }
    out.push(b']');
}

fn push_quoted(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    let _ = write!(out, "\"{value}\"");
}

fn push_moment(out: &mut Vec<u8>, micros: i64) {
    out.push(b'"');
    push_date(out, micros);
    out.push(b'"');
}

/// The last moment of the year 9999.
const LAST_MICROS: i64 = 253_402_300_799_999_999;
const DAY_SECONDS: i64 = 86_400;

/// A moment as [`Timestamp`] prints it, which takes ten times as long.
pub(super) fn push_date(out: &mut Vec<u8>, micros: i64) {
    if !(0..=LAST_MICROS).contains(&micros) {
        let _ = write!(out, "{}", Timestamp::from_micros(micros));
        return;
    }
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (year, month, day) = date(seconds / DAY_SECONDS);
    let second = seconds % DAY_SECONDS;
    digits(out, year, 4);
    for (before, number) in [
        (b'-', month),
        (b'-', day),
        (b'T', second / 3_600),
        (b':', second / 60 % 60),
        (b':', second % 60),
    ] {
        out.push(before);
        digits(out, number, 2);
    }
    if fraction > 0 {
        out.push(b'.');
        digits(out, fraction, 6);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

/// Year, month and day, from days since 1970 (Howard Hinnant's `civil_from_days`).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn digits(out: &mut Vec<u8>, number: i64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (number / 10_i64.pow(place) % 10) as u8);
    }
}

/// `+01:00`
pub(super) fn push_offset_text(out: &mut Vec<u8>, minutes: i16) {
    let (sign, minutes) = (
        if minutes < 0 { b'-' } else { b'+' },
        i64::from(minutes.unsigned_abs()),
    );
    out.push(sign);
    digits(out, minutes / 60, 2);
    out.push(b':');
    digits(out, minutes % 60, 2);
}

fn push_offset(out: &mut Vec<u8>, minutes: i16) {
    out.push(b'"');
    push_offset_text(out, minutes);
    out.push(b'"');
}

/// That the columns which hold one of few values hold one of them.
pub(super) fn check(row: &EventRow<'_>) -> Result<(), StrangeRow> {
    let columns = [
        ("time_from", time_from(row)),
        ("severity", severity(row)),
        ("outcome", outcome(row)),
    ];
    match columns.into_iter().find(|(_, value)| value.is_none()) {
        None => Ok(()),
        Some((column, _)) => Err(StrangeRow {
            event_id: row.event_id,
            column,
        }),
    }
}

pub(super) fn time_from(row: &EventRow<'_>) -> Option<&'static str> {
    row::time_from(row.time_from).map(|from| from.as_str())
}

pub(super) fn severity(row: &EventRow<'_>) -> Option<&'static str> {
    row::severity(row.severity).map(|severity| severity.as_str())
}

pub(super) fn outcome(row: &EventRow<'_>) -> Option<&'static str> {
    row::outcome(row.outcome).map(|outcome| outcome.as_str())
}

pub(super) fn ip(row: &EventRow<'_>) -> Option<IpAddr> {
    (!row.ip.is_unspecified()).then(|| row.ip.to_canonical())
}

#[cfg(test)]
mod tests;
