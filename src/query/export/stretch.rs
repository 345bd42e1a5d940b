//! Reading all that is found, oldest first, a stretch at a time.
//!
//! A stretch begins behind the last event of the one before and ends after so many rows, after so many bytes, or where
//! months begin in which a record may stand twice: those are read with FINAL, and no stretch spans both kinds. A month may
//! become such a one while it is read, so that is asked again after each stretch, and one that met it is read again.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::mpsc;

use super::ask::{Export, Format};
use super::gathered::Gathered;
use crate::clock::Timestamp;
use crate::query::cursor::Cursor;
use crate::query::filter::{Filter, Range};
use crate::query::parse::Order;
use crate::query::read::push_columns;
use crate::query::scope::Scope;
use crate::query::stats::interval::Interval;
use crate::query::{Queries, QueryError, sql};
use crate::store::held::Place;
use crate::store::{EventRow, Statement, StoreError, Value};

/// Rows of a stretch: one takes about a tenth of a second. A row group of Parquet is better for being longer.
const ROWS: u64 = 20_000;
const ROWS_OF_A_TABLE: u64 = 100_000;
/// Bytes after which a stretch ends early: events may have 256 KiB, and three stretches of an export lie in memory. Most
/// hold fewer when they have all their rows: what ClickHouse read beyond is read again (ending at 8 MiB, half of it: half
/// the speed).
const BYTES: usize = 16 << 20;
/// One that finds little reads far, and nobody waits for its first row alone.
const STRETCH_WITHIN: Duration = Duration::from_secs(600);
/// A stretch that could not be read for a passing reason is read again after these.
const AGAIN_AFTER: [Duration; 5] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// An export as far as it has been read.
pub(super) struct Stretches {
    queries: Queries,
    scope: Scope,
    export: Export,
    as_of: Timestamp,
    /// The last event that was read.
    behind: Option<Place>,
    /// Where the next stretch begins, where no event says it.
    from: Option<Timestamp>,
}

/// Where a stretch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lane {
    /// It ends before this.
    to: Option<Timestamp>,
    /// Whether records may stand in it twice.
    is_dirty: bool,
}

impl Stretches {
    pub(super) fn new(queries: Queries, scope: Scope, export: &Export) -> Self {
        Self {
            as_of: queries.now(),
            queries,
            scope,
            from: export.search.filter.time.from,
            export: export.clone(),
            behind: None,
        }
    }

    /// Reads everything into `out`, or until nobody listens there. A stretch is read when there is room for it.
    pub(super) async fn read(mut self, out: mpsc::Sender<Result<Gathered, QueryError>>) {
        while let Ok(room) = out.reserve().await {
            let next = tokio::select! {
                next = self.next() => next,
                () = out.closed() => return,
            };
            let is_end = next.as_ref().map_or(true, Gathered::is_last);
            room.send(next);
            if is_end {
                return;
            }
        }
    }

    /// The next stretch; what fails for a passing reason is tried again.
    async fn next(&mut self) -> Result<Gathered, QueryError> {
        let mut pauses = AGAIN_AFTER.into_iter();
        loop {
            let failed = match self.stretch().await {
                Ok(Some(gathered)) => return Ok(gathered),
                Ok(None) => continue,
                Err(error) => error,
            };
            match (pauses.next(), &failed) {
                (Some(pause), QueryError::Unavailable) => tokio::time::sleep(pause).await,
                _ => return Err(failed),
            }
        }
    }

