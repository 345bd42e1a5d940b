//! SIGKILL of the server, of its broker and of its ClickHouse, each several times under load: what was acknowledged
//! is found afterwards, once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::brokers::lives;
use crate::support::{App, Caller, Child, until};

const WRITERS: usize = 4;
/// Events in a request: some single posts, some batches.
const BATCHES: [usize; 3] = [1, 20, 100];

/// What the writers know: the ids that were acknowledged, and how often anybody was told to come back.
#[derive(Default)]
struct Written {
    acked: Mutex<BTreeMap<Uuid, usize>>,
    acks: AtomicUsize,
    refused: AtomicUsize,
    stop: AtomicBool,
}

/// Writes until told to stop; what was not acknowledged is sent again under the same ids, as clients should.
async fn write(caller: Caller, writer: usize, written: Arc<Written>) {
    let mut round = 0;
    while !written.stop.load(Ordering::Relaxed) {
        let size = BATCHES[round % BATCHES.len()];
        round += 1;
        // Some ids have a time in them, some don't, and some events have one of their own.
        let events: Vec<(Uuid, Value)> = (0..size)
            .map(|n| {
                let id = if n % 2 == 0 { Uuid::new_v4() } else { Uuid::now_v7() };
                let mut event = json!({"event_id": id, "event_type": "load", "user_id": format!("w{writer}"), "details": {"round": round, "n": n}});
                if n % 5 == 0 {
                    event["time"] = json!("2026-05-06T07:08:09Z");
                }
                (id, event)
            })
            .collect();
        let body = Value::Array(events.iter().map(|(_, event)| event.clone()).collect()).to_string();
        while !written.stop.load(Ordering::Relaxed) {
            if taken(&caller, &body, &events, &written).await {
                break;
            }
            written.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether everything of a request was acknowledged; what was, is noted.
async fn taken(caller: &Caller, body: &str, events: &[(Uuid, Value)], written: &Written) -> bool {
    let headers = [("content-type", "application/json")];
    let Ok(answer) = caller
        .try_send(Method::POST, "/api/v1/logs/bulk", &headers, body.to_owned())
        .await
    else {
        return false;
    };
    match answer.status.as_u16() {
        200 | 207 => {}
        429 | 503 => return false,
        other => panic!("{other}: {}", answer.text()),
    }
    let answer = answer.json();
    let items = answer["items"].as_array().unwrap();
    let mut acked = written.acked.lock().unwrap();
    let mut all = true;
    for ((id, _), item) in events.iter().zip(items) {
        match item["status"].as_u64().unwrap() {
            200 | 201 => {
                written.acks.fetch_add(1, Ordering::Relaxed);
                *acked.entry(*id).or_default() += 1;
            }
            503 => all = false,
            other => panic!("{other}: {item}"),
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_nothing_is_seen_twice() {
    let app = App::start_with_own_broker(&[]).await;
    let acme = app.tenant("kill").await;
    let written = Arc::new(Written::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| tokio::spawn(write(acme.clone(), n, written.clone())))
        .collect();
    let more = async |what: &str| {
        let (acks, goal) = (&written.acks, written.acks.load(Ordering::Relaxed) + 300);
        until(&format!("events are taken {what}"), async || {
            acks.load(Ordering::Relaxed) >= goal
        })
        .await;
    };

    more("at first").await;
    for _ in 0..3 {
        let before = app.pid(Child::ClickHouse).unwrap();
        app.kill9_child(Child::ClickHouse).await;
        more("while ClickHouse is away").await;
        until("ClickHouse is another process", async || {
            app.pid(Child::ClickHouse)
                .is_some_and(|pid| pid != before && lives(pid))
        })
        .await;

        let before = app.pid(Child::Broker).unwrap();
        app.kill9_child(Child::Broker).await;
        until("the broker is another process", async || {
            app.pid(Child::Broker)
                .is_some_and(|pid| pid != before && lives(pid))
        })
        .await;
        more("after the broker came back").await;

        app.kill9().await;
        app.start().await;
        more("after the server came back").await;
    }
    written.stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }

    let acked: Vec<Uuid> = written.acked.lock().unwrap().keys().copied().collect();
    assert!(
        written.refused.load(Ordering::Relaxed) > 0,
        "the kills were not felt"
    );
    let held = async || -> Vec<Uuid> {
        let answer = acme.search(&[("count", "true"), ("limit", "1")]).await;
        if answer.status != 200 || (answer.json()["count"].as_u64().unwrap() as usize) < acked.len() {
            return Vec::new();
        }
        everything(&acme).await
    };
    let mut seen = Vec::new();
    until("everything acknowledged is found", async || {
        seen = held().await;
        let found: std::collections::BTreeSet<_> = seen.iter().collect();
        acked.iter().all(|id| found.contains(id))
    })
    .await;
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(all, seen.len(), "an event is seen twice");
    // Counting sees no copy either, and the table is what the log says.
    until("verify holds", async || app.run(&["verify"]).await.ok).await;
    let answer = acme
        .search(&[("count", "true"), ("limit", "1")])
        .await
        .expect(200);
    assert_eq!(answer["count"], seen.len());
    assert!(
        app.all_rejected().await.is_empty(),
        "copies of one another are no conflicts"
    );
}

/// All ids of a tenant, page by page.
async fn everything(acme: &Caller) -> Vec<Uuid> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut parameters = vec![("limit", "1000")];
        parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = acme.search(&parameters).await;
        if page.status != 200 {
            return Vec::new();
        }
        let page = page.json();
        let ids = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["event_id"].as_str().unwrap().parse::<Uuid>().unwrap());
        all.extend(ids);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return all,
        }
    }
}
