//! An event as a row of the table `events`, and back.
//!
//! [`EventRow::from_event`] borrows from the event, so that projecting copies nothing but what the wire needs;
//! reading borrows from the answer's buffer and [`EventRow::into_event`] takes what it keeps. The columns and their
//! ways of saying "nobody said" (an empty text, `::`) are those of `projections/0001_events.sql`.

mod codes;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clickhouse::Row;
use codes::{bytes, outcome_code, severity_code, time_from_code};
pub use codes::{outcome, severity, time_from};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::details;
use super::original::Beside;
use crate::clock::Timestamp;
use crate::event::revision::{NUMBER_MAX, Rank};
use crate::event::{Actor, Event, Json, Raw, Resource, Source, TenantId};

/// Version of the record at offset 0; the record at offset `o` has `FIRST_VERSION - o`, so that the first copy wins.
pub const FIRST_VERSION: u64 = 1 << 62;

/// Versions from here on belong to revisions: whether anything was redacted (a bit), the number (18 bits), then how far
/// the offset is from the last one there can be (44 bits).
pub const REVISED_VERSION: u64 = 1 << 63;
/// Versions from here on belong to revisions of which something was redacted.
pub const REDACTED_VERSION: u64 = REVISED_VERSION + (1 << 62);
/// Bits of a revision's version that tell its offset.
const OFFSET_BITS: u32 = 44;
const OFFSET_MAX: u64 = (1 << OFFSET_BITS) - 1;

/// A partition as its column has it. Kafka numbers them from 0; no topic comes near 65,536 of them.
pub fn partition_column(partition: i32) -> u16 {
    u16::try_from(partition).unwrap_or(u16::MAX)
}

/// The version of an original record at `offset`.
pub const fn version_at(offset: u64) -> u64 {
    FIRST_VERSION.saturating_sub(offset)
}

/// The version of a record at `offset`: of an original, where the number is 0, else of a revision of it. Versions are
/// ordered as their ranks are, and those of one rank with the first in the log on top.
pub const fn version_of(rank: Rank, offset: u64) -> u64 {
    if rank.number == 0 {
        return version_at(offset);
    }
    let first = if rank.redacted {
        REDACTED_VERSION
    } else {
        REVISED_VERSION
    };
    // Numbers end at NUMBER_MAX wherever they are made or read.
    let number = (rank.number & NUMBER_MAX) as u64;
    first + (number << OFFSET_BITS) + OFFSET_MAX.saturating_sub(offset)
}

/// The number of the revision that a row of this version is; 0 for an original.
pub const fn revision_of(version: u64) -> u32 {
    if version < REVISED_VERSION {
        return 0;
    }
    (version >> OFFSET_BITS) as u32 & NUMBER_MAX
}

/// One row of `events`; the columns in the order of the table.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
#[allow(missing_docs)] // the columns are explained where the table is created
pub struct EventRow<'a> {
    #[serde(borrow)]
    pub tenant_id: Cow<'a, str>,
    pub time: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    pub received_at: i64,
    pub time_offset: Option<i16>,
    pub time_from: i8,
    #[serde(borrow)]
    pub source_event_id: Cow<'a, str>,
    #[serde(borrow)]
    pub event_type: Cow<'a, str>,
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    pub severity: i8,
    pub outcome: i8,
    #[serde(borrow)]
    pub actor_id: Cow<'a, str>,
    #[serde(borrow)]
    pub actor_type: Cow<'a, str>,
    #[serde(borrow)]
    pub actor_name: Cow<'a, str>,
    #[serde(borrow)]
    pub actor_email: Cow<'a, str>,
    #[serde(borrow)]
    pub session_id: Cow<'a, str>,
    pub ip: Ipv6Addr,
    #[serde(borrow)]
    pub user_agent: Cow<'a, str>,
    #[serde(borrow)]
    pub resource_type: Cow<'a, str>,
    #[serde(borrow)]
    pub resource_id: Cow<'a, str>,
    #[serde(borrow)]
    pub resource_name: Cow<'a, str>,
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    #[serde(borrow)]
    pub before: Cow<'a, str>,
    #[serde(borrow)]
    pub after: Cow<'a, str>,
    pub details: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(borrow)]
    pub details_types: Cow<'a, str>,
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    #[serde(borrow)]
    pub trace_id: Cow<'a, str>,
    pub tags: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    #[serde(borrow)]
    pub source_id: Cow<'a, str>,
    #[serde(borrow)]
    pub provenance: Cow<'a, str>,
    #[serde(borrow, with = "bytes")]
    pub raw: Cow<'a, [u8]>,
    #[serde(borrow, with = "bytes")]
    pub raw_sha256: Cow<'a, [u8]>,
    pub raw_redacted: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub history: Cow<'a, str>,
    #[serde(with = "clickhouse::serde::uuid")]
    pub log_id: Uuid,
    pub log_partition: u16,
    pub version: u64,
}

