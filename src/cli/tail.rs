//! `trailhouse tail`: events as they come, as lines for people, or as NDJSON for the next program.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use super::ask::{parameters, told};
use super::connect::Remote;
use crate::query::params::query_of;

/// The pause before the server is called again, and the longest one.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(10);
/// A server that says nothing for so long is gone; it beats every 15 s by default.
const SILENCE_MAX: Duration = Duration::from_secs(120);

#[derive(Args)]
pub(crate) struct Tail {
    /// Filters such as user_id=ada, severity!=INFO, details.amount[gt]=5; other words are searched for in the text
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// Begin with what was received then, instead of now: 2026-11-20, or 2026-11-20T09:00:00Z
    #[arg(long, conflicts_with = "cursor")]
    since: Option<String>,
    /// Go on where another stream ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// How a connection ended.
enum Ended {
    /// It was cut, or the server stops: call again.
    Cut,
    /// For good, in words.
    Refused(String),
}

impl Tail {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let filters = parameters(&self.filters);
        let token = self.remote.token()?;
        let client = reqwest::Client::builder().read_timeout(SILENCE_MAX).build()?;
        let for_people = std::io::stdout().is_terminal();
        let (mut cursor, mut pause, mut connected) = (self.cursor.clone(), AGAIN_AFTER, false);
        loop {
            let begin = match (&cursor, &self.since) {
                (Some(cursor), _) => Some(("cursor", cursor.as_str())),
                (None, since) => since.as_deref().map(|since| ("since", since)),
            };
            let filters = filters
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            let query = query_of(filters.chain(begin));
            let url = self.remote.at(&format!("/api/v1/logs/stream?{query}"));
            match client.get(url).bearer_auth(token).send().await {
                Ok(answer) if answer.status().is_success() => {
                    (pause, connected) = (AGAIN_AFTER, true);
                    if let Ended::Refused(why) = follow(answer, &mut cursor, for_people).await? {
                        bail!(why);
                    }
                }
                Ok(answer) if answer.status().is_client_error() && answer.status() != 429 => {
                    let problem: Value = answer.json().await.unwrap_or_default();
                    bail!(told(&problem).unwrap_or_else(silent));
                }
                Ok(_) => {}
                Err(error) if !connected => return Err(error).context(self.remote.unreachable()),
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN_AFTER_MAX);
        }
    }
}

/// Prints what comes over one connection, and notes how far it came.
async fn follow(
    mut answer: reqwest::Response,
    cursor: &mut Option<String>,
    for_people: bool,
) -> anyhow::Result<Ended> {
    let mut unread = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        unread.extend_from_slice(&chunk);
        let mut out = String::new();
        let mut ended = None;
        while let Some(end) = unread.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = unread.drain(..end + 2).collect();
            let Some(frame) = frame(&event) else { continue };
            match frame["type"].as_str() {
                Some("event") => {
                    out.push_str(&line(&frame["event"], for_people));
                    out.push('\n');
                }
                Some("lagged") => eprintln!("trailhouse: too slow; {} events were waiting", frame["waiting"]),
                Some("error") => ended = Some(judged(&frame["problem"])),
                _ => {}
            }
            if let Some(at) = frame["cursor"].as_str().filter(|at| !at.is_empty()) {
                *cursor = Some(at.to_owned());
            }
        }
        let mut stdout = std::io::stdout().lock();
        // Whoever read this has gone.
        if stdout
            .write_all(out.as_bytes())
            .and_then(|()| stdout.flush())
            .is_err()
        {
            return Ok(Ended::Refused("nobody reads this any more".to_owned()));
        }
        if let Some(ended) = ended {
            return Ok(ended);
        }
    }
    Ok(Ended::Cut)
}

/// What a server-sent event carries.
fn frame(event: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(event).ok()?;
    let data = text.lines().find_map(|line| line.strip_prefix("data: "))?;
    serde_json::from_str(data).ok()
}

fn judged(problem: &Value) -> Ended {
    match problem["status"].as_u64() {
        Some(400..=499) => Ended::Refused(told(problem).unwrap_or_else(silent)),
        _ => Ended::Cut,
    }
}

fn silent() -> String {
    "the server does not say what is wrong".to_owned()
}

/// An event on one line.
fn line(event: &Value, for_people: bool) -> String {
    if !for_people {
        return event.to_string();
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").replace(char::is_control, " ");
    let resource = match (
        event["resource"]["type"].as_str(),
        event["resource"]["id"].as_str(),
    ) {
        (None, None) => String::new(),
        (kind, id) => format!("  {}/{}", kind.unwrap_or("-"), id.unwrap_or("-")),
    };
    let message = event["message"].as_str().map(|message| format!("  {message}"));
    let line = format!(
        "{}  {:<8} {:<8} {}  {}{resource}{}",
        text(&event["time"]),
        text(&event["severity"]),
        text(&event["outcome"]),
        text(&event["event_type"]),
        text(&event["actor"]["id"]),
        message.unwrap_or_default()
    );
    // What others have written must not steer the terminal.
    line.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_people_is_one_line_without_control_characters() {
        let event = json!({
            "time": "2026-01-02T16:00:00Z", "severity": "INFO", "outcome": "success", "event_type": "invoice.sent",
            "actor": {"id": "ada"}, "resource": {"type": "invoice", "id": "7"}, "message": "sent\n\u{1b}[2J",
        });
        let line = line(&event, true);
        assert_eq!(
            line,
            "2026-01-02T16:00:00Z  INFO     success  invoice.sent  ada  invoice/7  sent  [2J"
        );
    }
}
