//! One partition, read from a place on as every reader reads it: later copies are dropped by the seen window, which is
//! filled from before the place. Of what stands there only revisions are given on: what they redacted may come again
//! behind the place, with an amendment whose author did not know of it.

use std::time::Duration;

use crate::log::decode::{DecodeError, Decoded, Decoder};
use crate::log::seen::{Seen, Verdict, WINDOW};
use crate::log::{Log, LogError, Record, Tail, topics};

use super::passed::Passed;

const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A reader of one partition.
pub struct Reader {
    log: Log,
    decoder: Decoder,
    partition: usize,
    tail: Option<Tail>,
    seen: Seen,
    /// Of what stands before, revisions alone are given on.
    from: i64,
    /// The next offset to be read.
    next: i64,
}

impl Reader {
    /// Gives on what stands from `from` on, and the revisions of the window before it; `low` is where the partition begins.
    pub fn new(log: Log, decoder: Decoder, partition: usize, low: i64, from: i64) -> Self {
        Self {
            log,
            decoder,
            partition,
            tail: None,
            seen: Seen::default(),
            from,
            next: low.max(from - WINDOW),
        }
    }

    /// The next offset to be read.
    pub fn next_offset(&self) -> i64 {
        self.next
    }

    /// What was appended next: perhaps nothing that is shown, but the place has moved. While the log is away, it tries
    /// again. It must be awaited to its end: what was read and not given out is lost with it.
    pub async fn read(&mut self) -> Vec<Passed> {
        loop {
            match self.records().await {
                Ok(records) => return self.pass(records).await,
                Err(error) => {
                    tracing::debug!(%error, partition = self.partition, "a stream can't read the log; trying again");
                    self.tail = None;
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    async fn records(&mut self) -> Result<Vec<Record>, LogError> {
        let (partition, next) = (self.partition as i32, self.next);
        let tail = match &mut self.tail {
            Some(tail) => tail,
            none => none.insert(self.log.tail(topics::EVENTS, partition, next)?),
        };
        tail.next().await
    }

    async fn pass(&mut self, records: Vec<Record>) -> Vec<Passed> {
        let mut passed = Vec::with_capacity(records.len());
        for (n, record) in records.iter().enumerate() {
            if n % 256 == 255 {
                // Others want their turn as well.
                tokio::task::yield_now().await;
            }
            if record.offset < self.next {
                continue;
            }
            let decoded = self.decoded(record).await;
            self.next = record.offset + 1;
            // What is no event is for the projector to reject.
            let Some(decoded) = decoded else { continue };
            let verdict = self.seen.show(record.offset, decoded.print());
            let (place, rank) = ((self.partition, record.offset), decoded.rank());
            if verdict == Verdict::First && (record.offset >= self.from || rank.number > 0) {
                passed.push(Passed::new(place, decoded.event, rank, record.bytes()));
            }
        }
        passed
    }

    async fn decoded(&self, record: &Record) -> Option<Decoded> {
        loop {
            match self.decoder.decode(record).await {
                Ok(decoded) => return Some(decoded),
                Err(DecodeError::Unreadable(_)) => return None,
                Err(DecodeError::Later(error)) => {
                    tracing::debug!(%error, "a stream waits for the schema registry");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }
}
