//! The modes that look at one thing each, and what they report.

use std::time::Duration;

use tokio::time::Instant;

use super::bed::Bed;
use super::load::{self, Plan};
use super::machine::{self, Watch};
use super::mix::Mix;
use super::queries;
use super::report::Report;
use super::run::failures;

impl Bed {
    pub(super) async fn bulk(&self, name: String, plan: Plan) -> anyhow::Result<Report> {
        let mix = plan.mix;
        let run = self.measure(plan).await?;
        let mut report = Report::new(name);
        let seconds = run.outcome.elapsed.as_secs_f64();
        report.add("from bulk HTTP to searchable", run.rate(), "events/s");
        if mix == Mix::App {
            report.target("20,000 embedded, 50,000 on Apache Kafka");
        }
        report.add("acknowledged", run.outcome.acked as f64 / seconds, "events/s");
        report.add("acknowledged, all", run.outcome.acked as f64, "events");
        report.add(
            "searchable after the last answer",
            run.drained.as_secs_f64() - seconds,
            "s",
        );
        report.latencies("a request", &run.outcome.latency, None);
        run.costs(&mut report, mix);
        Ok(report)
    }

    pub(super) async fn single(&self, name: String, plan: Plan) -> anyhow::Result<Report> {
        let run = self.measure(plan).await?;
        let mut report = Report::new(name);
        let seconds = run.outcome.elapsed.as_secs_f64();
        report
            .add("acknowledged", run.outcome.acked as f64 / seconds, "posts/s")
            .target("10,000");
        report.latencies("a post", &run.outcome.latency, Some((0.99, "under 60 ms")));
        report.add("from post to searchable", run.rate(), "events/s");
        run.costs(&mut report, Mix::App);
        Ok(report)
    }

    pub(super) async fn latency(&self, name: String, load: Plan, probe: Plan) -> anyhow::Result<Report> {
        let watch = Watch::start(&machine::processes(&self.data_dir));
        let (load, probes) = tokio::join!(load::run(&load), load::run(&probe));
        let (load, probes, used) = (load?, probes?, watch.end().await);
        let mut report = Report::new(name);
        let seconds = load.elapsed.as_secs_f64();
        report.add("acknowledged", load.acked as f64 / seconds, "events/s");
        report.add("probes found", probes.acked as f64, "events");
        report
            .add(
                "probes not found, or not in time",
                (probes.sent - probes.acked) as f64,
                "events",
            )
            .target("0");
        report.latencies(
            "until searchable",
            &probes.latency,
            Some((0.99, "under 1,000 ms")),
        );
        report.latencies("a request of the load", &load.latency, None);
        failures(&mut report, &load);
        if probes.failed() > 0 {
            failures(&mut report, &probes);
        }
        report.processes(&used, seconds);
        Ok(report)
    }

    pub(super) async fn queries(&self, fill: u64, times: u32) -> anyhow::Result<Report> {
        self.fill(fill).await?;
        let watch = Watch::start(&machine::processes(&self.data_dir));
        let started = Instant::now();
        let timed = queries::ask_all(&self.server, times, self.seed).await?;
        let (seconds, used) = (started.elapsed().as_secs_f64(), watch.end().await);
        let mut report = Report::new("Searches".to_owned());
        report
            .add("events held", self.held().await? as f64, "events")
            .target("5,000,000");
        for question in &timed {
            report.latencies(question.what, &question.latency, Some((0.95, "under 100 ms")));
            if question.empty > 0 {
                report.add(
                    format!("{}, nothing found", question.what),
                    question.empty as f64,
                    "times",
                );
            }
        }
        report.processes(&used, seconds);
        Ok(report)
    }

    pub(super) async fn idle(&self, seconds: f64) -> Report {
        let mut watched = machine::processes(&self.data_dir);
        watched.retain(|process| process.name != "bench");
        let watch = Watch::start(&watched);
        tokio::time::sleep(Duration::from_secs_f64(seconds.max(0.1))).await;
        let used = watch.end().await;
        let mut report = Report::new("Idle".to_owned());
        let all: f64 = used.iter().map(|process| process.cpu_seconds).sum();
        report
            .add("all processes: CPU", all / seconds * 100.0, "% of a core")
            .target("under 5 %");
        report.processes(&used, seconds);
        report
    }
}