    /// One stretch; `None` when it must be read again, because records may stand twice where it was read.
    async fn stretch(&mut self) -> Result<Option<Gathered>, QueryError> {
        self.queries.renew(&mut self.scope);
        let store = self.queries.store();
        let wanted = self.export.search.filter.time;
        let begin = self.behind.map(|(time, _)| time).or(self.from);
        let lane = lane(begin, wanted.to, &store.dirty_months().await?);
        let (format, fields) = (self.export.format, &self.export.fields);
        let rows_max = match format {
            Format::Parquet => ROWS_OF_A_TABLE,
            Format::Json | Format::Ndjson | Format::Csv => ROWS,
        };
        let sql = self.statement(lane, rows_max);
        let mut gathered = Gathered::new(format, fields);
        let mut is_full = false;
        {
            let permit = self.queries.export_turn(self.scope.tenant()).await;
            let _permit = permit.ok_or(QueryError::Busy)?;
            let take = |row: EventRow<'_>| {
                gathered.push(&row, format, fields).map_err(StoreError::from)?;
                is_full = gathered.events() >= rows_max || gathered.bytes() >= BYTES;
                Ok(match is_full {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            };
            store
                .each_until::<EventRow<'_>, _>(&sql, STRETCH_WITHIN, take)
                .await?;
        }
        let end = match is_full {
            true => gathered.reached(),
            false => lane.to,
        };
        if !lane.is_dirty {
            let now = self::lane(begin, wanted.to, &store.dirty_months().await?);
            // The month that a lane ends before is of the other kind anyway.
            let met = now.to.is_some_and(|edge| match end {
                None => true,
                Some(end) if is_full => edge <= end,
                Some(end) => edge < end,
            });
            if now.is_dirty || met {
                return Ok(None);
            }
        }
        match is_full {
            true => self.behind = gathered.last(),
            false if lane.to == wanted.to => gathered.ends(),
            false => (self.behind, self.from) = (None, lane.to),
        }
        Ok(Some(gathered))
    }

    fn statement(&self, lane: Lane, rows_max: u64) -> Statement {
        let mut sql = Statement::new();
        push_columns(&mut sql, &self.export.fields);
        sql.push(" FROM events")
            .push(if lane.is_dirty { " FINAL" } else { "" });
        let time = Range {
            from: if self.behind.is_some() { None } else { self.from },
            to: lane.to,
        };
        let filter = Filter {
            time,
            ..self.export.search.filter.clone()
        };
        sql::push_where(&mut sql, &self.scope, &filter);
        match self.behind {
            Some((time, event_id)) => {
                let cursor = Cursor {
                    back: false,
                    time,
                    event_id,
                    as_of: self.as_of,
                };
                sql::push_beyond(&mut sql, &cursor, Order::Oldest);
            }
            None => sql::push_as_of(&mut sql, self.as_of),
        }
        sql::push_order(&mut sql, Order::Oldest, true);
        sql.push(" LIMIT ").bind("UInt64", Value::number(rows_max));
        // Buffers would be filled from every part of the table before the first row comes out: twice the time.
        sql.set("read_in_order_use_buffering", 0)
            .set("local_filesystem_read_method", "pread");
        sql
    }
}

/// How far from `begin` months are of one kind, `to` at most.
fn lane(begin: Option<Timestamp>, to: Option<Timestamp>, dirty: &[u32]) -> Lane {
    let start = |month: u32| {
        let (year, month) = (i64::from(month / 100), i64::from(month % 100));
        Interval::Month.start(year * 12 + month - 1)
    };
    let end = |month: u32| Interval::Month.start(Interval::Month.index(start(month)) + 1);
    let month = begin.map_or(0, Timestamp::month);
    let is_dirty = dirty.contains(&month);
    let edge = match is_dirty {
        true => {
            let mut end_of_run = end(month);
            while dirty.contains(&end_of_run.month()) {
                end_of_run = end(end_of_run.month());
            }
            Some(end_of_run)
        }
        false => dirty
            .iter()
            .filter(|dirty| **dirty > month)
            .min()
            .map(|month| start(*month)),
    };
    Lane {
        to: match (edge, to) {
            (Some(edge), Some(to)) => Some(edge.min(to)),
            (edge, to) => edge.or(to),
        },
        is_dirty,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(date: &str) -> Option<Timestamp> {
        Timestamp::parse_rfc3339(&format!("{date}T00:00:00Z")).map(|(at, _)| at)
    }

    #[test]
    fn a_lane_ends_where_the_kind_of_month_changes() {
        let dirty = [202512, 202601, 202604];
        for (begin, to, end, is_dirty) in [
            (None, None, at("2025-12-01"), false),
            (at("2025-12-01"), None, at("2026-02-01"), true),
            (at("2026-01-15"), None, at("2026-02-01"), true),
            (at("2026-02-01"), None, at("2026-04-01"), false),
            (at("2026-02-01"), at("2026-03-05"), at("2026-03-05"), false),
            (at("2026-04-30"), None, at("2026-05-01"), true),
            (at("2026-05-01"), None, None, false),
        ] {
            let expected = Lane { to: end, is_dirty };
            assert_eq!(lane(begin, to, &dirty), expected, "{begin:?}");
        }
        let none = Lane {
            to: None,
            is_dirty: false,
        };
        assert_eq!(lane(None, None, &[]), none);
    }

    proptest! {
        /// Lane by lane, all of a time is read, nothing twice, and each month as its kind wants it.
        #[test]
        fn lanes_join(dirty in prop::collection::btree_set(0..12u32, 0..6), first in 0..300i64, days in 1..100i64) {
            let dirty: Vec<u32> = dirty.into_iter().map(|month| 202601 + month).collect();
            let day = |day: i64| Timestamp::from_micros(1_767_225_600_000_000 + day * 86_400_000_000);
            let (mut begin, to) = (day(first), day(first + days));
            let mut steps = 0;
            while begin < to {
                let lane = lane(Some(begin), Some(to), &dirty);
                prop_assert_eq!(lane.is_dirty, dirty.contains(&begin.month()));
                let last = Timestamp::from_micros(lane.to.unwrap().micros() - 1);
                prop_assert_eq!(lane.is_dirty, dirty.contains(&last.month()));
                prop_assert!(lane.to.unwrap() > begin);
                begin = lane.to.unwrap();
                steps += 1;
            }
            prop_assert!(begin == to && steps <= 13);
        }
    }
}
