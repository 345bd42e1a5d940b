//! Statistics: how many events, by time, by fields, and how many different values.
//!
//! [`ask`] reads the question, [`interval`] knows the calendar, `sql` puts one statement together for each thing that is
//! asked, so that each reads the columns it needs in one pass, and [`answer`] is what comes of it. All of it is exact:
//! months in which a record may stand twice are read with FINAL.

pub mod answer;
pub mod ask;
pub mod interval;
pub(in crate::query) mod sql;

use std::collections::BTreeMap;

pub use answer::Stats;
pub use ask::Question;

use super::scope::Scope;
use super::{Queries, QueryError};
use crate::auth::Principal;
use crate::event::problem::Problem;
use crate::store::{Statement, StoreError};
use answer::{Group, Groups, NewType, Shares};
use interval::BUCKETS_MAX;
use sql::{CellRow, CountedRow, DistinctRow, GroupRow, NewTypeRow};

impl Queries {
    /// Answers a question about numbers.
    pub async fn stats(&self, principal: &Principal, question: &Question) -> Result<Stats, QueryError> {
        let scope = self.scope(principal, question.search.tenant_id.as_ref())?;
        let dirty = self.store().dirty_months().await?;
        let meets = |month: &u32| question.search.filter.time.meets(*month);
        let asking = Asking {
            queries: self,
            scope: &scope,
            question,
            // What is new is sought in all the time there is.
            is_dirty: dirty.iter().any(meets),
            is_dirty_ever: !dirty.is_empty(),
        };
        asking.all().await
    }
}

/// A question on its way.
struct Asking<'a> {
    queries: &'a Queries,
    scope: &'a Scope,
    question: &'a Question,
    is_dirty: bool,
    is_dirty_ever: bool,
}

impl Asking<'_> {
    /// The rows of one of its statements.
    async fn counted<R>(&self, sql: Statement) -> Result<Vec<R>, QueryError>
    where
        R: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let ask = |sql| async move { self.queries.store().rows::<R>(&sql).await };
        self.queries.turns().ask(self.scope.tenant(), sql, ask).await
    }

    async fn all(&self) -> Result<Stats, QueryError> {
        let question = self.question;
        let mut stats = Stats::of(question);
        let cells = async {
            match question.needs_cells() {
                true => self
                    .counted(sql::cells(self.scope, question, self.is_dirty))
                    .await
                    .map(Some),
                false => Ok(None),
            }
        };
        let groups = async {
            match question.group_by.is_empty() {
                false => self
                    .counted(sql::groups(self.scope, question, self.is_dirty))
                    .await
                    .map(Some),
                true => Ok(None),
            }
        };
        let (cells, groups) = tokio::try_join!(cells, groups)?;
        if let Some(rows) = cells {
            self.take_cells(&mut stats, &rows)?;
        }
        if let Some(rows) = groups {
            self.take_groups(&mut stats, rows);
        }
        for dimension in &question.distinct {
            let sql = sql::distinct(self.scope, question, dimension, self.is_dirty);
            let rows = self.counted::<DistinctRow>(sql).await?;
            let found = rows.first().map_or((0, 0), |row| (row.different, row.events));
            if dimension.counts_events() {
                stats.total.get_or_insert(found.1);
            }
            stats.distinct.insert(dimension.name(), found.0);
            if question.interval.is_some() {
                self.distinct_by_bucket(&mut stats, dimension).await?;
            }
        }
        if let Some(since) = question.new_types_since {
            let sql = sql::new_types(self.scope, question, since, self.is_dirty_ever);
            let rows = self.counted::<NewTypeRow>(sql).await?;
            stats.new_types = Some(rows.into_iter().map(NewType::from).collect());
        }
        Ok(stats)
    }

    /// Total, shares and buckets: one pass over three small columns.
    fn take_cells(&self, stats: &mut Stats, rows: &[CellRow]) -> Result<(), QueryError> {
        let question = self.question;
        let (mut shares, mut by_bucket) = (Shares::default(), BTreeMap::new());
        for row in rows {
            shares.add(row.severity, row.outcome, row.events).ok_or_else(|| {
                QueryError::from(StoreError::Broken(
                    "a severity or an outcome that no event has".to_owned(),
                ))
            })?;
            *by_bucket.entry(row.bucket).or_default() += row.events;
        }
        stats.total = Some(shares.total());
        if question.has_shares() {
            stats.take_shares(&shares);
        }
        if let Some(interval) = question.interval {
            let now = self.queries.now();
            let filled = interval.fill(&by_bucket, question.search.filter.time, now);
            stats.buckets = filled.ok_or_else(too_many_buckets)?;
        }
        Ok(())
    }

    fn take_groups(&self, stats: &mut Stats, rows: Vec<GroupRow>) {
        let question = self.question;
        let (counted, groups) = rows.first().map_or((0, 0), |row| (row.total, row.groups));
        let total = *stats.total.get_or_insert(counted);
        let shown: u64 = rows.iter().map(|row| row.events).sum();
        stats.groups = Groups {
            other: Some(CountedRow {
                count: counted.saturating_sub(shown),
                groups: groups.saturating_sub(rows.len() as u64),
            }),
            groups: rows
                .into_iter()
                .map(|row| Group::of(&question.group_by, row, total))
                .collect(),
        };
    }

    async fn distinct_by_bucket(
        &self,
        stats: &mut Stats,
        dimension: &ask::Dimension,
    ) -> Result<(), QueryError> {
        let (question, Some(interval)) = (self.question, self.question.interval) else {
            return Ok(());
        };
        let sql = sql::distinct_by_bucket(self.scope, question, dimension, self.is_dirty);
        let rows = self.counted::<sql::BucketRow>(sql).await?;
        let found: BTreeMap<_, _> = rows
            .into_iter()
            .map(|row| (interval.start(row.bucket), row.events))
            .collect();
        for bucket in &mut stats.buckets {
            let different = found.get(&bucket.time).copied().unwrap_or_default();
            bucket.distinct.insert(dimension.name(), different);
        }
        Ok(())
    }
}

fn too_many_buckets() -> QueryError {
    let detail = format!(
        "these are more than {BUCKETS_MAX} buckets: choose a longer interval, or a shorter time with from and to"
    );
    QueryError::Invalid(vec![Problem::new("interval", detail)])
}
