//! An event as it passed in the log, shared by all who are shown it.

use std::sync::OnceLock;

use crate::event::revision::Rank;
use crate::event::{Event, view};
use crate::store::row::{REVISED_VERSION, version_of};

/// An event and where it stands. Its JSON is written once, when the first client wants it.
#[derive(Debug)]
pub struct Passed {
    /// The partition.
    pub partition: usize,
    /// The offset in it.
    pub offset: i64,
    /// What it counts among the records of its event: what the table ranks its row by.
    pub version: u64,
    /// The event, without the original of an imported one.
    pub event: Event,
    /// About how much memory it takes.
    pub bytes: usize,
    json: OnceLock<Box<str>>,
}

impl Passed {
    /// An event that stands there, of that rank.
    pub fn new((partition, offset): (usize, i64), mut event: Event, rank: Rank, bytes: usize) -> Self {
        event.raw = None;
        Self {
            partition,
            offset,
            version: version_of(rank, offset.max(0).cast_unsigned()),
            event,
            bytes,
            json: OnceLock::new(),
        }
    }

    /// Whether it revises what passed before.
    pub fn is_revision(&self) -> bool {
        self.version >= REVISED_VERSION
    }

    /// The nested form that every answer shows.
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| {
            // An event of ours has no value that JSON can't hold.
            let json = serde_json::to_string(&view::to_json(&self.event));
            json.unwrap_or_else(|_| "null".to_owned()).into()
        })
    }
}
