//! Filling the table anew from the log, beside the one that serves.
//!
//! The new table is filled up to the log's end, then the two are exchanged, then the stretch that the projector
//! wrote into the old table meanwhile is made up in the new one. Rows that both may have written are in months
//! marked as dirty, so no reader sees one twice. Of copies that stand further apart than the seen window only the
//! first is written, so the new table can be counted.
//!
//! One rebuild runs at a time: the new table can be created by one alone, which signs it, and only who finds its own
//! signature there exchanges it. What a killed one leaves behind is discarded on an operator's word, for nobody can
//! tell it from one that still runs.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::batch::Row;
use super::earlier;
use super::migrate::{self, EVENTS};
use super::replay::Replay;
use super::writer::{Refused, Stopped, Writer, stretches};
use crate::log::decode::Decoder;
use crate::log::{Log, LogError, topics};
use crate::store::{Store, StoreError};

/// The table that is filled.
const BESIDE: &str = "events_rebuild";
/// ClickHouse's code for a table that exists.
const EXISTS: u32 = 57;
/// Rows that are read before they are written.
const CHUNK: usize = 50_000;
/// Refused records that are named.
const NAMED: usize = 20;

/// Why a rebuild did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Somebody else's new table is there.
    #[error(
        "another rebuild is running ({0}). If none is, it was killed: --force discards what it left, and goes on"
    )]
    Running(String),
    /// Somebody else's new table is in the place of this one's.
    #[error("another rebuild has taken the place of this one (--force); the serving table is as it was")]
    Discarded,
    /// Before the exchange.
    #[error("{0}; the serving table is as it was")]
    Before(Cause),
    /// ClickHouse did not say how the exchange ended.
    #[error(
        "{0}; the two tables may have been exchanged all the same: run it again with --force, whichever serves now"
    )]
    Exchange(StoreError),
    /// After it.
    #[error(
        "{0}; the new table serves, and may lack what came in during the rebuild: run it again with --force"
    )]
    After(Cause),
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

/// What a rebuild met with.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The log can't be read, or what its events were written with is not known.
    #[error(transparent)]
    Log(#[from] LogError),
    /// ClickHouse does not do what it must.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stopped by the user.
    #[error("stopped")]
    Stopped(#[from] Stopped),
}

/// What a rebuild did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Rows in the table that serves now.
    pub rows: u64,
    /// Records that ClickHouse does not take; they are in `audit.rejected`.
    pub refused: u64,
    /// The first of them: where they stand in the log, and what ClickHouse says.
    pub examples: Vec<String>,
    /// Records of the log that are no events; they are in `audit.rejected`.
    pub unreadable: u64,
    /// Months in which events were amended or redacted: until they are merged, what was revised stands there as well.
    revised: BTreeSet<u32>,
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
    /// Go on when rows of other logs would be lost.
    pub discard_other_logs: bool,
    /// Go on although a rebuild seems to be running.
    pub force: bool,
    /// Names this one among others, without quotes.
    pub signature: String,
}

/// What the log gets while the table is filled is filled in again and again until it is few: searches miss it for the
/// moment between the exchange and the last filling.
const CATCH_UPS: usize = 10;
const FEW: u64 = 1_000;

