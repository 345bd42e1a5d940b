//! Writing one month's rows so that each is in the table once, whatever happens on the way.
//!
//! An insert ends in one of three ways. Done: the rows are in, as one part. Refused for its data: it is halved until
//! the record that ClickHouse can't take is found, and that one is given back. Anything else, a cut connection
//! above all, leaves the outcome unknown: the month is marked as dirty, what may still run is ended, the table is
//! asked which offsets it holds, and the rest is written again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::Row;
use super::migrate::EVENTS;
use crate::clock::Clock;
use crate::log::Position;
use crate::store::row::{EventRow, version_at};
use crate::store::{Store, StoreError};

/// Writes into one table, for one log.
#[derive(Clone)]
pub struct Writer {
    store: Store,
    table: &'static str,
    log_id: Uuid,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
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
        }
    }

    /// The same, into another table.
    pub fn into_table(self, table: &'static str) -> Self {
        Self { table, ..self }
    }

    /// Writes rows of one month; comes back when each is in the table or refused. While ClickHouse is away it
    /// waits, as long as it takes or until the process stops.
    pub async fn write(&self, month: u32, rows: &[Row]) -> Result<Vec<Refused>, Stopped> {
        let mut refused = Vec::new();
        // Ranges still to be written; halves of a refused one go on top.
        let mut open: Vec<Vec<usize>> = vec![(0..rows.len()).collect()];
        let mut attempt = 0;
        while let Some(indexes) = open.pop() {
            match self.insert(rows, &indexes).await {
                Ok(()) => attempt = 0,
                Err(error) if blames_data(&error, attempt) => match indexes.as_slice() {
                    [index] => refused.push(Refused {
                        index: *index,
                        reason: error.to_string(),
                    }),
                    _ => {
                        let (left, right) = indexes.split_at(indexes.len() / 2);
                        open.push(right.to_vec());
                        open.push(left.to_vec());
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, month, rows = indexes.len(), "an insert did not succeed; it will be repeated");
                    metrics::counter!(crate::meters::INSERTS_REPEATED).increment(1);
                    attempt += 1;
                    self.pause(attempt).await?;
                    let missing = self.missing(month, rows, indexes).await?;
                    if !missing.is_empty() {
                        open.push(missing);
                    }
                }
            }
        }
        Ok(refused)
    }

    /// The offsets of a partition, from `from` on, that the table holds already.
    pub async fn held(&self, partition: i32, from: i64) -> Result<HashSet<i64>, Stopped> {
        let mut attempt = 0;
        loop {
            match self.settle_and_ask(&[partition], None, from).await {
                Ok(held) => return Ok(held.into_iter().map(|position| position.offset).collect()),
                Err(error) => {
                    tracing::warn!(%error, partition, "ClickHouse can't yet say what it holds");
                    attempt += 1;
                    self.pause(attempt).await?;
                }
            }
        }
    }

    async fn insert(&self, rows: &[Row], indexes: &[usize]) -> Result<(), StoreError> {
        let partitions = partitions_of(rows, indexes);
        let mut insert = self
            .store
            .insert(self.table, &name(&partitions, self.clock.fresh_id()))
            .await?;
        for index in indexes {
            let row = &rows[*index];
            let version = version_at(row.at.offset.max(0) as u64);
            let partition = partition_column(row.at.partition);
            insert
                .write(&EventRow::from_event(&row.event, self.log_id, partition, version))
                .await?;
        }
        Ok(insert.end().await?)
    }

    /// After an insert of unknown outcome: which of its rows are not in the table.
    async fn missing(&self, month: u32, rows: &[Row], indexes: Vec<usize>) -> Result<Vec<usize>, Stopped> {
        let partitions = partitions_of(rows, &indexes);
        let from = indexes
            .iter()
            .map(|index| rows[*index].at.offset)
            .min()
            .unwrap_or_default();
        let mut attempt = 0;
        loop {
            match self.settle_and_ask(&partitions, Some(month), from).await {
                Ok(held) => {
                    return Ok(indexes
                        .into_iter()
                        .filter(|index| !held.contains(&rows[*index].at))
                        .collect());
                }
                Err(error) => {
                    tracing::debug!(%error, "ClickHouse is still away");
                    attempt += 1;
                    self.pause(attempt).await?;
                }
            }
        }
    }

    async fn settle_and_ask(
        &self,
        partitions: &[i32],
        dirty: Option<u32>,
        from: i64,
    ) -> Result<HashSet<Position>, StoreError> {
        if let Some(month) = dirty {
            self.store.mark_months(&[month], true, self.clock.now()).await?;
        }
        let mut held = HashSet::new();
        for partition in partitions {
            self.store.kill_inserts(&format!(".p{partition}.")).await?;
            held.extend(self.ask(*partition, from).await?);
        }
        Ok(held)
    }

    /// The positions of a partition, from an offset on, that the table holds now.
    pub async fn ask(&self, partition: i32, from: i64) -> Result<HashSet<Position>, StoreError> {
        let (of, offset) = (partition_column(partition), from.max(0) as u64);
        let held = self
            .store
            .held_offsets(self.table, self.log_id, of, offset)
            .await?;
        Ok(held
            .into_iter()
            .map(|(offset, _)| Position {
                partition,
                offset: offset as i64,
            })
            .collect())
    }

    async fn pause(&self, attempt: u32) -> Result<(), Stopped> {
        let wait = Duration::from_millis(50u64 << attempt.min(6));
        tokio::select! {
            () = self.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

/// Names an insert by the partitions it holds, so that their next owner can end it. A server wants each name once.
fn name(partitions: &[i32], once: Uuid) -> String {
    let list: String = partitions
        .iter()
        .map(|partition| format!("p{partition}."))
        .collect();
    format!("trailhouse-projector.{list}{once}")
}

/// Kafka numbers partitions from 0; no topic comes near 65,536 of them.
fn partition_column(partition: i32) -> u16 {
    u16::try_from(partition).unwrap_or(u16::MAX)
}

fn partitions_of(rows: &[Row], indexes: &[usize]) -> Vec<i32> {
    let mut partitions: Vec<i32> = indexes.iter().map(|index| rows[*index].at.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}

/// Codes that speak of the rows and not of the server: parse errors, values out of range, violated constraints.
const DATA_CODES: [u32; 22] = [
    6, 26, 27, 33, 36, 38, 41, 53, 69, 70, 72, 117, 128, 131, 190, 321, 349, 407, 441, 469, 675, 691,
];
/// Codes that speak of the server: memory, disk, too many parts, time, rights. Their rows are never to blame.
const SERVER_CODES: [u32; 18] = [
    60, 81, 159, 160, 164, 202, 203, 209, 210, 236, 241, 242, 243, 252, 394, 497, 516, 999,
];
/// After so many refusals in words we don't know, the rows are looked at one by one.
const UNKNOWN_CODE_ATTEMPTS: u32 = 5;

fn blames_data(error: &StoreError, attempt: u32) -> bool {
    match error {
        StoreError::Refused { code, .. } if DATA_CODES.contains(code) => true,
        StoreError::Refused { code, .. } if SERVER_CODES.contains(code) => false,
        StoreError::Refused { .. } => attempt >= UNKNOWN_CODE_ATTEMPTS,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_the_rows_fault() {
        let refused = |code| StoreError::Refused {
            code,
            message: String::new(),
        };
        assert!(blames_data(&refused(469), 0));
        assert!(!blames_data(&refused(243), 100));
        assert!(!blames_data(&refused(12345), 0));
        assert!(blames_data(&refused(12345), UNKNOWN_CODE_ATTEMPTS));
    }

    #[test]
    fn an_insert_is_found_by_each_of_its_partitions() {
        let name = name(&[1, 12], Uuid::nil());
        assert!(name.contains(".p1.") && name.contains(".p12.") && !name.contains(".p2."));
    }
}
