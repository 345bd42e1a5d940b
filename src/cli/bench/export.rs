//! How fast everything is exported: read to its end, counted, and thrown away.

use anyhow::{Context, bail};
use tokio::time::Instant;

use super::machine::{self, Watch};
use super::report::Report;
use super::{Bed, Remote};

impl Bed {
    /// One export of all there is. Events are counted by lines where the form has lines.
    pub(super) async fn export(&self, remote: &Remote, query: &str) -> anyhow::Result<Report> {
        let events = self.held().await?;
        let watch = Watch::start(&machine::processes(&self.data_dir));
        let started = Instant::now();
        let request = reqwest::Client::new()
            .get(remote.at(&format!("/api/v1/logs/export?{query}")))
            .bearer_auth(remote.token()?);
        let mut answer = request.send().await.with_context(|| remote.unreachable())?;
        if !answer.status().is_success() {
            bail!(
                "the export was refused: {}",
                answer.text().await.unwrap_or_default()
            );
        }
        let (mut bytes, mut lines, mut first) = (0u64, 0u64, None);
        while let Some(piece) = answer.chunk().await.context("the export broke off")? {
            first.get_or_insert_with(|| started.elapsed());
            bytes += piece.len() as u64;
            lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        let (seconds, used) = (started.elapsed().as_secs_f64(), watch.end().await);
        let is_lines = query.contains("format=ndjson") && !query.contains("compression");
        let exported = if is_lines { lines } else { events };
        let mut report = Report::new(format!("Export, {query}"));
        report.add("events", exported as f64, "events");
        report
            .add("exported", exported as f64 / seconds, "events/s")
            .target("100,000 as NDJSON");
        report.add(
            "exported, bytes",
            bytes as f64 / seconds / f64::from(1 << 20),
            "MiB/s",
        );
        report.add(
            "until the first byte",
            first.unwrap_or_default().as_secs_f64() * 1_000.0,
            "ms",
        );
        report.processes(&used, seconds);
        Ok(report)
    }
}
