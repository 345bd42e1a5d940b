//! Filling the table anew from the log, beside the one that serves.
//!
//! The new table is filled up to the log's end, then the two are exchanged, then the stretch that the projector
//! wrote into the old table meanwhile is made up in the new one. Rows that both may have written are in months
//! marked as dirty, so no reader sees one twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::batch::Row;
use super::decode::Decoder;
use super::migrate::{self, EVENTS};
use super::replay::Replay;
use super::writer::{Stopped, Writer};
use crate::clock::Clock;
use crate::log::{Log, LogError, topics};
use crate::store::{Store, StoreError};

/// The table that is filled.
const BESIDE: &str = "events_rebuild";
/// Rows that are read before they are written.
const CHUNK: usize = 50_000;

/// Why a rebuild did not come to its end. The serving table is untouched unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// ClickHouse does not do what it must.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stopped by the user.
    #[error("stopped; the serving table is as it was")]
    Stopped,
    /// The serving table has rows that this log can't give back.
    #[error(
        "{0} rows of table events come from another log and would be lost; say --discard-other-logs if that is meant"
    )]
    OtherLogs(u64),
    /// The new table does not hold what the log does.
    #[error(
        "the new table holds {found} rows, the log {expected} first copies; the serving table is as it was"
    )]
    Differs {
        /// First copies in the log that ClickHouse took.
        expected: u64,
        /// Rows in the table.
        found: u64,
    },
}

impl From<Stopped> for RebuildError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// What a rebuild did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Rows in the table that serves now.
    pub rows: u64,
    /// Records that ClickHouse does not take; they are in `audit.rejected`.
    pub refused: u64,
}

/// What a rebuild needs.
pub struct Rebuild {
    /// Where the events are.
    pub log: Log,
    /// Where they go.
    pub store: Store,
    /// Writes for this log.
    pub writer: Writer,
    /// Reads its records.
    pub decoder: Decoder,
    /// The log's identity.
    pub log_id: Uuid,
    /// For the marks on months.
    pub clock: Arc<dyn Clock>,
    /// Go on when rows of other logs would be lost.
    pub discard_other_logs: bool,
}

impl Rebuild {
    /// Rebuilds the table. `progress` is told how many records of how many were read.
    pub async fn run(self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Rebuilt, RebuildError> {
        migrate::migrate(&self.store).await?;
        let others = self.store.rows_of_other_logs(EVENTS, self.log_id).await?;
        if others > 0 && !self.discard_other_logs {
            return Err(RebuildError::OtherLogs(others));
        }
        self.store.drop_table(BESIDE).await?;
        migrate::create_beside(&self.store, BESIDE).await?;
        let mut replays = self.replays().await?;
        let writer = self.writer.clone().into_table(BESIDE);
        let mut done = Rebuilt { rows: 0, refused: 0 };
        let ends = self.ends(&replays).await?;
        for (replay, end) in replays.iter_mut().zip(&ends) {
            self.fill(replay, *end, &writer, false, &mut done, &|at| {
                progress(at, total(&ends))
            })
            .await?;
        }
        let found = self.store.count(BESIDE, self.log_id).await?;
        if found != done.rows {
            return Err(RebuildError::Differs {
                expected: done.rows,
                found,
            });
        }
        self.store.exchange(EVENTS, BESIDE).await?;
        // The old table may have got rows since; from here on the projector writes into the new one as well.
        let ends = self.ends(&replays).await?;
        for (replay, end) in replays.iter_mut().zip(&ends) {
            self.fill(replay, *end, &self.writer, true, &mut done, &|at| {
                progress(at, total(&ends))
            })
            .await?;
        }
        self.store.drop_table(BESIDE).await?;
        Ok(done)
    }

    async fn replays(&self) -> Result<Vec<Replay>, RebuildError> {
        let count = self.log.partitions(topics::EVENTS).await?.unwrap_or_default();
        let mut replays = Vec::new();
        for partition in 0..count {
            replays.push(Replay::start(&self.log, self.decoder.clone(), partition).await?);
        }
        Ok(replays)
    }

    async fn ends(&self, replays: &[Replay]) -> Result<Vec<i64>, RebuildError> {
        let mut ends = Vec::new();
        for partition in 0..replays.len() {
            ends.push(self.log.bounds(topics::EVENTS, partition as i32).await?.1);
        }
        Ok(ends)
    }

    async fn fill(
        &self,
        replay: &mut Replay,
        end: i64,
        writer: &Writer,
        shared: bool,
        done: &mut Rebuilt,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RebuildError> {
        loop {
            let rows = replay.firsts(end, CHUNK).await?;
            progress(replay.next.max(0) as u64);
            if rows.is_empty() {
                return Ok(());
            }
            for (month, mut rows) in by_month(rows) {
                if shared {
                    self.store.mark_months(&[month], true, self.clock.now()).await?;
                    let held = writer.ask(rows[0].at.partition, rows[0].at.offset).await?;
                    rows.retain(|row| !held.contains(&row.at));
                }
                let refused = writer.write(month, &rows).await?.len() as u64;
                done.rows += rows.len() as u64 - refused;
                done.refused += refused;
            }
        }
    }
}

fn total(ends: &[i64]) -> u64 {
    ends.iter().map(|end| (*end).max(0) as u64).sum()
}

fn by_month(rows: Vec<Row>) -> BTreeMap<u32, Vec<Row>> {
    let mut months: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
    for row in rows {
        months.entry(row.event.time.month()).or_default().push(row);
    }
    months
}
