//! The Avro datum of an event, field by field in the order of the schema.

use std::net::IpAddr;

use uuid::Uuid;

use super::SchemaError;
use crate::clock::Timestamp;
use crate::event::{Actor, Event, Json, Outcome, Raw, Resource, Severity, Source, TenantId, TimeFrom};

/// Adds the datum of an event.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    put_uuid(out, event.event_id);
    put_text(out, event.tenant_id.as_str());
    put_long(out, event.time.micros());
    put_optional(out, event.time_offset, |out, offset| {
        put_long(out, i64::from(offset))
    });
    put_long(
        out,
        TIME_FROM
            .iter()
            .position(|from| *from == event.time_from)
            .unwrap_or_default() as i64,
    );
    put_long(out, event.received_at.micros());
    put_text(out, &event.event_type);
    put_maybe(out, event.action.as_deref());
    put_long(
        out,
        Severity::ALL
            .iter()
            .position(|severity| *severity == event.severity)
            .unwrap_or_default() as i64,
    );
    put_long(
        out,
        Outcome::ALL
            .iter()
            .position(|outcome| *outcome == event.outcome)
            .unwrap_or_default() as i64,
    );
    put_actor(out, &event.actor);
    for text in [
        &event.resource.kind,
        &event.resource.id,
        &event.resource.name,
        &event.message,
    ] {
        put_maybe(out, text.as_deref());
    }
    for json in [&event.before, &event.after, &event.details] {
        put_maybe(out, json.as_ref().map(Json::as_str));
    }
    put_maybe(out, event.request_id.as_deref());
    put_maybe(out, event.trace_id.as_deref());
    put_texts(out, &event.tags);
    put_maybe(out, event.source_event_id.as_deref());
    put_text(out, &event.source.kind);
    put_maybe(out, event.source.id.as_deref());
    put_maybe(out, event.source.provenance.as_ref().map(Json::as_str));
    put_optional(out, event.raw.as_ref(), |out, raw| {
        put_bytes(out, &raw.bytes);
        out.extend_from_slice(&raw.sha256);
        put_texts(out, &raw.redacted);
    });
}

/// Reads the datum of an event, all of it and nothing more.
pub fn decode(bytes: &[u8]) -> Result<Event, SchemaError> {
    let mut read = Reader { bytes };
    let event = Event {
        event_id: read.uuid("event_id")?,
        tenant_id: read
            .text("tenant_id")
            .map(TenantId::parse)?
            .ok_or(bad("tenant_id", "is no tenant name"))?,
        time: Timestamp::from_micros(read.long("time")?),
        time_offset: read.optional("time_offset", Reader::offset)?,
        time_from: read.symbol("time_from", &TIME_FROM)?,
        received_at: Timestamp::from_micros(read.long("received_at")?),
        event_type: read.text("event_type")?.to_owned(),
        action: read.maybe("action")?,
        severity: read.symbol("severity", &Severity::ALL)?,
        outcome: read.symbol("outcome", &Outcome::ALL)?,
        actor: read.actor()?,
        resource: Resource {
            kind: read.maybe("resource.type")?,
            id: read.maybe("resource.id")?,
            name: read.maybe("resource.name")?,
        },
        message: read.maybe("message")?,
        before: read.optional("before", Reader::json)?,
        after: read.optional("after", Reader::json)?,
        details: read.optional("details", Reader::json)?,
        request_id: read.maybe("request_id")?,
        trace_id: read.maybe("trace_id")?,
        tags: read.texts("tags")?,
        source_event_id: read.maybe("source_event_id")?,
        source: Source {
            kind: read.text("source.kind")?.to_owned(),
            id: read.maybe("source.id")?,
            provenance: read.optional("source.provenance", Reader::json)?,
        },
        raw: read.optional("raw", Reader::raw)?,
        revision: 0,
    };
    if read.bytes.is_empty() {
        Ok(event)
    } else {
        Err(SchemaError::TooLong(read.bytes.len()))
    }
}

/// The symbols of `time_from`, in the order of the schema.
const TIME_FROM: [TimeFrom; 3] = [TimeFrom::Client, TimeFrom::Id, TimeFrom::Received];

fn put_actor(out: &mut Vec<u8>, actor: &Actor) {
    for text in [
        &actor.id,
        &actor.kind,
        &actor.name,
        &actor.email,
        &actor.session_id,
    ] {
        put_maybe(out, text.as_deref());
    }
    put_maybe(out, actor.ip.map(|ip| ip.to_string()).as_deref());
    put_maybe(out, actor.user_agent.as_deref());
}

