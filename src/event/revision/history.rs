//! The history of an event: every revision so far, with what it changed. It is the JSON of a record's header and of
//! the column `history`.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::{Deed, Rank, Standing, redact};
use crate::clock::Timestamp;
use crate::event::content::Content;
use crate::event::json::Json;
use crate::event::view::changes::Change;

/// All revisions of an event, and what its first copy said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Of the first copy: what a copy that comes again is compared with.
    pub original: Original,
    /// In order; the last one is the record's own.
    pub revisions: Vec<Entry>,
}

/// The content of the event as it was taken, as hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
}

/// One revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Names it.
    pub id: Uuid,
    /// The wish that it grants.
    pub wish: Uuid,
    /// What it asked for, as a hash.
    asked: String,
    /// 1, 2, …
    pub number: u32,
    /// What it is.
    pub kind: Kind,
    /// What an amendment changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Edit>,
    /// Where that stood which a redaction took away, as JSON pointers; `None`: everything but the bare fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<String>>,
    /// Of the first redaction: the table held all records of the partition before this offset when it was made of what
    /// the table held. It may have passed over amendments between there and its own place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<i64>,
    /// Who did it: a user's name, a key's id.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// The request that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a revision is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something was corrected.
    Amendment,
    /// Something was taken away.
    Redaction,
}

/// A change of one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// What happened there.
    pub op: Op,
    /// Where: a JSON pointer.
    pub path: String,
    /// What is there since.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_json"
    )]
    pub value: Option<Json>,
    /// What was there before.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_json"
    )]
    pub old: Option<Json>,
    /// The values were taken away by a later redaction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
}

/// What happened to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It is new.
    Add,
    /// It is gone.
    Remove,
    /// Another one stands in its place.
    Replace,
}

/// A revision as answers show it.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    number: u32,
    kind: Kind,
    by: &'a str,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    changes: &'a [Edit],
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'a [String]>,
}

impl History {
    /// The history of what stands, with one more revision.
    pub(super) fn next(standing: Standing<'_>, deed: Deed, what: What) -> Self {
        let mut history = match standing.history {
            Some(history) => history.clone(),
            None => Self {
                original: Original::of(&standing.event.content()),
                revisions: Vec::new(),
            },
        };
        let number = history.number().saturating_add(1);
        let base = history.last().map_or(Uuid::nil(), |last| last.id);
        let made_of = [&number.to_be_bytes(), &base.as_bytes()[..]].concat();
        let (kind, changes, fields, made_at) = match what {
            What::Amended(changes) => (Kind::Amendment, changes, None, None),
            What::Redacted { fields, made_at } => (Kind::Redaction, Vec::new(), fields, made_at),
        };
        history.revisions.push(Entry {
            // The same wish applied to the same is the same revision, however often it is appended; applied to something
            // else it is another one, also where the number is the same.
            id: Uuid::new_v5(&deed.wish, &made_of),
            wish: deed.wish,
            asked: format!("{:016x}", deed.asked),
            number,
            kind,
            changes,
            fields,
            made_at,
            by: deed.by,
            at: deed.at,
            ip: deed.ip,
            request_id: deed.request_id,
            reason: deed.reason,
        });
        history
    }

    /// From a header or a column. `None` when it is none of ours.
    pub fn parse(json: &str) -> Option<Self> {
        let history: Self = serde_json::from_str(json).ok()?;
        let numbered = (1..).zip(&history.revisions).all(|(n, entry)| entry.number == n);
        let fits = (1..=super::NUMBER_MAX as usize).contains(&history.revisions.len());
        (numbered && fits && history.original.content().is_some()).then_some(history)
    }

    /// As a header and a column hold it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The number of its last revision.
    pub fn number(&self) -> u32 {
        self.revisions.last().map_or(0, |entry| entry.number)
    }

    /// What its last revision counts.
    pub fn rank(&self) -> Rank {
        Rank {
            redacted: self.redactions().next().is_some(),
            number: self.number(),
        }
    }

    /// Its last revision.
    pub fn last(&self) -> Option<&Entry> {
        self.revisions.last()
    }

    /// Whether a revision of this name is part of it.
    pub fn has(&self, id: Uuid) -> bool {
        self.revisions.iter().any(|entry| entry.id == id)
    }

    /// The redactions that are part of it.
    pub fn redactions(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.revisions.iter();
        entries.filter(|entry| entry.kind == Kind::Redaction)
    }

    /// Whether its last revision, an amendment, changes what a redaction took away of which its author did not know: any
    /// but those `known`.
    pub fn touches_redacted(&self, known: &[Uuid]) -> bool {
        let Some(amendment) = self.revisions.last() else {
            return false;
        };
        let mut unknown = self
            .redactions()
            .filter(|redaction| !known.contains(&redaction.id));
        unknown.any(|redaction| redact::touches(&amendment.changes, redaction.fields.as_deref()))
    }

    /// The revision that granted a wish.
    pub fn granting(&self, wish: Uuid) -> Option<&Entry> {
        self.revisions.iter().find(|entry| entry.wish == wish)
    }

    /// What the first copy said.
    pub fn original(&self) -> Content {
        self.original.content().unwrap_or(Content {
            hash: 0,
            stated: None,
        })
    }

    /// For answers.
    pub fn shown(&self) -> Vec<Shown<'_>> {
        self.revisions.iter().map(Entry::shown).collect()
    }

    /// Takes out of earlier revisions what the last one, a redaction, is about.
    pub(super) fn blank(&mut self) {
        if let Some((redaction, earlier)) = self.revisions.split_last_mut() {
            for entry in earlier {
                redact::blank(&mut entry.changes, redaction.fields.as_deref());
                if redaction.fields.is_none() {
                    redact::shorten(entry.fields.iter_mut().flatten());
                }
            }
        }
    }

    /// All changes so far.
    pub(super) fn edits(&self) -> impl Iterator<Item = &Edit> {
        self.revisions.iter().flat_map(|entry| &entry.changes)
    }
}

/// What the next revision does.
pub(super) enum What {
    /// It changes this.
    Amended(Vec<Edit>),
    /// It takes these fields away, or everything; made of a table that held all before this offset.
    Redacted {
        fields: Option<Vec<String>>,
        made_at: Option<i64>,
    },
}

impl Entry {
    /// What the wish asked for.
    pub fn asked(&self) -> Option<u64> {
        u64::from_str_radix(&self.asked, 16).ok()
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            number: self.number,
            kind: self.kind,
            by: &self.by,
            at: self.at,
            reason: self.reason.as_deref(),
            request_id: self.request_id.as_deref(),
            changes: &self.changes,
            fields: self.fields.as_deref(),
        }
    }
}

impl Original {
    fn of(content: &Content) -> Self {
        Self {
            hash: format!("{:016x}", content.hash),
            time: content.stated,
        }
    }

    fn content(&self) -> Option<Content> {
        Some(Content {
            hash: u64::from_str_radix(&self.hash, 16).ok()?,
            stated: self.time,
        })
    }
}

impl From<Change> for Edit {
    fn from(change: Change) -> Self {
        Self {
            op: match change.op {
                "add" => Op::Add,
                "remove" => Op::Remove,
                _ => Op::Replace,
            },
            path: change.path,
            value: change.value,
            old: change.old,
            redacted: false,
        }
    }
}

/// As it is written: a tree in between would lose digits, and take `null` for nothing.
fn some_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    let text = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
    let json = Json::from_stored(text.get());
    json.map(Some)
        .ok_or_else(|| serde::de::Error::custom("no JSON that is kept"))
}
