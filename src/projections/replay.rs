//! Reading a stretch of the log again, outside any group: what rebuild and verify are made of.

use super::batch::Row;
use super::decode::{DecodeError, Decoder, print};
use crate::log::seen::{Seen, Verdict};
use crate::log::{Log, LogError, Position, Record, Tail, topics};

/// Goes through one partition of `audit.events` from its beginning, and knows first copies from later ones.
pub struct Replay {
    tail: Option<Tail>,
    decoder: Decoder,
    seen: Seen,
    /// The next offset to be read.
    pub next: i64,
    log: Log,
    partition: i32,
    waiting: std::vec::IntoIter<Record>,
}

impl Replay {
    /// Starts at the first record the partition still has.
    pub async fn start(log: &Log, decoder: Decoder, partition: i32) -> Result<Self, LogError> {
        let (low, _) = log.bounds(topics::EVENTS, partition).await?;
        let waiting = Vec::new().into_iter();
        Ok(Self {
            tail: None,
            decoder,
            seen: Seen::default(),
            next: low,
            log: log.clone(),
            partition,
            waiting,
        })
    }

    /// The first copies up to `end` (exclusive), at most about `most` of them at once; empty when `end` is reached.
    pub async fn firsts(&mut self, end: i64, most: usize) -> Result<Vec<Row>, LogError> {
        let mut rows = Vec::new();
        while self.next < end && rows.len() < most {
            let Some(record) = self.waiting.next() else {
                self.waiting = self.read().await?.into_iter();
                continue;
            };
            self.next = record.offset + 1;
            if let Some(event) = self.decode(&record).await?
                && self.seen.show(record.offset, print(&event)) == Verdict::First
            {
                rows.push(Row {
                    at: Position {
                        partition: record.partition,
                        offset: record.offset,
                    },
                    event,
                });
            }
        }
        Ok(rows)
    }

    async fn read(&mut self) -> Result<Vec<Record>, LogError> {
        let tail = match &mut self.tail {
            Some(tail) => tail,
            None => self
                .tail
                .insert(self.log.tail(topics::EVENTS, self.partition, self.next)?),
        };
        tail.next().await
    }

    /// `None` for a record that is no event: the projector rejected it.
    async fn decode(&self, record: &Record) -> Result<Option<crate::event::Event>, LogError> {
        match self.decoder.decode(record).await {
            Ok(event) => Ok(Some(event)),
            Err(DecodeError::Unreadable(_)) => Ok(None),
            Err(DecodeError::Later(error)) => Err(error),
        }
    }
}
