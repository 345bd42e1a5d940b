//! Searches of all kinds, open loop, while events arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bed::Bed;
use super::load::{self, Body, Until, histogram};
use super::machine::{self, Watch};
use super::mix::{Mix, Random};
use super::queries::{self, QUESTIONS};
use super::report::Report;
use super::run::failures;
use super::wire::{Server, Wire};

/// Searches that may be under way; with fewer, a slow server would be asked less than is due.
const CONNECTIONS: u64 = 128;
/// How long each rate is tried when the highest one is sought, and by how much it rises.
const TRY_FOR: f64 = 20.0;
const STEP: f64 = 1.25;
/// What the highest rate keeps to, at p95.
const HIGHEST_P95: Duration = Duration::from_millis(250);

/// How much is asked while how much arrives.
pub(super) struct Reading {
    /// Searches a second.
    pub(super) rate: f64,
    /// Events a second.
    pub(super) events: f64,
    pub(super) seconds: f64,
}

/// What came of it.
struct Asked {
    /// By kind, in microseconds from when a search was due.
    kinds: Vec<Histogram<u64>>,
    errors: BTreeMap<String, u64>,
}

impl Asked {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            kinds: QUESTIONS.iter().map(|_| histogram()).collect::<Result<_, _>>()?,
            errors: BTreeMap::new(),
        })
    }

    fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        for (mine, theirs) in self.kinds.iter_mut().zip(other.kinds) {
            mine.add(theirs)?;
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        Ok(())
    }

    fn all(&self) -> anyhow::Result<Histogram<u64>> {
        let mut all = histogram()?;
        for kind in &self.kinds {
            all.add(kind)?;
        }
        Ok(all)
    }
}

impl Bed {
    pub(super) async fn read(&self, reading: &Reading, highest: bool) -> anyhow::Result<Report> {
        let sample = Arc::new(queries::sample(&self.server).await?);
        let watch = Watch::start(&machine::processes(&self.data_dir));
        let (asked, load) = self.both(reading, &sample).await?;
        let used = watch.end().await;
        let title = format!(
            "{} searches/s while {} events/s arrive",
            reading.rate, reading.events
        );
        let mut report = Report::new(title);
        report
            .add("events held", self.held().await? as f64, "events")
            .target("5,000,000");
        let all = asked.all()?;
        report.latencies("a search", &all, Some((0.95, "under 150 ms; p99 under 400 ms")));
        for (question, latency) in QUESTIONS.iter().zip(&asked.kinds) {
            let value = latency.value_at_quantile(0.95) as f64 / 1_000.0;
            report.add(format!("{}, p95", question.what), value, "ms");
        }
        report.add("searches", all.len() as f64, "");
        for (error, count) in &asked.errors {
            report.add(format!("failed: {error}"), *count as f64, "searches");
        }
        report.add(
            "events taken",
            load.acked as f64 / load.elapsed.as_secs_f64(),
            "events/s",
        );
        failures(&mut report, &load);
        if highest {
            let found = self.highest(reading, &sample).await?;
            report.add("highest rate with p95 under 250 ms", found, "searches/s");
        }
        report.processes(&used, reading.seconds);
        Ok(report)
    }

    /// Searches, while events arrive.
    async fn both(
        &self,
        reading: &Reading,
        sample: &Arc<Vec<Value>>,
    ) -> anyhow::Result<(Asked, load::Outcome)> {
        const BATCH: usize = 100;
        let until = Until::Elapsed(Duration::from_secs_f64(reading.seconds));
        let requests = Some(reading.events / BATCH as f64);
        let plan = self.plan(Mix::App, requests, 8, Body::Many(BATCH), until);
        let (asked, load) = tokio::join!(ask(&self.server, reading, sample, self.seed), load::run(&plan));
        Ok((asked?, load?))
    }

    /// The last rate whose p95 was good, and that nothing failed at.
    async fn highest(&self, reading: &Reading, sample: &Arc<Vec<Value>>) -> anyhow::Result<f64> {
        let (mut rate, mut good) = (reading.rate, 0.0);
        loop {
            let seconds = TRY_FOR;
            let (asked, _) = self
                .both(
                    &Reading {
                        rate,
                        seconds,
                        ..*reading
                    },
                    sample,
                )
                .await?;
            let p95 = Duration::from_micros(asked.all()?.value_at_quantile(0.95));
            eprintln!("{rate:.1} searches/s: p95 {} ms", p95.as_millis());
            if p95 > HIGHEST_P95 || !asked.errors.is_empty() {
                return Ok(good);
            }
            good = rate;
            rate *= STEP;
        }
    }
}

/// Asks when it is due, over as many connections as it takes.
async fn ask(
    server: &Server,
    reading: &Reading,
    sample: &Arc<Vec<Value>>,
    seed: u64,
) -> anyhow::Result<Asked> {
    let (start, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let (rate, end) = (reading.rate, start + Duration::from_secs_f64(reading.seconds));
    let mut workers = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (server, sample, next) = (server.clone(), sample.clone(), next.clone());
        workers.spawn(async move {
            let (mut asked, mut wire) = (Asked::new()?, Wire::new(&server));
            let mut random = Random::new(seed.wrapping_add(number << 32));
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let due = start + Duration::from_secs_f64(index as f64 / rate);
                if due >= end {
                    return anyhow::Ok(asked);
                }
                tokio::time::sleep_until(due).await;
                let (kind, path) = queries::any(&sample, &mut random);
                match queries::ask(&mut wire, &server, &path).await {
                    Ok(_) => asked.kinds[kind].saturating_record(due.elapsed().as_micros() as u64),
                    Err(error) => {
                        // Without the path, of which there are many.
                        let text = format!("{error:#}");
                        let why = text.split_once(": ").map_or(&*text, |(_, why)| why);
                        *asked.errors.entry(why.to_owned()).or_default() += 1;
                    }
                }
            }
        });
    }
    let mut all = Asked::new()?;
    while let Some(done) = workers.join_next().await {
        all.merge(done??)?;
    }
    Ok(all)
}