/// A row that no event of ours can have written: somebody else wrote into the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {event_id} has a {column} that no event has")]
pub struct StrangeRow {
    /// The row's event id.
    pub event_id: Uuid,
    /// The column.
    pub column: &'static str,
}

impl<'a> EventRow<'a> {
    /// The row of the event that stands in the log `log_id` at `partition`; see [`version_of`] for `version`. A revision
    /// has its history beside.
    pub fn from_event(event: &'a Event, log_id: Uuid, partition: u16, version: u64) -> Self {
        // The text was checked when the event was made, so there is always something to take apart.
        let flat = event
            .details
            .as_ref()
            .and_then(|json| details::flatten(json.as_str()))
            .unwrap_or_default();
        let (actor, resource, source) = (&event.actor, &event.resource, &event.source);
        let mut row = Self {
            tenant_id: Cow::Borrowed(event.tenant_id.as_str()),
            time: event.time.micros(),
            event_id: event.event_id,
            received_at: event.received_at.micros(),
            time_offset: event.time_offset,
            time_from: time_from_code(event.time_from),
            source_event_id: text(&event.source_event_id),
            event_type: Cow::Borrowed(&event.event_type),
            action: text(&event.action),
            severity: severity_code(event.severity),
            outcome: outcome_code(event.outcome),
            actor_id: text(&actor.id),
            actor_type: text(&actor.kind),
            actor_name: text(&actor.name),
            actor_email: text(&actor.email),
            session_id: text(&actor.session_id),
            ip: address(actor.ip),
            user_agent: text(&actor.user_agent),
            resource_type: text(&resource.kind),
            resource_id: text(&resource.id),
            resource_name: text(&resource.name),
            message: text(&event.message),
            before: json(&event.before),
            after: json(&event.after),
            details: flat.entries,
            details_types: Cow::Owned(flat.types),
            request_id: text(&event.request_id),
            trace_id: text(&event.trace_id),
            tags: event.tags.iter().map(|tag| Cow::Borrowed(tag.as_str())).collect(),
            source: Cow::Borrowed(&source.kind),
            source_id: text(&source.id),
            provenance: json(&source.provenance),
            raw: Cow::Borrowed(&[]),
            raw_sha256: event.raw.as_ref().map_or(Cow::Borrowed(&[]), stored_digest),
            raw_redacted: event
                .raw
                .iter()
                .flat_map(|raw| &raw.redacted)
                .map(|pointer| Cow::Borrowed(pointer.as_str()))
                .collect(),
            history: Cow::Borrowed(""),
            log_id,
            log_partition: partition,
            version,
        };
        if let Some(raw) = &event.raw {
            row.raw = row.beside_raw().hollow(&raw.bytes);
        }
        row
    }

