//! Tables as a whole: creating, filling, exchanging, cleaning, and what the projector asks of them.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::Row;
use clickhouse::insert_formatted::InsertFormatted;
use serde::Deserialize;
use uuid::Uuid;

use super::block::Block;
use super::held::by_offsets;
use super::row::{EventRow, partition_column};
use super::statement::{Statement, Value};
use super::{Store, StoreError};

/// For table definitions and merges, which may have to wait for others.
const SLOW: Duration = Duration::from_secs(600);
/// For the rows of an insert to be taken, and for its end to be confirmed.
const SEND_WITHIN: Duration = Duration::from_secs(30);
const END_WITHIN: Duration = Duration::from_secs(120);
/// Seconds after which what a month was marked for has been written or given up: twice the two above.
const SETTLED_AFTER: i64 = 300;

/// Bytes of rows that are gathered before they are sent.
const BLOCK_BYTES: usize = 4 << 20;

#[derive(Row, Deserialize)]
struct Count {
    rows: u64,
}

/// An insert under way. It takes place when [`end`](Self::end) says so, and never in part.
pub struct EventInsert {
    into: InsertFormatted,
    block: Block,
}

impl EventInsert {
    /// Takes a row in, and sends what has gathered once there is enough.
    pub async fn write(&mut self, row: &EventRow<'_>) -> Result<(), StoreError> {
        self.block.push(row);
        if self.block.bytes() >= BLOCK_BYTES {
            self.into.send(self.block.take()).await?;
        }
        Ok(())
    }

    /// Sends the rest, and waits until the table holds all of it.
    pub async fn end(mut self) -> Result<(), StoreError> {
        if self.block.rows() > 0 {
            self.into.send(self.block.take()).await?;
        }
        Ok(self.into.end().await?)
    }
}

impl Store {
    /// Creates the configured database.
    pub async fn create_database(&self) -> Result<(), StoreError> {
        let database = self.database.clone();
        let client = self.client.clone().with_database("default");
        let created = client
            .query_raw("CREATE DATABASE IF NOT EXISTS {name:Identifier}")
            .param("name", database)
            .execute();
        within(SLOW, created).await
    }

    /// Runs a definition of ours as it stands.
    pub async fn define(&self, sql: &str) -> Result<(), StoreError> {
        within(SLOW, self.client.query_raw(sql).execute()).await
    }

    /// Begins an insert of events into `table`. `query_id` finds it again in the server's list of what runs. Where it
    /// `revises`, an event and its revision may both be in it: then the server keeps the one that counts.
    pub fn insert(&self, table: &'static str, query_id: &str, revises: bool) -> EventInsert {
        let into = self
            .client
            .insert_formatted_with(format!("INSERT INTO {table} FORMAT Native"))
            .with_setting("query_id", query_id)
            // Any other batch holds no copies: looking for them would cost the server a fifth of an insert.
            .with_setting("optimize_on_insert", if revises { "1" } else { "0" })
            .with_timeouts(Some(SEND_WITHIN), Some(END_WITHIN));
        EventInsert {
            into,
            block: Block::default(),
        }
    }

    /// Ends the inserts whose query id begins so and holds `mark` behind it, and waits until they have ended.
    pub async fn kill_inserts(&self, begins: &str, mark: &str) -> Result<(), StoreError> {
        let mut statement = Statement::new();
        statement
            .push("KILL QUERY WHERE startsWith(query_id, ")
            .bind("String", Value::text(begins))
            .push(") AND position(query_id, ")
            .bind("String", Value::text(mark))
            .push(") > 0 SYNC");
        self.run_slowly(&statement).await
    }

    /// Removes a table, where there is one.
    pub async fn drop_table(&self, table: &'static str) -> Result<(), StoreError> {
        let mut statement = Statement::new();
        statement.push("DROP TABLE IF EXISTS ").push(table).push(" SYNC");
        self.run_slowly(&statement).await
    }

    /// What a table says of itself; `None` where there is none.
    pub async fn comment(&self, table: &'static str) -> Result<Option<String>, StoreError> {
        #[derive(Row, Deserialize)]
        struct Comment {
            comment: String,
        }
        let mut statement = Statement::new();
        statement
            .push("SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = ")
            .bind("String", Value::text(table));
        let found = self.rows::<Comment>(&statement).await?;
        Ok(found.into_iter().next().map(|found| found.comment))
    }

    /// Exchanges two tables at one moment.
    pub async fn exchange(&self, one: &'static str, other: &'static str) -> Result<(), StoreError> {
        let mut statement = Statement::new();
        statement
            .push("EXCHANGE TABLES ")
            .push(one)
            .push(" AND ")
            .push(other);
        self.run_slowly(&statement).await
    }

    /// Rows of a log in a table.
    pub async fn count(&self, table: &'static str, log_id: Uuid) -> Result<u64, StoreError> {
        self.count_where(table, " WHERE log_id = ", log_id).await
    }

    /// The same, where some rows stand in the place of others.
    pub async fn count_final(&self, table: &'static str, log_id: Uuid) -> Result<u64, StoreError> {
        let mut statement = Statement::new();
        statement.push("SELECT count() AS rows FROM ").push(table);
        statement
            .push(" FINAL WHERE log_id = ")
            .bind("UUID", Value::text(log_id.to_string()));
        // A key lies in one month.
        statement.set("do_not_merge_across_partitions_select_final", 1);
        let counted = self.unbounded(&statement).fetch_one::<Count>();
        let counted = tokio::time::timeout(SLOW, counted).await;
        Ok(counted.map_err(|_| StoreError::no_answer())??.rows)
    }

