//! Requests to the server, repeated while it makes sense.
//!
//! A server that is busy or has lost its log for a moment says so (429, 503) and says when to come back; one that is
//! being restarted does not answer at all. Both are waited for, up to [`PATIENCE`]. Repeating is safe: ids are fixed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::batch::{Batch, Origin};
use crate::cli::connect::Remote;
use crate::event::problem::Problem;

/// A request that nobody takes for so long ends the import.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// For one answer: a server that waits for its log answers well before.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// Taken.
    pub(super) new: u64,
    /// Held before.
    pub(super) held: u64,
    /// Not taken, and why.
    pub(super) rejected: Vec<(Origin, Problem)>,
}

/// Sends batches.
pub(super) struct Sender {
    client: Client,
    remote: Remote,
    token: String,
    /// The server has answered before: when it is silent, it is being restarted.
    answered: AtomicBool,
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    status: u16,
    #[serde(default)]
    duplicate: bool,
    problem: Option<ProblemDetails>,
}

/// A problem as the server writes it.
#[derive(Default, Deserialize)]
struct ProblemDetails {
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    field: String,
    detail: String,
}

/// Why a request is to be repeated, and when the server wants it.
struct Again {
    why: String,
    after: Option<Duration>,
}

impl Sender {
    pub(super) fn new(remote: Remote) -> anyhow::Result<Self> {
        let token = remote.token()?.to_owned();
        let client = Client::builder().timeout(ANSWER_WITHIN).build()?;
        Ok(Self {
            client,
            remote,
            token,
            answered: AtomicBool::new(false),
        })
    }

    /// Sends a batch until every item is taken or rejected. An error: nothing goes on.
    pub(super) async fn send(&self, mut batch: Batch) -> anyhow::Result<Answered> {
        let mut answered = Answered::default();
        let (mut since, mut pause) = (Instant::now(), FIRST_WAIT);
        loop {
            let again = match self.once(&batch).await? {
                Ok(answer) => match sort(&batch, answer, &mut answered) {
                    None => return Ok(answered),
                    Some(rest) => {
                        // Some went through: it is slow, not dead.
                        if rest.len() < batch.len() {
                            since = Instant::now();
                        }
                        batch = rest;
                        Again {
                            why: "the log does not take everything".into(),
                            after: None,
                        }
                    }
                },
                Err(again) => again,
            };
            if since.elapsed() > PATIENCE {
                bail!(
                    "{} has taken nothing for {} s: {}",
                    self.remote.at(""),
                    PATIENCE.as_secs(),
                    again.why
                );
            }
            tokio::time::sleep(again.after.unwrap_or(pause).min(LONGEST_WAIT)).await;
            pause = (pause * 2).min(LONGEST_WAIT);
        }
    }

    async fn once(&self, batch: &Batch) -> anyhow::Result<Result<Answer, Again>> {
        let request = self.client.post(self.remote.at(batch.door.path()));
        let request = request
            .bearer_auth(&self.token)
            .header(CONTENT_TYPE, "application/json")
            .body(batch.body());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if self.answered.load(Ordering::Relaxed) => {
                return Ok(Err(Again {
                    why: format!("no answer: {error}"),
                    after: None,
                }));
            }
            Err(error) => return Err(error).with_context(|| self.remote.unreachable()),
        };
        self.answered.store(true, Ordering::Relaxed);
        match response.status() {
            status if status.is_success() => match response.json().await {
                Ok(answer) => Ok(Ok(answer)),
                Err(error) => Ok(Err(Again {
                    why: format!("the answer broke off: {error}"),
                    after: None,
                })),
            },
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::REQUEST_TIMEOUT => {
                let after = retry_after(&response);
                let why = reason(response).await;
                Ok(Err(Again { why, after }))
            }
            status => bail!("{}: {}", status, reason(response).await),
        }
    }
}

/// Counts what is settled, and gives back the items that the log could not take now.
fn sort(batch: &Batch, answer: Answer, answered: &mut Answered) -> Option<Batch> {
    let mut later = Vec::new();
    for item in answer.items {
        match (item.status, item.problem) {
            (200..=299, _) if item.duplicate => answered.held += 1,
            (200..=299, _) => answered.new += 1,
            (429 | 503, _) => later.push(item.index),
            (_, problem) => {
                let Some(origin) = batch.origin(item.index) else {
                    continue;
                };
                answered
                    .rejected
                    .push((origin.clone(), problem.unwrap_or_default().first()));
            }
        }
    }
    (!later.is_empty()).then(|| batch.only(&later))
}

impl ProblemDetails {
    /// The first field's problem; what is wrong with further fields comes out once that one is mended.
    fn first(mut self) -> Problem {
        match self.errors.is_empty() {
            true => Problem::new("", self.detail),
            false => {
                let more = match self.errors.len() - 1 {
                    0 => String::new(),
                    more => format!(" (and {more} more)"),
                };
                let first = self.errors.swap_remove(0);
                Problem::new(first.field, first.detail + &more)
            }
        }
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// The server's own words.
async fn reason(response: Response) -> String {
    let status = response.status();
    match response.json::<ProblemDetails>().await {
        Ok(refusal) if !refusal.detail.is_empty() => refusal.detail,
        _ => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::import::batch::Door;

    #[test]
    fn items_are_counted_rejected_or_kept_for_later() {
        let mut batch = Batch::new(Door::Events);
        for number in 1..=5 {
            batch.push(
                Origin {
                    file: "f".into(),
                    number,
                },
                &format!("{{\"n\":{number}}}"),
            );
        }
        let answer = json!({"accepted": 2, "rejected": 3, "items": [
            {"index": 0, "status": 201, "event_id": "x"},
            {"index": 1, "status": 200, "event_id": "x", "duplicate": true},
            {"index": 2, "status": 422, "problem": {"status": 422, "detail": "x", "errors": [
                {"field": "/time", "detail": "expected a date"}, {"field": "/ip", "detail": "x"}]}},
            {"index": 3, "status": 503, "problem": {"detail": "later"}},
            {"index": 4, "status": 413, "problem": {"detail": "too large"}},
        ]});
        let mut answered = Answered::default();
        let rest = sort(&batch, serde_json::from_value(answer).unwrap(), &mut answered).unwrap();
        assert_eq!(rest.body(), b"[{\"n\":4}]");
        assert_eq!((answered.new, answered.held), (1, 1));
        let rejected: Vec<_> = answered
            .rejected
            .iter()
            .map(|(origin, problem)| (origin.number, problem.field.as_str(), problem.detail.as_str()))
            .collect();
        assert_eq!(
            rejected,
            [(3, "/time", "expected a date (and 1 more)"), (5, "", "too large")]
        );
    }
}
