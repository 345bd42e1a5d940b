//! The write of a batch, which runs while the next one fills: its months one after another, each marked where copies may
//! stand in it.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::batch::{Batch, Done};
use super::earlier::leave_out;
use super::reject::reject_row;
use super::writer::{Stopped, Writer};
use crate::log::Log;
use crate::log::rejected::Reason;
use crate::meters;

/// A write that runs while the next batch fills.
pub(super) type Writing = JoinHandle<Result<Done, Stopped>>;

/// How long after a write the next one begins: longer under load, because a row costs ClickHouse half as much in an
/// insert of 20,000 as in one of 6,000 (15 and 28 µs of CPU, merges included), and at most a second.
pub(super) fn pause(every_ms: u64, last_rows: usize) -> Duration {
    const TWICE_AT: u64 = 5_000;
    let stretched = every_ms.saturating_add(every_ms.saturating_mul(last_rows as u64) / TWICE_AT);
    Duration::from_millis(stretched.min(every_ms.max(1_000)))
}

/// The outcome of the running write. Cancel safe.
pub(super) async fn join(writing: &mut Option<Writing>) -> Result<Done, Stopped> {
    match writing {
        Some(handle) => handle.await.unwrap_or(Err(Stopped)),
        None => std::future::pending().await,
    }
}

/// Writes all rows of a batch: each is in the table or in `audit.rejected` when it ends.
pub(super) async fn write(writer: Writer, log: Log, batch: Batch) -> Result<Done, Stopped> {
    let started = Instant::now();
    let rows = batch.rows();
    let (months, next) = batch.into_parts();
    for (month, mut rows) in months {
        rows.retain(|row| writer.visible().shows(&row.event));
        leave_out(&writer, &log, &mut rows).await?;
        // Earlier copies may be held, or what is revised: until they are merged, both would be counted.
        let twice = rows.iter().any(|row| row.unchecked || row.is_revision());
        if twice {
            writer.mark(month).await?;
        }
        for refused in writer.write(month, &rows).await? {
            let row = &rows[refused.index];
            let why = (Reason::Unstorable, refused.reason.as_str());
            if !reject_row(&log, row, why, writer.stop()).await {
                return Err(Stopped);
            }
        }
        // A merge that came before the rows has cleared the mark.
        if twice {
            writer.mark(month).await?;
        }
    }
    metrics::counter!(meters::PROJECTED).increment(rows as u64);
    metrics::histogram!(meters::BATCH_ROWS).record(rows as f64);
    metrics::histogram!(meters::BATCH_SECONDS).record(started.elapsed().as_secs_f64());
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_writes_grows_with_the_load_up_to_a_second() {
        for (every, rows, millis) in [
            (300, 0, 300),
            (300, 5_000, 600),
            (300, 20_000, 1_000),
            (2_000, 9, 2_000),
        ] {
            assert_eq!(
                pause(every, rows),
                Duration::from_millis(millis),
                "{every} ms, {rows} rows"
            );
        }
    }
}