    /// What the original need not repeat. The fields and their order are part of the table's format.
    fn beside_raw(&self) -> Beside<'_> {
        let ip = said_address(self.ip).map_or_else(String::new, |ip| ip.to_string());
        Beside {
            details: &self.details,
            types: &self.details_types,
            fields: [
                Cow::Borrowed(&self.source_event_id),
                Cow::Borrowed(&self.request_id),
                Cow::Borrowed(&self.user_agent),
                Cow::Owned(ip),
            ],
        }
    }

    /// The event of a row. [`StrangeRow`] when a column holds what no event can have.
    pub fn into_event(self) -> Result<Event, StrangeRow> {
        let event_id = self.event_id;
        let strange = |column| move || StrangeRow { event_id, column };
        let original = self.beside_raw().fill(&self.raw).ok_or_else(strange("raw"))?;
        let raw =
            raw(original, &self.raw_sha256, &self.raw_redacted).map_err(|()| strange("raw_sha256")())?;
        let details = details::rebuild(
            self.details
                .iter()
                .map(|(path, value)| (path.as_ref(), value.as_ref())),
            &self.details_types,
        );
        Ok(Event {
            event_id,
            source_event_id: said(self.source_event_id),
            tenant_id: TenantId::parse(&self.tenant_id).ok_or_else(strange("tenant_id"))?,
            time: Timestamp::from_micros(self.time),
            time_offset: self.time_offset,
            time_from: time_from(self.time_from).ok_or_else(strange("time_from"))?,
            received_at: Timestamp::from_micros(self.received_at),
            event_type: self.event_type.into_owned(),
            action: said(self.action),
            severity: severity(self.severity).ok_or_else(strange("severity"))?,
            outcome: outcome(self.outcome).ok_or_else(strange("outcome"))?,
            actor: Actor {
                id: said(self.actor_id),
                kind: said(self.actor_type),
                name: said(self.actor_name),
                email: said(self.actor_email),
                session_id: said(self.session_id),
                ip: said_address(self.ip),
                user_agent: said(self.user_agent),
            },
            resource: Resource {
                kind: said(self.resource_type),
                id: said(self.resource_id),
                name: said(self.resource_name),
            },
            message: said(self.message),
            before: said(self.before).map(Json::from_compact),
            after: said(self.after).map(Json::from_compact),
            details: details.map(Json::from_compact),
            request_id: said(self.request_id),
            trace_id: said(self.trace_id),
            tags: self.tags.into_iter().map(Cow::into_owned).collect(),
            source: Source {
                kind: self.source.into_owned(),
                id: said(self.source_id),
                provenance: said(self.provenance).map(Json::from_compact),
            },
            raw,
            revision: revision_of(self.version),
        })
    }
}

fn text(value: &Option<String>) -> Cow<'_, str> {
    Cow::Borrowed(value.as_deref().unwrap_or_default())
}

fn json(value: &Option<Json>) -> Cow<'_, str> {
    Cow::Borrowed(value.as_ref().map_or("", Json::as_str))
}

fn said(value: Cow<'_, str>) -> Option<String> {
    (!value.is_empty()).then(|| value.into_owned())
}

/// An address as the column holds it: IPv4 mapped into IPv6, `::` for none.
pub fn address(ip: Option<IpAddr>) -> Ipv6Addr {
    match ip {
        None => Ipv6Addr::UNSPECIFIED,
        Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped(),
        Some(IpAddr::V6(ip)) => ip,
    }
}

fn said_address(ip: Ipv6Addr) -> Option<IpAddr> {
    if ip.is_unspecified() {
        return None;
    }
    Some(
        ip.to_ipv4_mapped()
            .map_or(IpAddr::V6(ip), |ip: Ipv4Addr| IpAddr::V4(ip)),
    )
}

/// The digest where it can't be computed from the bytes that are kept.
fn stored_digest(raw: &Raw) -> Cow<'_, [u8]> {
    let computable = raw.redacted.is_empty() && Sha256::digest(&raw.bytes).as_slice() == raw.sha256;
    Cow::Borrowed(if computable { &[] } else { &raw.sha256 })
}

fn raw(bytes: Cow<'_, [u8]>, digest: &[u8], redacted: &[Cow<'_, str>]) -> Result<Option<Raw>, ()> {
    if bytes.is_empty() && digest.is_empty() {
        return Ok(None);
    }
    let sha256 = match digest {
        [] => Sha256::digest(&bytes).into(),
        digest => digest.try_into().map_err(|_| ())?,
    };
    let redacted = redacted.iter().map(ToString::to_string).collect();
    Ok(Some(Raw {
        bytes: bytes.into_owned(),
        sha256,
        redacted,
    }))
}
