//! Reading a stretch of the log again, outside any group: what rebuild and verify are made of.

use super::batch::{BYTES, Row};
use crate::log::decode::{DecodeError, Decoder};
use crate::log::seen::{Seen, Verdict, WINDOW};
use crate::log::{Log, LogError, Record, Tail, topics};

/// Goes through one partition of `audit.events` from its beginning, and knows first copies from later ones.
pub struct Replay {
    tail: Option<Tail>,
    decoder: Decoder,
    seen: Seen,
    /// The next offset to be read.
    pub next: i64,
    /// Records so far that are no events: the projector rejected them.
    pub unreadable: u64,
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
            unreadable: 0,
            log: log.clone(),
            partition,
            waiting,
        })
    }

    /// The first copies up to `end` (exclusive), at most about `most` of them, 32 MiB and a window at once; empty when
    /// `end` is reached. So no two of them are copies of one event. Events that can't be read now, for want of a
    /// schema, are an error: they are not to be left out.
    pub async fn firsts(&mut self, end: i64, most: usize) -> Result<Vec<Row>, LogError> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut last = i64::MAX;
        while self.next < end && self.next <= last && rows.len() < most && bytes < BYTES {
            let Some(record) = self.waiting.next() else {
                self.waiting = self.read().await?.into_iter();
                continue;
            };
            let decoded = self.decoder.decode(&record).await;
            self.next = record.offset + 1;
            match decoded {
                Ok(decoded) => {
                    if self.seen.show(record.offset, decoded.print()) == Verdict::First {
                        let row = Row::new(&record, decoded);
                        if rows.is_empty() {
                            last = row.at.offset + WINDOW;
                        }
                        bytes += row.bytes;
                        rows.push(row);
                    }
                }
                Err(DecodeError::Unreadable(_)) => self.unreadable += 1,
                Err(DecodeError::Later(error)) => return Err(error),
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
}
