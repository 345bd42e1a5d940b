//! Writing one month's rows so that each is in the table once, whatever happens on the way.
//!
//! An insert ends in one of three ways. Done: the rows are in, as one part. Refused for its data, as [`bisect`]
//! judges: it is halved until the record that ClickHouse can't take is found, and that one is given back. Anything
//! else, a cut connection above all, leaves the outcome unknown: the month is marked as dirty, what may still run is
//! ended, the table is asked which offsets it holds, and the rest is written again.
//!
//! [`bisect`]: super::bisect

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::Row;
use super::bisect::{Bisection, Next};
use super::migrate::EVENTS;
use super::visible::Visible;
use crate::clock::Clock;
use crate::log::Position;
use crate::store::row::{EventRow, partition_column};
use crate::store::{Store, StoreError};

/// Writes into one table, for one log.
#[derive(Clone)]
pub struct Writer {
    store: Store,
    table: &'static str,
    log_id: Uuid,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    visible: Visible,
}

/// A row that ClickHouse can't take, and its words.
#[derive(Debug)]
pub struct Refused {
    /// Which of the rows.
    pub index: usize,
    /// Why.
    pub reason: String,
}

/// Writing was given up because the process stops.
#[derive(Debug, thiserror::Error)]
#[error("stopped before the rows were written")]
pub struct Stopped;

impl Writer {
    /// A writer into the serving table.
    pub fn new(store: Store, log_id: Uuid, clock: Arc<dyn Clock>, stop: CancellationToken) -> Self {
        Self {
            store,
            table: EVENTS,
            log_id,
            clock,
            stop,
            visible: Visible::all(),
        }
    }

    /// The same, leaving out what was cleaned up.
    pub fn obeying(self, visible: Visible) -> Self {
        Self { visible, ..self }
    }

    /// What is to be seen.
    pub fn visible(&self) -> &Visible {
        &self.visible
    }

    /// The same, into another table.
    pub fn into_table(self, table: &'static str) -> Self {
        Self { table, ..self }
    }

    /// Where that table is.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The table it writes into.
    pub fn table(&self) -> &'static str {
        self.table
    }

    /// Writes rows of one month; comes back when each is in the table or refused. While ClickHouse is away it
    /// waits, as long as it takes or until the process stops.
    pub async fn write(&self, month: u32, rows: &[Row]) -> Result<Vec<Refused>, Stopped> {
        let mut refused = Vec::new();
        let mut bisection = Bisection::new(rows.len());
        let mut attempt = 0;
        while let Some(piece) = bisection.pop() {
            let Err(error) = self.insert(rows, &piece.rows).await else {
                bisection.accepted();
                attempt = 0;
                continue;
            };
            match bisection.failed(piece, &error) {
                Next::Reject(index) => refused.push(Refused {
                    index,
                    reason: error.to_string(),
                }),
                Next::Halved => {}
                Next::Repeat(mut piece) => {
                    tracing::warn!(%error, month, rows = piece.rows.len(), "an insert did not succeed; it will be repeated");
                    metrics::counter!(crate::meters::INSERTS_REPEATED).increment(1);
                    attempt += 1;
                    pause(&self.stop, attempt).await?;
                    piece.rows = self.missing(month, rows, piece.rows).await?;
                    bisection.push(piece);
                }
            }
        }
        Ok(refused)
    }

    /// Marks a month as dirty, as long as it takes or until the process stops.
    pub async fn mark(&self, month: u32) -> Result<(), Stopped> {
        let mark = || async move { self.store.mark_months(&[month]).await };
        persist(&self.stop, "marking a month as dirty", mark).await
    }

    /// Resolves when writing is to be given up.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The offsets of a partition, from `from` on, that the table holds already.
    pub async fn held(&self, partition: i32, from: i64) -> Result<HashSet<i64>, Stopped> {
        let stretches = BTreeMap::from([(partition, from..i64::MAX)]);
        let question = || self.settle_and_ask(&stretches, None);
        let held = persist(&self.stop, "asking what a partition holds", question).await?;
        Ok(held.into_iter().map(|position| position.offset).collect())
    }

    async fn insert(&self, rows: &[Row], indexes: &[usize]) -> Result<(), StoreError> {
        let partitions = partitions_of(rows, indexes);
        let query_id = name(self.log_id, &partitions, self.clock.fresh_id());
        let revises = indexes.iter().any(|index| rows[*index].is_revision());
        let mut insert = self.store.insert(self.table, &query_id, revises);
        for index in indexes {
            let row = &rows[*index];
            let partition = partition_column(row.at.partition);
            let mut columns = EventRow::from_event(&row.event, self.log_id, partition, row.version());
            if let Some(history) = &row.history {
                columns.history = history.to_json().into();
            }
            insert.write(&columns).await?;
            // Twenty thousand rows are 60 ms of computing: requests on this thread should not wait for all of them.
            tokio::task::consume_budget().await;
        }
        insert.end().await
    }

    /// After an insert of unknown outcome: which of its rows are not in the table.
    async fn missing(&self, month: u32, rows: &[Row], indexes: Vec<usize>) -> Result<Vec<usize>, Stopped> {
        let stretches = stretches(indexes.iter().map(|index| rows[*index].at));
        let question = || self.settle_and_ask(&stretches, Some(month));
        let held = persist(&self.stop, "asking what an insert has left", question).await?;
        let missing = indexes.into_iter();
        Ok(missing.filter(|index| !held.contains(&rows[*index].at)).collect())
    }

    async fn settle_and_ask(
        &self,
        stretches: &BTreeMap<i32, Range<i64>>,
        dirty: Option<u32>,
    ) -> Result<HashSet<Position>, StoreError> {
        if let Some(month) = dirty {
            self.store.mark_months(&[month]).await?;
        }
        let mut held = HashSet::new();
        for (partition, offsets) in stretches {
            let mark = format!(".p{partition}.");
            self.store.kill_inserts(&prefix(self.log_id), &mark).await?;
            held.extend(self.ask(*partition, offsets.clone()).await?);
        }
        Ok(held)
    }

    /// The positions of a stretch of a partition that the table holds now.
    pub async fn ask(&self, partition: i32, offsets: Range<i64>) -> Result<HashSet<Position>, StoreError> {
        let column = partition_column(partition);
        let offsets = offsets.start.max(0).cast_unsigned()..offsets.end.max(0).cast_unsigned();
        let held = self
            .store
            .held_between(self.table, self.log_id, column, offsets)
            .await?;
        let offsets = held.into_iter().map(u64::cast_signed);
        Ok(offsets.map(|offset| Position { partition, offset }).collect())
    }
}

