//! The recorder of metrics, and what no part measures of itself: whether the engines are up.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tokio::sync::watch;

use crate::engines::Status;
use crate::meters;

/// Measurements wait in memory until they are summed up, whether or not anybody reads `/metrics`.
const SUM_UP_EVERY: Duration = Duration::from_secs(5);

/// A gauge that nobody has set for so long is no longer shown: what it measured is not here any more, as the lag of a
/// partition that went to another instance. The slowest one is set every 10 s.
const SHOWN_FOR: Duration = Duration::from_secs(35);
/// How often what does not change is said again.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Follows an engine until it is stopped.
pub(super) fn follow(engine: &'static str, mut status: watch::Receiver<Status>) {
    tokio::spawn(async move {
        loop {
            let up = matches!(*status.borrow_and_update(), Status::Up { .. });
            metrics::gauge!(meters::ENGINE_UP, "engine" => engine).set(f64::from(u8::from(up)));
            if let Ok(Err(_)) = tokio::time::timeout(SAY_AGAIN, status.changed()).await {
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
        .try_fold(builder(SHOWN_FOR), with_buckets);
    let recorder = builder.and_then(PrometheusBuilder::install_recorder).ok()?;
    meters::describe();
    sum_up(recorder.clone());
    Some(recorder)
}

fn builder(shown_for: Duration) -> PrometheusBuilder {
    PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(shown_for))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_longer_measured_is_no_longer_shown() {
        let recorder = builder(Duration::ZERO).build_recorder();
        let shown = recorder.handle();
        let lag = |partition: &'static str| metrics::gauge!(meters::LAG, "partition" => partition).set(7.0);
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!(meters::PROJECTED).increment(1);
            lag("0");
            lag("1");
            assert!(shown.render().contains("partition=\"1\""));
            lag("0");
        });
        let shown = shown.render();
        assert!(shown.contains("partition=\"0\""), "{shown}");
        assert!(!shown.contains("partition=\"1\""), "{shown}");
        assert!(shown.contains(meters::PROJECTED), "counters stay: {shown}");
    }
}
