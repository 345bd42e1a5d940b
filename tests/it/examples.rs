//! `schemas/examples` through the real door: each becomes what its neighbour file says.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use trailhouse::log::topics;

use crate::support::{Answer, App, Caller};

/// The id that the examples show where one is made on arrival.
const MADE_ON_ARRIVAL: &str = "01a1f8d3-ea00-7000-8000-000000000001";
/// What these say depends on the day on which they arrive.
const OF_THEIR_DAY: [&str; 2] = ["time-almost-a-day-ahead", "time-over-a-day-ahead"];

fn examples(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas/examples")
        .join(folder);
    let mut inputs: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().matches('.').count() == 1)
        .filter(|path| !OF_THEIR_DAY.contains(&path.file_stem().unwrap().to_str().unwrap()))
        .collect();
    inputs.sort();
    assert!(inputs.len() > 10);
    inputs
}

fn neighbour(path: &Path, kind: &str) -> Option<Value> {
    let text = fs::read_to_string(path.with_extension(kind)).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

/// Headers and body of a CloudEvent in binary mode.
fn binary(text: &str) -> (Vec<(&str, &str)>, &str) {
    let (head, body) = text.split_once("\n\n").unwrap();
    (
        head.lines().map(|line| line.split_once(": ").unwrap()).collect(),
        body.trim_end(),
    )
}

async fn post(caller: &Caller, path: &Path) -> Answer {
    let body = fs::read(path).unwrap();
    if path.extension().unwrap() == "json" {
        return caller
            .send(
                Method::POST,
                "/api/v1/logs?wait=indexed",
                &[("content-type", "application/json")],
                body,
            )
            .await;
    }
    let text = String::from_utf8(body).unwrap();
    let (headers, body) = binary(&text);
    caller
        .send(
            Method::POST,
            "/api/v1/logs?wait=indexed",
            &headers,
            body.to_owned(),
        )
        .await
}

/// What does not depend on when it arrived.
fn lasting(mut event: Value) -> Value {
    let members = event.as_object_mut().unwrap();
    members.remove("received_at");
    if members["time_from"] == "received" {
        members.remove("time");
    }
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_examples_are_taken_and_found_as_their_events() {
    let app = App::shared().await;
    let own = app.operator().await;
    let mut ids = HashSet::new();
    for path in examples("valid") {
        let name = path.display().to_string();
        let mut expected = lasting(neighbour(&path, "event.json").unwrap());
        let id = expected["event_id"].as_str().unwrap().to_owned();
        let made = id == MADE_ON_ARRIVAL;
        let text = fs::read_to_string(&path).unwrap_or_default();
        let id = if text.starts_with("ce_") {
            // Kafka's spelling of the headers: through the inbox.
            let (headers, body) = binary(&text);
            app.produce(topics::INBOX, b"", body.as_bytes(), &headers).await;
            expected["source"]["kind"] = json!("kafka");
            id
        } else {
            let answer = post(&own, &path).await;
            if answer.status == 409 && ids.contains(&id) {
                continue;
            }
            assert!(
                matches!(answer.status.as_u16(), 200 | 201),
                "{name}: {}",
                answer.text()
            );
            let answer = answer.json();
            let mut seen = answer.get("warnings").cloned();
            let mut expected = neighbour(&path, "warnings.json");
            [&mut seen, &mut expected]
                .into_iter()
                .flatten()
                .for_each(without_today);
            assert_eq!(seen, expected, "{name}");
            answer["event_id"].as_str().unwrap().to_owned()
        };
        if made {
            expected["event_id"] = json!(id);
        }
        // Some examples give the same id to other events; the first one counts.
        if ids.insert(id.clone()) {
            assert_eq!(lasting(own.arrives(&id).await), expected, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_examples_are_refused_for_their_reasons() {
    let own = App::shared().await.operator().await;
    for path in examples("invalid") {
        let name = path.display().to_string();
        let expected = neighbour(&path, "problems.json").unwrap();
        let answer = post(&own, &path).await;
        match expected.get("other_tenant") {
            Some(field) => {
                assert_eq!(answer.status, 403, "{name}: {}", answer.text());
                assert_eq!(answer.fields(403), [field.as_str().unwrap()], "{name}");
            }
            None => {
                assert_eq!(answer.status, 422, "{name}: {}", answer.text());
                let mut seen = answer.problem(422)["errors"].clone();
                without_today(&mut seen);
                let mut expected = expected["problems"].clone();
                without_today(&mut expected);
                assert_eq!(seen, expected, "{name}");
            }
        }
    }
}

/// A sentence about a time says between which days it must lie.
fn without_today(problems: &mut Value) {
    for problem in problems.as_array_mut().unwrap() {
        let detail = problem["detail"].as_str().unwrap();
        if let Some((before, _)) = detail.split_once(" and 20") {
            problem["detail"] = json!(before);
        }
    }
}
