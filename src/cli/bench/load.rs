//! Open-loop load: requests go out when they are due, whether or not earlier ones were answered, and their latency
//! counts from that moment. So a server that stalls is charged for everybody who would have waited.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::mix::{Maker, Mix};
use super::wire::{Answer, Server, Wire};
use crate::clock::{Clock, SystemClock};

/// After an error a connection rests, so that a server which refuses everything is not also flooded.
const REST: Duration = Duration::from_millis(50);

/// What is sent, how fast, and until when.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) server: Server,
    pub(super) mix: Mix,
    /// Requests a second; `None`: each connection sends as soon as it was answered.
    pub(super) requests: Option<f64>,
    pub(super) connections: usize,
    pub(super) body: Body,
    pub(super) until: Until,
    /// Tells the events of two runs apart.
    pub(super) seed: u64,
}

/// What a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// An array of so many events.
    Many(usize),
    /// One event.
    One,
    /// One event; the answer is waited for until it can be searched, and then it is looked up.
    Probe,
}

/// When it ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// After so long.
    Elapsed(Duration),
    /// After so many events.
    Events(u64),
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) sent: u64,
    pub(super) acked: u64,
    /// Bytes of JSON, as sent.
    pub(super) bytes: u64,
    pub(super) errors: BTreeMap<String, u64>,
    /// Microseconds.
    pub(super) latency: Histogram<u64>,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
}

impl Outcome {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            sent: 0,
            acked: 0,
            bytes: 0,
            errors: BTreeMap::new(),
            latency: Histogram::new(3)?,
            elapsed: Duration::ZERO,
        })
    }

    fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        self.sent += other.sent;
        self.acked += other.acked;
        self.bytes += other.bytes;
        self.latency.add(other.latency)?;
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        Ok(())
    }

    /// How many requests failed.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// Sends everything.
pub(super) async fn run(plan: &Plan) -> anyhow::Result<Outcome> {
    let (start, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut workers = JoinSet::new();
    for number in 0..plan.connections {
        workers.spawn(work(plan.clone(), start, next.clone(), plan.seed + number as u64));
    }
    let mut all = Outcome::new()?;
    while let Some(done) = workers.join_next().await {
        all.merge(done??)?;
    }
    all.elapsed = start.elapsed();
    Ok(all)
}

async fn work(plan: Plan, start: Instant, next: Arc<AtomicU64>, seed: u64) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::new()?;
    let (mut wire, mut maker) = (Wire::new(&plan.server), Maker::new(plan.mix, seed));
    let head = plan.server.post(match plan.body {
        Body::Many(_) => plan.mix.bulk_path(),
        Body::One => "/api/v1/logs",
        Body::Probe => "/api/v1/logs?wait=indexed",
    });
    let mut body = Vec::new();
    while let Some(due) = plan.due(start, next.fetch_add(1, Ordering::Relaxed)) {
        if plan.requests.is_some() {
            tokio::time::sleep_until(due).await;
        }
        let due = if plan.requests.is_some() {
            due
        } else {
            Instant::now()
        };
        let events = plan.fill(&mut maker, &mut body);
        outcome.sent += events;
        outcome.bytes += body.len() as u64;
        match plan.ask(&mut wire, &head, &body).await {
            Ok(acked) => {
                outcome.acked += acked;
                outcome
                    .latency
                    .saturating_record(due.elapsed().as_micros() as u64);
                if acked < events {
                    *outcome
                        .errors
                        .entry("events rejected in a batch".into())
                        .or_default() += 1;
                }
            }
            Err(error) => {
                *outcome.errors.entry(error).or_default() += 1;
                tokio::time::sleep(REST).await;
            }
        }
    }
    Ok(outcome)
}

impl Plan {
    /// When a request is to be sent; `None` once all are.
    fn due(&self, start: Instant, index: u64) -> Option<Instant> {
        let due = match self.requests {
            Some(a_second) => start + Duration::from_secs_f64(index as f64 / a_second),
            None => Instant::now(),
        };
        match self.until {
            Until::Elapsed(time) => (due < start + time).then_some(due),
            Until::Events(events) => (index * self.events() < events).then_some(due),
        }
    }

    fn events(&self) -> u64 {
        match self.body {
            Body::Many(events) => events as u64,
            Body::One | Body::Probe => 1,
        }
    }

    fn fill(&self, maker: &mut Maker, body: &mut Vec<u8>) -> u64 {
        body.clear();
        let now = SystemClock.now();
        match self.body {
            Body::Many(events) => maker.array(events, now, body),
            Body::One | Body::Probe => maker.push(now, body),
        }
        self.events()
    }

    /// Sends one request; how many events were taken, or a word for what went wrong.
    async fn ask(&self, wire: &mut Wire, head: &[u8], body: &[u8]) -> Result<u64, String> {
        let answer = wire
            .post(head, body)
            .await
            .map_err(|error| format!("no answer: {}", error.kind()))?;
        match (self.body, answer.status) {
            (Body::Many(_), 200 | 207) => Ok(accepted(&answer)),
            (Body::One, 200 | 201) => Ok(1),
            (Body::Probe, 200 | 201) => self.look_up(wire, &answer).await,
            (_, status) => Err(format!("status {status}")),
        }
    }

    async fn look_up(&self, wire: &mut Wire, answer: &Answer) -> Result<u64, String> {
        let id = answer.json()["event_id"].as_str().unwrap_or_default().to_owned();
        let found = wire.send(&self.server.get(&format!("/api/v1/logs/{id}"))).await;
        match found
            .map_err(|error| format!("no answer: {}", error.kind()))?
            .status
        {
            200 => Ok(1),
            status => Err(format!(
                "status {status} for an event that was said to be searchable"
            )),
        }
    }
}

/// `accepted` stands first in the answer, before a list that is long and says nothing new.
fn accepted(answer: &Answer) -> u64 {
    let start = String::from_utf8_lossy(answer.body.get(..64.min(answer.body.len())).unwrap_or_default())
        .into_owned();
    let digits = start.split_once("\"accepted\":").map_or("", |(_, rest)| rest);
    digits
        .split(|byte: char| !byte.is_ascii_digit())
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_even_steps_whatever_the_answers_do() {
        let plan = Plan {
            server: Server::new("http://x", "t").unwrap(),
            mix: Mix::App,
            requests: Some(100.0),
            connections: 1,
            body: Body::Many(50),
            until: Until::Elapsed(Duration::from_secs(1)),
            seed: 1,
        };
        let start = Instant::now();
        assert_eq!(plan.due(start, 7), Some(start + Duration::from_millis(70)));
        assert_eq!(plan.due(start, 100), None);
        let counted = Plan {
            until: Until::Events(100),
            ..plan
        };
        assert!(counted.due(start, 1).is_some() && counted.due(start, 2).is_none());
    }

    #[test]
    fn the_count_of_a_long_answer_is_read_from_its_beginning() {
        let body = br#"{"accepted":998,"items":[{"event_id":"x"}],"rejected":2}"#.to_vec();
        assert_eq!(accepted(&Answer { status: 207, body }), 998);
    }
}
