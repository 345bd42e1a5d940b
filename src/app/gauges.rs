//! The recorder of metrics, and what no part measures of itself: whether the engines are up.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
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

/// Records what is measured from now on; `None` where this process has a recorder already.
pub(super) fn record() -> Option<PrometheusHandle> {
    let with_buckets = |builder: PrometheusBuilder, (name, bounds): (&str, &[f64])| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)
    };
    let builder = meters::BUCKETS
        .into_iter()
        .try_fold(PrometheusBuilder::new(), with_buckets);
    let recorder = builder.and_then(PrometheusBuilder::install_recorder).ok()?;
    meters::describe();
    sum_up(recorder.clone());
    Some(recorder)
}

/// Sums up what was measured, for as long as the process lives.
fn sum_up(recorder: PrometheusHandle) {
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(SUM_UP_EVERY);
        loop {
            beat.tick().await;
            recorder.run_upkeep();
        }
    });
}
