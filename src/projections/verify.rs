//! Comparing the table with the log: every first copy once, and nothing else.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::batch::Row;
use super::earlier;
use super::migrate::EVENTS;
use super::replay::Replay;
use super::visible::Visible;
use crate::log::decode::Decoder;
use crate::log::{Log, LogError, Position, topics};
use crate::store::{Store, StoreError};

/// First copies that are compared at once.
const CHUNK: usize = 100_000;
/// Offsets that are named in a report.
const NAMED: usize = 20;

/// What the comparison of one partition found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The partition.
    pub partition: i32,
    /// Records read.
    pub records: u64,
    /// Records among them that are no events.
    pub unreadable: u64,
    /// First copies among them.
    pub firsts: u64,
    /// Of these, what the table holds something for that counts more: a copy from further back than the seen window, or
    /// a revision.
    pub copies: u64,
    /// First copies that are not in the table because they were cleaned up.
    pub cleaned: u64,
    /// First copies the table lacks.
    pub missing: u64,
    /// Rows the log does not explain.
    pub unexplained: u64,
    /// Offsets that stand in the table more than once: harmless in months marked as dirty.
    pub repeated: u64,
    /// Some of the missing offsets.
    pub examples: Vec<i64>,
}

impl Report {
    /// Whether the table says what the log says.
    pub fn holds(&self) -> bool {
        self.missing == 0 && self.unexplained == 0
    }
}

/// Why nothing could be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// ClickHouse can't be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Compares a log with the table that was made from it.
pub struct Comparison<'a> {
    log: &'a Log,
    store: &'a Store,
    log_id: Uuid,
    /// By partition, the offsets that ClickHouse refused and `audit.rejected` holds.
    rejected: BTreeMap<i32, HashSet<i64>>,
    visible: Visible,
}

impl<'a> Comparison<'a> {
    /// Reads first what was rejected, since nobody should miss it in the table.
    pub async fn new(
        log: &'a Log,
        store: &'a Store,
        log_id: Uuid,
        visible: Visible,
    ) -> Result<Self, LogError> {
        Ok(Self {
            log,
            store,
            log_id,
            rejected: unstorable(log).await?,
            visible,
        })
    }

    /// Compares one partition up to `end`, the offset the projector had committed when the comparison began.
    /// `progress` is told how many records were compared.
    pub async fn partition(
        &self,
        decoder: Decoder,
        partition: i32,
        end: i64,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Report, VerifyError> {
        let none = HashSet::new();
        let rejected = self.rejected.get(&partition).unwrap_or(&none);
        let mut replay = Replay::start(self.log, decoder, partition).await?;
        let first = replay.next;
        let mut report = Report {
            partition,
            ..Report::default()
        };
        while replay.next < end {
            let low = replay.next;
            let firsts = replay.firsts(end, CHUNK).await?;
            let high = replay.next.min(end) - 1;
            let held = self.store.copies(self.log_id, partition, low, high).await?;
            let mut missing = missing(&firsts, &held, rejected);
            let all = missing.len();
            missing.retain(|row| self.visible.shows(&row.event));
            report.cleaned += (all - missing.len()) as u64;
            let copies = earlier::copied(self.store, EVENTS, missing.iter().copied()).await?;
            count(&firsts, &held, &missing, &copies, &mut report);
            report.records = (replay.next - first).max(0) as u64;
            report.unreadable = replay.unreadable;
            progress(report.records);
        }
        Ok(report)
    }
}

/// First copies that are neither in the table nor in `audit.rejected`.
fn missing<'a>(firsts: &'a [Row], held: &BTreeMap<i64, u64>, rejected: &HashSet<i64>) -> Vec<&'a Row> {
    let missing = |row: &&Row| !held.contains_key(&row.at.offset) && !rejected.contains(&row.at.offset);
    firsts.iter().filter(missing).collect()
}

/// Adds a stretch to the report. `copies` are those among the missing for which something is held that counts more.
fn count(
    firsts: &[Row],
    held: &BTreeMap<i64, u64>,
    missing: &[&Row],
    copies: &HashSet<Position>,
    report: &mut Report,
) {
    let expected: HashSet<i64> = firsts.iter().map(|row| row.at.offset).collect();
    report.firsts += firsts.len() as u64;
    report.copies += copies.len() as u64;
    report.missing += (missing.len() - copies.len()) as u64;
    let room = NAMED.saturating_sub(report.examples.len());
    let missing = missing.iter().filter(|row| !copies.contains(&row.at));
    report
        .examples
        .extend(missing.map(|row| row.at.offset).take(room));
    report.unexplained += held.keys().filter(|offset| !expected.contains(offset)).count() as u64;
    report.repeated += held.values().filter(|copies| **copies > 1).count() as u64;
}

/// Offsets of a partition that `audit.rejected` holds because ClickHouse refused them.
async fn unstorable(log: &Log) -> Result<BTreeMap<i32, HashSet<i64>>, LogError> {
    let mut offsets: BTreeMap<i32, HashSet<i64>> = BTreeMap::new();
    let (low, end) = log.bounds(topics::REJECTED, 0).await?;
    let mut next = low;
    if next >= end {
        return Ok(offsets);
    }
    let mut tail = log.tail(topics::REJECTED, 0, low)?;
    while next < end {
        for record in tail.next().await? {
            next = record.offset + 1;
            let rejected = crate::log::rejected::Rejected::read(record);
            if rejected.reason == crate::log::rejected::Reason::Unstorable.as_str()
                && let Some((partition, offset)) = position(&rejected.origin)
            {
                offsets.entry(partition).or_default().insert(offset);
            }
        }
    }
    Ok(offsets)
}

fn position(origin: &str) -> Option<(i32, i64)> {
    let (partition, offset) = origin
        .strip_prefix(topics::EVENTS)?
        .strip_prefix('/')?
        .split_once('/')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::batch::samples::row;

    #[test]
    fn what_is_missing_unexplained_or_twice_is_counted() {
        let firsts = [1, 2, 3, 4, 5].map(|offset| row(offset as u128, offset));
        let held = BTreeMap::from([(1, 1), (2, 2), (9, 1)]);
        let missing = missing(&firsts, &held, &HashSet::from([4]));
        let mut report = Report::default();
        // Of the event at offset 5 an earlier copy is held: a merge left that one only.
        count(
            &firsts,
            &held,
            &missing,
            &HashSet::from([firsts[4].at]),
            &mut report,
        );
        assert_eq!((report.missing, report.unexplained, report.repeated), (1, 1, 1));
        assert_eq!((report.firsts, report.copies), (5, 1));
        assert_eq!(report.examples, [3]);
        assert!(!report.holds());

        let mut report = Report::default();
        let copies = HashSet::from([firsts[2].at, firsts[4].at]);
        count(
            &firsts,
            &BTreeMap::from([(1, 1), (2, 1)]),
            &missing,
            &copies,
            &mut report,
        );
        assert!(report.holds());
    }

    #[test]
    fn an_origin_gives_its_position() {
        assert_eq!(position("audit.events/2/17"), Some((2, 17)));
        assert_eq!(position("http"), None);
    }
}