/// Does what ClickHouse is needed for until it succeeds, or the process stops.
pub(super) async fn persist<T, F>(
    stop: &CancellationToken,
    what: &'static str,
    question: impl Fn() -> F,
) -> Result<T, Stopped>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut attempt = 0;
    loop {
        match question().await {
            Ok(answer) => return Ok(answer),
            Err(error) => tracing::warn!(%error, what, "ClickHouse can't do it yet"),
        }
        attempt += 1;
        pause(stop, attempt).await?;
    }
}

async fn pause(stop: &CancellationToken, attempt: u32) -> Result<(), Stopped> {
    let wait = Duration::from_millis(50u64 << attempt.min(6));
    let waited = stop.run_until_cancelled(tokio::time::sleep(wait)).await;
    waited.ok_or(Stopped)
}

/// The stretch of each partition in which these records stand.
pub(super) fn stretches(records: impl Iterator<Item = Position>) -> BTreeMap<i32, Range<i64>> {
    let mut stretches: BTreeMap<i32, Range<i64>> = BTreeMap::new();
    for Position { partition, offset } in records {
        let stretch = stretches.entry(partition).or_insert(offset..offset + 1);
        *stretch = stretch.start.min(offset)..stretch.end.max(offset + 1);
    }
    stretches
}

/// Names an insert by its log and the partitions it holds, so that their next owner can end it, and nobody else's. A
/// server wants each name once.
fn name(log_id: Uuid, partitions: &[i32], once: Uuid) -> String {
    let list: String = partitions
        .iter()
        .map(|partition| format!("p{partition}."))
        .collect();
    format!("{}{list}{once}", prefix(log_id))
}

/// How the names of a log's inserts begin.
fn prefix(log_id: Uuid) -> String {
    format!("trailhouse-projector.{log_id}.")
}

fn partitions_of(rows: &[Row], indexes: &[usize]) -> Vec<i32> {
    let mut partitions: Vec<i32> = indexes.iter().map(|index| rows[*index].at.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_asked_for_its_own_stretch_alone() {
        let at = |(partition, offset)| Position { partition, offset };
        let found = stretches([(1, 90), (0, 5), (1, 70), (0, 5)].into_iter().map(at));
        assert_eq!(found, BTreeMap::from([(0, 5..6), (1, 70..91)]));
    }

    #[test]
    fn an_insert_is_found_by_its_log_and_each_of_its_partitions() {
        let name = name(Uuid::from_u128(7), &[1, 12], Uuid::nil());
        assert!(
            name.starts_with(&prefix(Uuid::from_u128(7))) && !name.starts_with(&prefix(Uuid::from_u128(8)))
        );
        assert!(name.contains(".p1.") && name.contains(".p12.") && !name.contains(".p2."));
    }
}
