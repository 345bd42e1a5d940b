//! Long answers: read as far as the reader wants, in one thread of the server, with a time limit of their own.

use std::ops::ControlFlow;
use std::time::Duration;

use clickhouse::{Row, RowRead};

use super::{Statement, Store, StoreError, only_reading};

impl Store {
    /// Hands every row to `take` until it breaks off, which ends the query in the server as well: it ends with its
    /// connection.
    pub async fn each_until<R, F>(
        &self,
        statement: &Statement,
        within: Duration,
        mut take: F,
    ) -> Result<(), StoreError>
    where
        R: Row + RowRead,
        F: FnMut(R::Value<'_>) -> Result<ControlFlow<()>, StoreError>,
    {
        let seconds = within.saturating_sub(Duration::from_secs(1)).as_secs().max(1);
        let query = self
            .unbounded(statement)
            .with_setting("max_execution_time", seconds.to_string())
            .with_setting("max_memory_usage", self.query_memory.to_string())
            // One core is left to who asks and waits.
            .with_setting("max_threads", "1");
        let answer = async {
            let mut rows = only_reading(query).fetch::<R>()?;
            while let Some(row) = rows.next().await? {
                if take(row)?.is_break() {
                    break;
                }
            }
            Ok(())
        };
        tokio::time::timeout(within, answer)
            .await
            .map_err(|_| StoreError::no_answer())?
    }
}
