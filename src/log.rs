//! The log: the source of truth, and the only thing that writers and readers share.
//!
//! [`Log::append`] and [`Log::append_all`] resolve when every in-sync replica has the record. Readers come in two
//! forms: a [`Tail`] follows one partition from an offset of its choosing (control state), a [`Group`] shares the
//! partitions of a topic with the other instances and commits how far it came (projector, gate). Both are fed by
//! one `pump` thread each, which sleeps while there is nothing to read and is woken by appends of this process.
//! [`decode`] is how every reader of `audit.events` makes an event of a record.

pub mod batch;
pub mod client;
pub mod decode;
pub mod fetch;
pub mod framing;
pub mod group;
pub mod partitioner;
mod probe;
mod producer;
mod producers;
mod pump;
mod queue;
mod refusals;
pub mod registry;
pub mod rejected;
pub mod seen;
mod settings;
mod share;
mod source;
pub mod tail;
pub mod topics;
mod waker;

use std::sync::Arc;

use crate::clock::Timestamp;

pub use client::{Config, Log};
pub use group::Group;
pub use tail::Tail;

/// A record to be appended.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// `None`: by the key, as Java's default partitioner does (murmur2).
    pub partition: Option<i32>,
    /// What the record is about; records of one key keep their order.
    pub key: &'a [u8],
    /// The bytes as they stand in the log, framing included.
    pub payload: &'a [u8],
    /// Name and value, in order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// A record as read back.
#[derive(Clone, Debug)]
pub struct Record {
    /// Name without the configured prefix.
    pub topic: Arc<str>,
    /// Which partition it stands in.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// When the broker took it.
    pub appended_at: Timestamp,
    /// Empty when it had none.
    pub key: Vec<u8>,
    /// Empty for a tombstone.
    pub payload: Vec<u8>,
    /// Name and value, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// How much of it there is.
    pub fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        self.key.len() + self.payload.len() + headers.sum::<usize>()
    }

    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_slice())
    }
}

/// Where a record came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// Why the log did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// No broker answers, or not in time. The record may or may not be in the log: repeat it under the same id.
    #[error("the log can't be reached: {0}")]
    Unavailable(String),
    /// Too much is waiting to be written. Nothing was taken; come back in a moment.
    #[error("the log takes records more slowly than they come")]
    Full,
    /// This record can't be taken, now or later.
    #[error("the log refused the record: {0}")]
    Refused(String),
    /// The set-up is wrong: an unknown setting, a topic that may lose events.
    #[error("{0}")]
    Misconfigured(String),
}