/// Zigzag, then seven bits a byte, lowest first.
fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_uuid(out: &mut Vec<u8>, id: Uuid) {
    put_text(out, id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
}

/// A union of null and something: branch 0 or 1.
fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(2);
            put(out, value);
        }
    }
}

fn put_maybe(out: &mut Vec<u8>, text: Option<&str>) {
    put_optional(out, text, put_text);
}

/// An array: one block with its count, then the empty block that ends it.
fn put_texts(out: &mut Vec<u8>, texts: &[String]) {
    if !texts.is_empty() {
        put_long(out, texts.len() as i64);
        texts.iter().for_each(|text| put_text(out, text));
    }
    out.push(0);
}

fn bad(field: &'static str, reason: &'static str) -> SchemaError {
    SchemaError::Field { field, reason }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, field: &'static str, count: usize) -> Result<&'a [u8], SchemaError> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or(SchemaError::Short(field))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn long(&mut self, field: &'static str) -> Result<i64, SchemaError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(field, 1)?[0];
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(bad(field, "holds a number beyond 64 bits"))
    }

    fn count(&mut self, field: &'static str) -> Result<usize, SchemaError> {
        usize::try_from(self.long(field)?).map_err(|_| bad(field, "has a negative length"))
    }

    fn text(&mut self, field: &'static str) -> Result<&'a str, SchemaError> {
        let count = self.count(field)?;
        std::str::from_utf8(self.take(field, count)?).map_err(|_| bad(field, "is not UTF-8"))
    }

    fn optional<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Result<T, SchemaError>,
    ) -> Result<Option<T>, SchemaError> {
        match self.long(field)? {
            0 => Ok(None),
            1 => read(self, field).map(Some),
            _ => Err(bad(field, "has a branch that the schema has not")),
        }
    }

    fn maybe(&mut self, field: &'static str) -> Result<Option<String>, SchemaError> {
        self.optional(field, |read, field| read.text(field).map(str::to_owned))
    }

    fn symbol<T: Copy>(&mut self, field: &'static str, symbols: &[T]) -> Result<T, SchemaError> {
        let index = self.count(field)?;
        symbols
            .get(index)
            .copied()
            .ok_or(bad(field, "has a symbol that the schema has not"))
    }

    fn uuid(&mut self, field: &'static str) -> Result<Uuid, SchemaError> {
        Uuid::try_parse(self.text(field)?).map_err(|_| bad(field, "is no UUID"))
    }

    fn offset(&mut self, field: &'static str) -> Result<i16, SchemaError> {
        i16::try_from(self.long(field)?).map_err(|_| bad(field, "is no offset in minutes"))
    }

    fn json(&mut self, field: &'static str) -> Result<Json, SchemaError> {
        Json::from_stored(self.text(field)?).ok_or(bad(field, "is not JSON"))
    }

    fn actor(&mut self) -> Result<Actor, SchemaError> {
        Ok(Actor {
            id: self.maybe("actor.id")?,
            kind: self.maybe("actor.type")?,
            name: self.maybe("actor.name")?,
            email: self.maybe("actor.email")?,
            session_id: self.maybe("actor.session_id")?,
            ip: self.optional("actor.ip", |read, field| {
                read.text(field)?
                    .parse::<IpAddr>()
                    .map_err(|_| bad(field, "is no address"))
            })?,
            user_agent: self.maybe("actor.user_agent")?,
        })
    }

    fn raw(&mut self, field: &'static str) -> Result<Raw, SchemaError> {
        let count = self.count(field)?;
        let bytes = self.take(field, count)?.to_vec();
        let sha256 = self
            .take(field, 32)?
            .try_into()
            .map_err(|_| SchemaError::Short(field))?;
        Ok(Raw {
            bytes,
            sha256,
            redacted: self.texts("raw.redacted")?,
        })
    }

    /// An array, in any number of blocks; a negative count is followed by the size of its block.
    fn texts(&mut self, field: &'static str) -> Result<Vec<String>, SchemaError> {
        let mut texts = Vec::new();
        loop {
            let count = self.long(field)?;
            if count == 0 {
                return Ok(texts);
            }
            if count < 0 {
                self.long(field)?;
            }
            for _ in 0..count.unsigned_abs() {
                texts.push(self.text(field)?.to_owned());
            }
        }
    }
}
