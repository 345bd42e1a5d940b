//! The questions people ask most: each many times with other values, one at a time, or all in turn.

use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::time::Instant;

use super::load::histogram;
use super::mix::{DEPARTMENTS, Random};
use super::wire::{Server, Wire};

/// A question, and how long its answers took in microseconds.
pub(super) struct Timed {
    pub(super) what: &'static str,
    pub(super) latency: Histogram<u64>,
    /// Answers without a single event, of all.
    pub(super) empty: usize,
}

/// How many events can be searched.
pub(super) async fn count(server: &Server) -> anyhow::Result<u64> {
    let mut wire = Wire::new(server);
    let answer = ask(&mut wire, server, "/api/v1/logs?limit=1&count=true").await?;
    answer["count"].as_u64().context("the answer has no count")
}

/// Asks everything, each kind so often.
pub(super) async fn ask_all(server: &Server, times: u32, seed: u64) -> anyhow::Result<Vec<Timed>> {
    let mut wire = Wire::new(server);
    let (mut random, sample) = (Random::new(seed), sample(server).await?);
    let mut timed = Vec::new();
    for question in &QUESTIONS {
        let (mut latency, mut empty) = (histogram()?, 0);
        for _ in 0..times {
            let path = question.about(&sample, &mut random);
            let asked = Instant::now();
            let answer = ask(&mut wire, server, &path).await?;
            latency.saturating_record(asked.elapsed().as_micros() as u64);
            empty += usize::from(answer["data"].as_array().is_some_and(Vec::is_empty));
            // Apart enough that one answer's end is not the next one's beginning.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let what = question.what;
        timed.push(Timed { what, latency, empty });
    }
    Ok(timed)
}

/// A kind of question.
pub(super) struct Question {
    pub(super) what: &'static str,
    /// How many of a hundred questions are of this kind, where all are asked in turn.
    share: u64,
    path: fn(&Value, &mut Random) -> String,
}

impl Question {
    /// One of this kind, about one of the events that are held.
    pub(super) fn about(&self, sample: &[Value], random: &mut Random) -> String {
        let event = &sample[random.below(sample.len() as u64) as usize];
        (self.path)(event, random)
    }
}

/// A question as people ask them; gives its place among [`QUESTIONS`] and its path.
pub(super) fn any(sample: &[Value], random: &mut Random) -> (usize, String) {
    let mut left = random.below(QUESTIONS.iter().map(|question| question.share).sum());
    let kind = QUESTIONS
        .iter()
        .position(|question| match left.checked_sub(question.share) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
    let kind = kind.unwrap_or_default();
    (kind, QUESTIONS[kind].about(sample, random))
}

/// All kinds.
pub(super) const QUESTIONS: [Question; 13] = [
    Question {
        what: "newest page",
        share: 20,
        path: |_, _| "/api/v1/logs?limit=100".into(),
    },
    Question {
        what: "page of a minute",
        share: 10,
        path: |event, _| {
            let minute = text(event, "/time").chars().take(16).collect::<String>();
            format!("/api/v1/logs?from={minute}:00Z&to={minute}:59Z&limit=100")
        },
    },
    Question {
        what: "by filter (user_id)",
        share: 20,
        path: |event, _| format!("/api/v1/logs?user_id={}&limit=100", text(event, "/actor/id")),
    },
    Question {
        what: "by details (department and region)",
        share: 8,
        path: |event, random| {
            format!(
                "/api/v1/logs?details.department={}&details.region={}&limit=100",
                random.pick(&DEPARTMENTS),
                text(event, "/details/region")
            )
        },
    },
    Question {
        what: "by full text",
        share: 10,
        path: |event, _| {
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
        },
    },
    Question {
        what: "by id",
        share: 12,
        path: |event, _| format!("/api/v1/logs/{}", text(event, "/event_id")),
    },
    Question {
        what: "correlation (session)",
        share: 4,
        path: |event, _| {
            format!(
                "/api/v1/logs/correlate?session_id={}",
                text(event, "/actor/session_id")
            )
        },
    },
    Question {
        what: "count (user_id)",
        share: 4,
        path: |event, _| {
            format!(
                "/api/v1/logs?user_id={}&limit=1&count=true",
                text(event, "/actor/id")
            )
        },
    },
    Question {
        what: "statistics by the hour",
        share: 4,
        path: |_, _| "/api/v1/logs/stats?interval=1h".into(),
    },
    Question {
        what: "statistics by type",
        share: 2,
        path: |_, _| "/api/v1/logs/stats?group_by=event_type&top=10".into(),
    },
    Question {
        what: "statistics by actor",
        share: 1,
        path: |_, _| "/api/v1/logs/stats?group_by=actor.id".into(),
    },
    Question {
        what: "different actors",
        share: 1,
        path: |_, _| "/api/v1/logs/stats?distinct=actor.id".into(),
    },
    Question {
        what: "statistics of a user, by type",
        share: 4,
        path: |event, _| {
            format!(
                "/api/v1/logs/stats?user_id={}&group_by=event_type&interval=1d",
                text(event, "/actor/id")
            )
        },
    },
];

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Events from all over the time that is held.
pub(super) async fn sample(server: &Server) -> anyhow::Result<Vec<Value>> {
    let (mut wire, mut sample) = (Wire::new(server), Vec::new());
    for path in ["/api/v1/logs?limit=500", "/api/v1/logs?limit=500&sort=time"] {
        if let Value::Array(events) = ask(&mut wire, server, path).await?["data"].take() {
            sample.extend(events);
        }
    }
    match sample.is_empty() {
        true => bail!("there is nothing to search: fill it first with --fill 5000000"),
        false => Ok(sample),
    }
}

pub(super) async fn ask(wire: &mut Wire, server: &Server, path: &str) -> anyhow::Result<Value> {
    let answer = wire
        .send(&server.get(path))
        .await
        .with_context(|| format!("GET {path}"))?;
    match answer.status {
        200 => Ok(answer.json()),
        status => bail!("GET {path}: {status}: {}", String::from_utf8_lossy(&answer.body)),
    }
}