    /// Rows of all other logs in a table.
    pub async fn rows_of_other_logs(&self, table: &'static str, log_id: Uuid) -> Result<u64, StoreError> {
        self.count_where(table, " WHERE log_id != ", log_id).await
    }

    async fn count_where(
        &self,
        table: &'static str,
        condition: &'static str,
        log_id: Uuid,
    ) -> Result<u64, StoreError> {
        let mut statement = Statement::new();
        statement
            .push("SELECT count() AS rows FROM ")
            .push(table)
            .push(condition);
        statement.bind("UUID", Value::text(log_id.to_string()));
        self.count_of(&statement).await
    }

    pub(super) async fn count_of(&self, statement: &Statement) -> Result<u64, StoreError> {
        let counted = self.rows::<Count>(statement).await?;
        Ok(counted.first().map_or(0, |count| count.rows))
    }

    /// How often each offset of a stretch of a partition stands in the table; both ends belong to the stretch.
    pub async fn copies(
        &self,
        log_id: Uuid,
        partition: i32,
        low: i64,
        high: i64,
    ) -> Result<BTreeMap<i64, u64>, StoreError> {
        #[derive(Row, Deserialize)]
        struct Copies {
            offset: u64,
            copies: u64,
        }
        let offsets = low.max(0).cast_unsigned()..high.max(-1).saturating_add(1).cast_unsigned();
        let select = "SELECT log_offset AS offset, count() AS copies";
        let partition = partition_column(partition);
        let mut statement = by_offsets(select, "events", log_id, partition, offsets);
        statement.push(" GROUP BY offset ORDER BY offset");
        let rows = self.rows::<Copies>(&statement).await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.offset as i64, row.copies))
            .collect())
    }

    /// Merges a month down to one copy of each record, then marks it as clean, unless it was marked again since. False
    /// where it was marked too recently: what it was marked for may not be in the table yet.
    pub async fn clean_month(&self, month: u32) -> Result<bool, StoreError> {
        let Some(marked_at) = self.settled_mark(month).await? else {
            return Ok(false);
        };
        if self.has_rows(month).await? {
            self.merge_month(month).await?;
        }
        // Above the mark that was read, and below any that came after it.
        let mut statement = Statement::new();
        statement
            .push("INSERT INTO dirty_months (month, dirty, marked_at) SELECT ")
            .bind("UInt32", Value::number(month))
            .push(", false, fromUnixTimestamp64Micro(")
            .bind("Int64", Value::number(marked_at + 1))
            .push(")");
        self.execute(&statement).await?;
        Ok(true)
    }

    /// Whether there is anything to merge: a month without parts can't be merged.
    async fn has_rows(&self, month: u32) -> Result<bool, StoreError> {
        let mut statement = Statement::new();
        statement
            .push("SELECT count() AS rows FROM events WHERE _partition_id = ")
            .bind("String", Value::number(month));
        self.count_of(&statement).await.map(|rows| rows > 0)
    }

    async fn merge_month(&self, month: u32) -> Result<(), StoreError> {
        let mut statement = Statement::new();
        statement
            .push("OPTIMIZE TABLE events PARTITION ")
            .bind("UInt32", Value::number(month))
            .push(" FINAL")
            // Else it succeeds, too, where it did nothing: for want of disk, or because another merge has the parts.
            .set("optimize_throw_if_noop", 1);
        self.run_slowly(&statement).await
    }

    /// When the month was last marked, by ClickHouse's clock, where that is long enough ago.
    async fn settled_mark(&self, month: u32) -> Result<Option<i64>, StoreError> {
        #[derive(Row, Deserialize)]
        struct Marked {
            at: i64,
            seconds_ago: i64,
        }
        let mut statement = Statement::new();
        statement
            .push("SELECT toUnixTimestamp64Micro(max(marked_at)) AS at, ")
            .push("dateDiff('second', max(marked_at), now64(6, 'UTC')) AS seconds_ago ")
            .push("FROM dirty_months WHERE month = ")
            .bind("UInt32", Value::number(month));
        let marked = self.rows::<Marked>(&statement).await?;
        let settled = marked
            .first()
            .filter(|marked| marked.seconds_ago >= SETTLED_AFTER);
        Ok(settled.map(|marked| marked.at))
    }

    pub(super) async fn run_slowly(&self, statement: &Statement) -> Result<(), StoreError> {
        within(SLOW, self.unbounded(statement).execute()).await
    }
}

async fn within(
    time: Duration,
    answer: impl Future<Output = clickhouse::error::Result<()>>,
) -> Result<(), StoreError> {
    Ok(tokio::time::timeout(time, answer)
        .await
        .map_err(|_| StoreError::no_answer())??)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::tests::{asked, store_at};

    #[tokio::test]
    async fn a_month_that_was_not_merged_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = store_at(&listener);
        let (_, head) = tokio::join!(store.merge_month(202601), asked(&listener));
        assert!(head.contains("optimize_throw_if_noop=1"), "{head}");
    }
}
