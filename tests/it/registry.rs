//! With a schema registry, events are framed as Confluent's tools expect: written and read back by their own client.
//!
//! The registry is a stand-in with the documented REST routes that clients use.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use trailhouse::log::topics;

use crate::support::{App, until};

/// Registered schemas; the id of one is its place, from 1. An empty one is lost.
type Schemas = Arc<Mutex<Vec<(String, String)>>>;

/// `POST /subjects/{subject}/versions` and `POST /subjects/{subject}`: the same schema has the same id.
async fn register(
    State(schemas): State<Schemas>,
    Path(subject): Path<String>,
    Json(body): Json<Value>,
) -> Json<Value> {
    let wanted = (subject.clone(), body["schema"].as_str().unwrap().to_owned());
    let mut schemas = schemas.lock().unwrap();
    let id = schemas
        .iter()
        .position(|known| *known == wanted)
        .unwrap_or_else(|| {
            schemas.push(wanted.clone());
            schemas.len() - 1
        });
    Json(json!({"id": id + 1, "subject": subject, "version": 1, "schema": wanted.1, "schemaType": "AVRO"}))
}

/// `GET /schemas/ids/{id}`
async fn by_id(State(schemas): State<Schemas>, Path(id): Path<usize>) -> Response {
    match id
        .checked_sub(1)
        .and_then(|at| schemas.lock().unwrap().get(at).cloned())
    {
        Some((_, schema)) if !schema.is_empty() => {
            Json(json!({"schema": schema, "schemaType": "AVRO"})).into_response()
        }
        _ => (
            StatusCode::NOT_FOUND,
            Json(json!({"error_code": 40403, "message": "Schema not found"})),
        )
            .into_response(),
    }
}

/// Serves a registry on a free port, and gives its URL.
async fn registry(schemas: Schemas) -> String {
    let routes = Router::new()
        .route("/subjects/{subject}/versions", post(register))
        .route("/subjects/{subject}", post(register))
        .route("/schemas/ids/{id}", get(by_id))
        .with_state(schemas);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// Confluent's Python client, from the environment that `scripts/engines python` makes.
async fn confluent(arguments: &[&str]) -> Vec<Value> {
    let engines = std::env::var_os("TRAILHOUSE_ENGINES").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/trailhouse/engines"),
        PathBuf::from,
    );
    let python = engines.join("python/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run scripts/engines python",
        python.display()
    );
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/confluent.py");
    let ran = tokio::process::Command::new(python)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ran = ran.await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn confluents_client_reads_what_we_write_and_we_read_what_it_writes() {
    let schemas = Schemas::default();
    let url = registry(schemas.clone()).await;
    let app = App::start_with(&[("TRAILHOUSE_LOG__SCHEMA_REGISTRY", &url)]).await;
    let own = app.operator().await;
    let id = own.take(&json!({"event_id": "framed-1", "event_type": "order.paid", "user_id": "ada", "details": {"amount": 5}})).await;
    assert_eq!(schemas.lock().unwrap()[0].0, "audit.events-value");

    let kafka = app.at().kafka;
    let records = confluent(&["read", &kafka, &url, &app.topic(topics::EVENTS)]).await;
    let record = records
        .iter()
        .find(|record| record["source_event_id"] == "framed-1")
        .unwrap();
    assert_eq!(
        (&record["event_id"], &record["event_type"]),
        (&json!(id), &json!("order.paid")),
        "{record}"
    );
    assert_eq!(record["actor"]["id"], "ada");

    // A producer with a schema of its own, which the registry knows and we don't.
    confluent(&["write", &kafka, &url, &app.topic(topics::INBOX)]).await;
    let seen = own.arrives("written-by-confluent").await;
    assert_eq!(
        (&seen["actor"]["id"], &seen["time"]),
        (&json!("bob"), &json!("2026-01-02T03:04:05Z")),
        "{seen}"
    );
    assert_eq!(seen["details"]["amount"], 7);

    // All of it is read again after a restart, and the table is what the log says.
    app.kill9().await;
    app.start().await;
    assert_eq!(own.arrives("framed-1").await["event_id"], id.as_str());
    let ran = app.run(&["verify"]).await;
    assert!(ran.ok, "{}{}", ran.out, ran.err);

    // A shell without the setting, and a registry that was restored empty: events are not left out for that.
    app.set("TRAILHOUSE_LOG__SCHEMA_REGISTRY", "");
    let ran = app.run(&["rebuild"]).await;
    assert!(
        !ran.ok && ran.err.contains("log.schema_registry is not set"),
        "{}{}",
        ran.out,
        ran.err
    );
    app.set("TRAILHOUSE_LOG__SCHEMA_REGISTRY", &url);
    // It gives its ids anew, and not the lost one.
    let kept = std::mem::replace(&mut *schemas.lock().unwrap(), vec![Default::default()]);
    let ran = app.run(&["rebuild"]).await;
    assert!(!ran.ok && ran.err.contains("404"), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("the serving table is as it was"), "{}", ran.err);
    assert_eq!(own.arrives("framed-1").await["event_id"], id.as_str());

    // The projector waits for it and rejects nothing.
    app.kill9().await;
    app.start().await;
    own.post("/api/v1/logs", &json!({"event_id": "framed-2"}))
        .await
        .expect(201);
    until("the projector says what it waits for", async || {
        app.log().contains("an event can't be read yet")
    })
    .await;
    schemas.lock().unwrap()[0] = kept[0].clone();
    own.arrives("framed-2").await;
    assert_eq!(app.rejected("default").await, Vec::<Value>::new());
    let ran = app.run(&["rebuild"]).await;
    assert!(
        ran.ok && ran.out.contains("0 that are no events"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert_eq!(own.arrives("framed-1").await["event_id"], id.as_str());
}
