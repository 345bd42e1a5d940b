//! Amendments and redactions: what becomes of an event that is corrected, or of which something must go.
//!
//! Nothing in the log is rewritten. A revision is a record of its own under the event's id; it carries the whole event
//! as it is from then on and, in the header [`HEADER`], the [`History`]: who changed what, when and why, in every
//! revision so far. So a reader needs no other record to show the result.
//!
//! Of several revisions of an event the one of the highest [`Rank`] counts: one that redacts, or was made of what was
//! redacted, before any other, so that no amendment whose author did not know of a redaction brings back what must go;
//! then the one with the highest number; of two that claim the same number, the first in the log.
//!
//! - [`patch`] is RFC 7396 on JSON text, [`amend`] what a patch may change, [`redact`] what a redaction leaves.
//! - [`amendment`] and [`redaction`] make the next revision of what stands now.

pub mod amend;
mod history;
pub mod patch;
pub mod redact;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use uuid::Uuid;

use super::Event;
use super::draft::Refusal;
use crate::clock::Timestamp;

use history::What;
pub use history::{Edit, Entry, History, Kind, Op, Shown};

/// The header of a record that revises an event; its value is a [`History`] as JSON.
pub const HEADER: &str = "revision";

/// The longest reason, in characters.
pub const REASON_MAX: usize = 1_000;

/// The highest number of a revision: what a row's version has room for.
pub const NUMBER_MAX: u32 = (1 << 18) - 1;

/// Bytes of history up to which an event can be amended. What was changed is kept in full, and travels in a record's
/// header.
const AMENDED_MAX: usize = 256 * 1024;
/// And redacted: that must go when nothing else does, and makes a history shorter as a rule.
const REDACTED_MAX: usize = 512 * 1024;

/// An event as it stands, with its history where it has one.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What it says now.
    pub event: &'a Event,
    /// What was changed so far.
    pub history: Option<&'a History>,
}

/// What a revision counts, among those of the same event; of equal ones the first in the log counts more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Something of the event was taken away, by this revision or one before it in its history.
    pub redacted: bool,
    /// 1, 2, …; 0: the event as it was taken.
    pub number: u32,
}

/// Who revises, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// Names the wish: the same one again makes no second revision.
    pub wish: Uuid,
    /// Tells what it asks for from anything else that comes under that name.
    pub asked: u64,
    /// The user's name or the key's id.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// From where.
    pub ip: Option<IpAddr>,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A revision on its way into the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Revised {
    /// The whole event as it is from now on.
    pub event: Event,
    /// What was changed, this time and before.
    pub history: History,
}

/// Why an event can't be revised so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What was sent is no revision of it.
    #[error(transparent)]
    Invalid(#[from] Refusal),
    /// The events of the server itself say what was done with this system.
    #[error("the server's own events can be neither amended nor redacted")]
    System,
    /// Its history has grown as long as it may.
    #[error("this event was revised so often that its history is full")]
    Full,
}

/// The revision that a merge patch makes of what stands; `None` when it changes nothing.
pub fn amendment(standing: Standing<'_>, patch: &[u8], deed: Deed) -> Result<Option<Revised>, Refused> {
    may_be_revised(standing.event)?;
    let event = amend::amended(standing.event, patch)?;
    let edits = amend::edits(standing.event, &event);
    if edits.is_empty() {
        return Ok(None);
    }
    let history = History::next(standing, deed, What::Amended(edits));
    revised(event, history, AMENDED_MAX).map(Some)
}

/// The revision without the fields at these pointers; `None`: with nothing but the bare fact. Where something may stand
/// in the log that was not known yet, `made_at` says from where on ([`Entry::made_at`]).
pub fn redaction(
    standing: Standing<'_>,
    fields: Option<&[String]>,
    made_at: Option<i64>,
    deed: Deed,
) -> Result<Revised, Refused> {
    may_be_revised(standing.event)?;
    let before = standing.history;
    let event = match fields {
        None => redact::bare(standing.event),
        Some(fields) => redact::without(standing.event, before, fields)?,
    };
    let fields = fields.map(<[String]>::to_vec);
    let mut history = History::next(standing, deed, What::Redacted { fields, made_at });
    history.blank();
    revised(event, history, REDACTED_MAX)
}

fn may_be_revised(event: &Event) -> Result<(), Refused> {
    match event.event_type.starts_with(super::problem::SYSTEM_PREFIX) {
        true => Err(Refused::System),
        false => Ok(()),
    }
}

fn revised(mut event: Event, history: History, most: usize) -> Result<Revised, Refused> {
    event.revision = history.number();
    if history.to_json().len() > most || event.revision > NUMBER_MAX {
        return Err(Refused::Full);
    }
    Ok(Revised { event, history })
}
