//! The questions people ask most, each many times with other values, one at a time.

use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::time::Instant;

use super::Bed;
use super::load::{Body, Until, histogram};
use super::machine::{self, Watch};
use super::mix::{DEPARTMENTS, Mix, Random};
use super::report::Report;
use super::wire::{Server, Wire};

/// Each kind of question is asked so often.
const TIMES: usize = 100;

/// A question, and how long its answers took in microseconds.
pub(super) struct Timed {
    pub(super) what: &'static str,
    pub(super) latency: Histogram<u64>,
    /// Answers without a single event, of all.
    pub(super) empty: usize,
}

impl Bed {
    /// Fills the server up to so many events, and asks.
    pub(super) async fn queries(&self, fill: u64) -> anyhow::Result<Report> {
        let there = self.held().await?;
        if fill > there {
            let plan = self.plan(Mix::App, None, 8, Body::Many(1_000), Until::Events(fill - there));
            eprintln!("{there} events are there; sending {} more", fill - there);
            self.measure(plan).await?;
        }
        let watch = Watch::start(&machine::processes(&self.data_dir));
        let started = Instant::now();
        let timed = ask_all(&self.server, self.seed).await?;
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
}

/// How many events can be searched.
pub(super) async fn count(server: &Server) -> anyhow::Result<u64> {
    let mut wire = Wire::new(server);
    let answer = ask(&mut wire, server, "/api/v1/logs?limit=1&count=true").await?;
    answer["count"].as_u64().context("the answer has no count")
}

/// Asks everything.
pub(super) async fn ask_all(server: &Server, seed: u64) -> anyhow::Result<Vec<Timed>> {
    let mut wire = Wire::new(server);
    let (mut random, sample) = (Random::new(seed), sample(&mut wire, server).await?);
    let mut timed = Vec::new();
    for (what, path) in QUESTIONS {
        let (mut latency, mut empty) = (histogram()?, 0);
        for _ in 0..TIMES {
            let event = &sample[random.below(sample.len() as u64) as usize];
            let path = path(event, &mut random);
            let asked = Instant::now();
            let answer = ask(&mut wire, server, &path).await?;
            latency.saturating_record(asked.elapsed().as_micros() as u64);
            empty += usize::from(answer["data"].as_array().is_some_and(Vec::is_empty));
            // Apart enough that one answer's end is not the next one's beginning.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        timed.push(Timed { what, latency, empty });
    }
    Ok(timed)
}

type Question = (&'static str, fn(&Value, &mut Random) -> String);

const QUESTIONS: [Question; 12] = [
    ("newest page", |_, _| "/api/v1/logs?limit=100".into()),
    ("page of a minute", |event, _| {
        let minute = text(event, "/time").chars().take(16).collect::<String>();
        format!("/api/v1/logs?from={minute}:00Z&to={minute}:59Z&limit=100")
    }),
    ("by filter (user_id)", |event, _| {
        format!("/api/v1/logs?user_id={}&limit=100", text(event, "/actor/id"))
    }),
    ("by details (department and region)", |event, random| {
        format!(
            "/api/v1/logs?details.department={}&details.region={}&limit=100",
            random.pick(&DEPARTMENTS),
            text(event, "/details/region")
        )
    }),
    ("by full text", |event, _| {
        // A name and a number: rare together, each common enough alone.
        let message = text(event, "/message");
        let words: Vec<_> = message
            .split([' ', '.'])
            .filter(|word| !word.is_empty())
            .collect();
        format!(
            "/api/v1/logs?q={}%20{}&limit=100",
            words.first().unwrap_or(&"x"),
            words.get(4).unwrap_or(&"x")
        )
    }),
    ("one story (session_id)", |event, _| {
        let session = text(event, "/actor/session_id");
        format!("/api/v1/logs/correlate?session_id={session}&limit=100")
    }),
    ("numbers by hour", |_, _| {
        "/api/v1/logs/stats?interval=hour".into()
    }),
    ("numbers by event type", |_, _| {
        "/api/v1/logs/stats?group_by=event_type".into()
    }),
    ("numbers by actor", |_, _| {
        "/api/v1/logs/stats?group_by=actor.id".into()
    }),
    ("different actors", |_, _| {
        "/api/v1/logs/stats?distinct=actor.id".into()
    }),
    ("numbers of one actor by day", |event, _| {
        let actor = text(event, "/actor/id");
        format!("/api/v1/logs/stats?interval=day&user_id={actor}")
    }),
    ("by id", |event, _| {
        format!("/api/v1/logs/{}", text(event, "/event_id"))
    }),
];

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Events from all over the time that is held.
async fn sample(wire: &mut Wire, server: &Server) -> anyhow::Result<Vec<Value>> {
    let mut sample = Vec::new();
    for path in ["/api/v1/logs?limit=500", "/api/v1/logs?limit=500&sort=time"] {
        if let Value::Array(events) = ask(wire, server, path).await?["data"].take() {
            sample.extend(events);
        }
    }
    match sample.is_empty() {
        true => bail!("there is nothing to search: fill it first with --fill 5000000"),
        false => Ok(sample),
    }
}

async fn ask(wire: &mut Wire, server: &Server, path: &str) -> anyhow::Result<Value> {
    let answer = wire
        .send(&server.get(path))
        .await
        .with_context(|| format!("GET {path}"))?;
    match answer.status {
        200 => Ok(answer.json()),
        status => bail!("GET {path}: {status}: {}", String::from_utf8_lossy(&answer.body)),
    }
}
