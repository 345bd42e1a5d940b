//! What a run with events came to, and what it cost.

use std::time::Duration;

use super::load::Outcome;
use super::machine::{Disk, Used};
use super::mix::Mix;
use super::report::Report;

/// A run with events.
pub(super) struct Run {
    pub(super) outcome: Outcome,
    /// Until the last event could be searched.
    pub(super) drained: Duration,
    pub(super) used: Vec<Used>,
    pub(super) before: Disk,
    pub(super) as_written: Disk,
    pub(super) merged: Disk,
}

impl Run {
    pub(super) fn rate(&self) -> f64 {
        self.outcome.acked as f64 / self.drained.as_secs_f64()
    }

    pub(super) fn costs(&self, report: &mut Report, mix: Mix) {
        failures(report, &self.outcome);
        report.processes(&self.used, self.drained.as_secs_f64());
        let rows = self.merged.rows.saturating_sub(self.before.rows) as f64;
        if rows == 0.0 {
            return;
        }
        let json = self.outcome.bytes as f64 / self.outcome.sent.max(1) as f64;
        let row = |disk: &Disk| disk.table.saturating_sub(self.before.table) as f64 / rows;
        report.add("JSON of an event", json, "bytes");
        report.add("a row on disk, as written", row(&self.as_written), "bytes");
        report.add("a row on disk, merged", row(&self.merged), "bytes");
        if mix == Mix::App {
            report.target("under 100 bytes");
        }
        report.add(
            "a row as a share of its JSON",
            row(&self.merged) / json * 100.0,
            "%",
        );
        if mix == Mix::Cloudtrail {
            report.target("at most 15 %");
        }
        let log = self.as_written.log.saturating_sub(self.before.log) as f64 / rows;
        report.add("an event in the embedded log", log, "bytes");
    }
}

pub(super) fn failures(report: &mut Report, outcome: &Outcome) {
    if outcome.failed() == 0 {
        report.add("failed requests", 0.0, "");
    }
    for (error, count) in &outcome.errors {
        report.add(format!("failed: {error}"), *count as f64, "requests");
    }
}