impl Rebuild {
    /// Rebuilds the table. `progress` is told how many records of how many were read.
    pub async fn run(self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<Rebuilt, RebuildError> {
        let before = |cause: StoreError| RebuildError::Before(cause.into());
        migrate::migrate(&self.store).await.map_err(before)?;
        let others = self.store.rows_of_other_logs(EVENTS, self.log_id);
        let others = others.await.map_err(before)?;
        if others > 0 && !self.discard_other_logs {
            return Err(RebuildError::OtherLogs(others));
        }
        let mut replays = Vec::new();
        let mut done = match self.put_in_place(&mut replays, progress).await {
            Ok(done) => done,
            Err(error) => {
                self.give_up().await;
                return Err(error);
            }
        };
        // The old table may have got rows since; from here on the projector writes into the new one as well.
        self.fill_all(&mut replays, &self.writer, true, &mut done, progress)
            .await
            .map_err(RebuildError::After)?;
        let dropped = self.store.drop_table(BESIDE).await;
        dropped.map_err(|error| RebuildError::After(error.into()))?;
        done.unreadable = replays.iter().map(|replay| replay.unreadable).sum();
        Ok(done)
    }

    /// Fills a new table and exchanges it for the one that serves.
    async fn put_in_place(
        &self,
        replays: &mut Vec<Replay>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Rebuilt, RebuildError> {
        self.claim().await?;
        let done = self.fill_beside(replays, progress).await?;
        let before = |error: StoreError| RebuildError::Before(error.into());
        self.mark(&done).await.map_err(before)?;
        let exchanged = self.store.exchange(EVENTS, BESIDE).await;
        exchanged.map_err(not_exchanged)?;
        // Whoever cleared a mark since may have merged the table that served until now.
        let marked = self.mark(&done).await;
        marked.map_err(|error| RebuildError::After(error.into()))?;
        Ok(done)
    }

    async fn mark(&self, done: &Rebuilt) -> Result<(), StoreError> {
        let months: Vec<u32> = done.revised.iter().copied().collect();
        match months.is_empty() {
            true => Ok(()),
            false => self.store.mark_months(&months).await,
        }
    }

    /// Creates the new table, unless somebody else has.
    async fn claim(&self) -> Result<(), RebuildError> {
        let before = |error: StoreError| RebuildError::Before(error.into());
        if self.force {
            self.store.drop_table(BESIDE).await.map_err(before)?;
        }
        match migrate::create_beside(&self.store, BESIDE, &self.signature).await {
            Err(StoreError::Refused { code: EXISTS, .. }) => {
                let whose = self.store.comment(BESIDE).await.map_err(before)?;
                Err(RebuildError::Running(whose.unwrap_or_default()))
            }
            created => created.map_err(before),
        }
    }

    /// Whether the new table is this one's.
    async fn is_ours(&self) -> Result<bool, StoreError> {
        Ok(self.store.comment(BESIDE).await?.as_deref() == Some(self.signature.as_str()))
    }

    /// Leaves nothing in the way of the next one, where ClickHouse can still be asked.
    async fn give_up(&self) {
        let gone = async {
            if self.is_ours().await? {
                self.store.drop_table(BESIDE).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = gone.await {
            tracing::warn!(%error, "the new table stays; the next rebuild needs --force");
        }
    }

    /// Fills the new table, and makes sure that it holds what it should and is this one's.
    async fn fill_beside(
        &self,
        replays: &mut Vec<Replay>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Rebuilt, RebuildError> {
        let filled = async {
            *replays = self.replays().await?;
            let writer = self.writer.clone().into_table(BESIDE);
            let mut done = Rebuilt::default();
            for _ in 0..CATCH_UPS {
                let before = done.rows;
                self.fill_all(replays, &writer, false, &mut done, progress)
                    .await?;
                if done.rows - before <= FEW {
                    break;
                }
            }
            let found = match done.revised.is_empty() {
                true => self.store.count(BESIDE, self.log_id).await?,
                false => self.store.count_final(BESIDE, self.log_id).await?,
            };
            Ok::<_, Cause>((done, found, self.is_ours().await?))
        };
        match filled.await.map_err(RebuildError::Before)? {
            (_, _, false) => Err(RebuildError::Discarded),
            (done, found, true) if found == done.rows => Ok(done),
            (done, found, true) => Err(RebuildError::Differs {
                expected: done.rows,
                found,
            }),
        }
    }

    async fn fill_all(
        &self,
        replays: &mut [Replay],
        writer: &Writer,
        shared: bool,
        done: &mut Rebuilt,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), Cause> {
        let ends = self.ends(replays).await?;
        let mut before = 0;
        for (replay, end) in replays.iter_mut().zip(&ends) {
            self.fill(replay, *end, writer, shared, done, &|at| {
                progress(before + at, total(&ends))
            })
            .await?;
            before += (*end).max(0) as u64;
        }
        Ok(())
    }

    async fn replays(&self) -> Result<Vec<Replay>, Cause> {
        let count = self.log.partitions(topics::EVENTS).await?.unwrap_or_default();
        let mut replays = Vec::new();
        for partition in 0..count {
            replays.push(Replay::start(&self.log, self.decoder.clone(), partition).await?);
        }
        Ok(replays)
    }

    async fn ends(&self, replays: &[Replay]) -> Result<Vec<i64>, Cause> {
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
    ) -> Result<(), Cause> {
        loop {
            let rows = replay.firsts(end, CHUNK).await?;
            progress(replay.next.max(0) as u64);
            if rows.is_empty() {
                return Ok(());
            }
            let unchecked = rows.iter().filter(|row| row.unchecked);
            let copies = earlier::copied(&self.store, writer.table(), unchecked).await?;
            for (month, mut rows) in by_month(rows) {
                rows.retain(|row| !copies.contains(&row.at) && writer.visible().shows(&row.event));
                if shared && !rows.is_empty() {
                    self.store.mark_months(&[month]).await?;
                    for (partition, offsets) in stretches(rows.iter().map(|row| row.at)) {
                        let held = writer.ask(partition, offsets).await?;
                        rows.retain(|row| !held.contains(&row.at));
                    }
                }
                let refused = writer.write(month, &rows).await?;
                done.written(month, &rows, &refused);
            }
        }
    }
}

impl Rebuilt {
    /// A revision takes the place of a row.
    fn written(&mut self, month: u32, rows: &[Row], refused: &[Refused]) {
        let refused_events = refused
            .iter()
            .filter(|refused| !rows[refused.index].is_revision());
        let events = rows.iter().filter(|row| !row.is_revision());
        self.rows += (events.count() - refused_events.count()) as u64;
        if rows.iter().any(Row::is_revision) {
            self.revised.insert(month);
        }
        self.refused += refused.len() as u64;
        let room = NAMED.saturating_sub(self.examples.len());
        self.examples.extend(refused.iter().take(room).map(|refused| {
            let at = rows[refused.index].at;
            format!(
                "{}/{}/{}: {}",
                topics::EVENTS,
                at.partition,
                at.offset,
                refused.reason
            )
        }));
    }
}

/// Only a refusal says that nothing happened.
fn not_exchanged(error: StoreError) -> RebuildError {
    match error {
        StoreError::Refused { .. } => RebuildError::Before(error.into()),
        _ => RebuildError::Exchange(error),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::batch::samples::row;

    #[test]
    fn what_clickhouse_refuses_is_named_up_to_a_bound() {
        let rows: Vec<Row> = (0..50).map(|offset| row(1, offset)).collect();
        let refused = |index| Refused {
            index,
            reason: "too long".into(),
        };
        let mut done = Rebuilt::default();
        done.written(197001, &rows, &[refused(3)]);
        assert_eq!((done.rows, done.refused), (49, 1));
        assert_eq!(done.examples, ["audit.events/0/3: too long"]);
        done.written(197001, &rows, &(0..50).map(refused).collect::<Vec<_>>());
        assert_eq!((done.rows, done.refused, done.examples.len()), (49, 51, NAMED));
    }

    #[test]
    fn an_exchange_without_an_answer_may_have_happened() {
        let away = not_exchanged(StoreError::no_answer()).to_string();
        assert!(
            away.contains("may have been exchanged") && away.contains("run it again"),
            "{away}"
        );
        let refused = StoreError::Refused {
            code: 497,
            message: "no rights".into(),
        };
        let refused = not_exchanged(refused).to_string();
        assert!(refused.contains("as it was"), "{refused}");
    }
}
