//! What is done to the table now and then: dirty months are merged clean, what was cleaned up is deleted, and the lag is
//! measured.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::visible::{moments, obey};
use crate::clock::Timestamp;
use crate::control::Control;
use crate::event::TenantId;
use crate::log::{Log, topics};
use crate::meters;
use crate::store::progress::Progress;
use crate::store::{Store, StoreError};

/// How often months are cleaned; one merge may take minutes.
const CLEAN_EVERY: Duration = Duration::from_secs(60);
/// How often the lag is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// Works until `stop`.
pub async fn run(store: Store, log: Log, control: Control, progress: Progress, stop: CancellationToken) {
    let mut clean = tokio::time::interval(CLEAN_EVERY);
    let mut measure = tokio::time::interval(MEASURE_EVERY);
    let mut cleaned_up = Vec::new();
    let mut changes = control.watch();
    let work = async {
        loop {
            tokio::select! {
                _ = clean.tick() => {
                    if let Err(error) = clean_months(&store).await {
                        tracing::debug!(%error, "dirty months stay for now");
                    }
                    // Also where nothing has changed: rows may have been on their way when it was.
                    cleaned_up = clean_up(&store, &control).await;
                }
                true = async { changes.wait_for(|view| moments(&view.state) != cleaned_up).await.is_ok() } => {
                    cleaned_up = clean_up(&store, &control).await;
                }
                _ = measure.tick() => lag(&log, &progress).await,
            }
        }
    };
    // A merge that is left alone goes on in ClickHouse; its month is cleaned again later.
    stop.run_until_cancelled(work).await;
}

/// Makes the tables obey every clean-up so far, which it gives. What can't be done now is done at the next round.
async fn clean_up(store: &Store, control: &Control) -> Vec<(TenantId, Timestamp)> {
    let moments = moments(&control.state());
    if let Err(error) = obey(store, &moments).await {
        tracing::debug!(%error, "what was cleaned up is not deleted yet");
    }
    moments
}

/// Merges every month that has been dirty for a while down to one copy of each record. One that can't be merged now
/// does not hold up the others.
pub async fn clean_months(store: &Store) -> Result<(), StoreError> {
    for month in store.dirty_months().await? {
        match store.clean_month(month).await {
            Ok(true) => tracing::info!(month, "merged clean"),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, month, "it stays dirty for now"),
        }
    }
    Ok(())
}

async fn lag(log: &Log, progress: &Progress) {
    for (partition, next) in progress.all() {
        if let Ok((_, end)) = log.bounds(topics::EVENTS, partition).await {
            metrics::gauge!(meters::LAG, "partition" => partition.to_string())
                .set((end - next).max(0) as f64);
        }
    }
}
