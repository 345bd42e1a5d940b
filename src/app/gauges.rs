//! What no part measures of itself: whether the engines are up, and what the recorder holds.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use crate::engines::Status;
use crate::meters;

/// Measurements wait in memory until they are summed up, whether or not anybody reads `/metrics`.
const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// Follows an engine until it is stopped.
pub(super) fn follow(engine: &'static str, mut status: watch::Receiver<Status>) {
    tokio::spawn(async move {
        loop {
            let up = matches!(*status.borrow_and_update(), Status::Up { .. });
            metrics::gauge!(meters::ENGINE_UP, "engine" => engine).set(f64::from(u8::from(up)));
            if status.changed().await.is_err() {
                return;
            }
        }
    });
}

/// Sums up what was measured, for as long as the process lives.
pub(super) fn sum_up(recorder: PrometheusHandle) {
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(SUM_UP_EVERY);
        loop {
            beat.tick().await;
            recorder.run_upkeep();
        }
    });
}
