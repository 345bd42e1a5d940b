//! One of the engines is away: what does not need it goes on, the rest says when to come back, and does.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Answer, App, Child, until, until_some};

/// 503 with a time to come back.
fn come_back(answer: &Answer) {
    answer.problem(503);
    let after: u64 = answer
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .unwrap();
    assert!((1..=60).contains(&after));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_clickhouse_events_are_taken_and_searches_say_so() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("no-clickhouse").await;
    acme.take(&json!({"event_id": "before", "action": "VIEW"})).await;

    let held = app.hold(Child::ClickHouse);
    let mut taken = Vec::new();
    for n in 0..20 {
        let started = Instant::now();
        let answer = acme
            .post(
                "/api/v1/logs",
                &json!({"event_id": format!("during-{n}"), "action": "VIEW"}),
            )
            .await;
        answer.expect(201);
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "taking an event waits for ClickHouse"
        );
        taken.push(format!("during-{n}"));
    }
    // Old ones can't be looked up; they are taken all the same, and stay one event.
    let old = json!({"event_id": "old-one", "time": "2020-01-01T00:00:00Z", "action": "VIEW"});
    acme.post("/api/v1/logs", &old).await.expect(201);
    acme.post("/api/v1/logs", &old).await.expect(201);
    come_back(&acme.search(&[("action", "VIEW")]).await);
    come_back(&acme.get("/api/v1/logs/before").await);
    let ready = app.stranger().get("/readyz").await.expect(503);
    assert_eq!(
        (
            &ready["checks"]["clickhouse"]["ok"],
            &ready["checks"]["log"]["ok"]
        ),
        (&json!(false), &json!(true))
    );
    app.stranger().get("/healthz").await.expect(200);
    drop(held);

    until("searches are answered again", async || {
        acme.search(&[]).await.status == 200
    })
    .await;
    for id in &taken {
        acme.arrives(id).await;
    }
    until("everything is found, once", async || {
        acme.found(&[]).await.len() == taken.len() + 2
    })
    .await;
    until("the server is ready again", async || {
        app.stranger().get("/readyz").await.status == 200
    })
    .await;
    // Nobody looked for an earlier copy of the old one: its month was marked.
    let marks = app
        .sql("SELECT count() FROM dirty_months WHERE month = 202001")
        .await;
    assert_ne!(marks.trim(), "0");
    for command in ["verify", "rebuild", "verify"] {
        let ran = app.run(&[command]).await;
        assert!(ran.ok, "{command}: {}{}", ran.out, ran.err);
    }

    // Killed again and again while events come.
    for round in 0..3 {
        app.kill9_child(Child::ClickHouse).await;
        acme.post("/api/v1/logs", &json!({"event_id": format!("killed-{round}")}))
            .await
            .expect(201);
    }
    for round in 0..3 {
        until_some("what was taken meanwhile is found", async || {
            let answer = acme.get(&format!("/api/v1/logs/killed-{round}")).await;
            assert!(
                matches!(answer.status.as_u16(), 200 | 404 | 503),
                "{}",
                answer.text()
            );
            (answer.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clickhouse_that_hangs_is_replaced_without_anybodys_help() {
    let app = App::start_with(&[("TRAILHOUSE_ENGINES__HUNG_AFTER_SECONDS", "5")]).await;
    let acme = app.tenant("hung").await;
    let _held = app.hold(Child::ClickHouse);
    acme.post("/api/v1/logs", &json!({"event_id": "during", "action": "VIEW"}))
        .await
        .expect(201);
    until("it is replaced", async || {
        let log = app.log();
        log.contains("does not answer") && log.contains("it answered nothing for 5 s and was killed")
    })
    .await;
    until("searches are answered again", async || {
        acme.search(&[]).await.status == 200
    })
    .await;
    acme.arrives("during").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_clickhouse_is_a_clean_one_and_loses_nothing() {
    let filter = "info,trailhouse::projections=debug";
    let app = App::start_with(&[("TRAILHOUSE_TELEMETRY__FILTER", filter)]).await;
    let acme = app.tenant("stopped").await;
    acme.take(&json!({"event_id": "before", "action": "VIEW"})).await;

    let held = app.hold(Child::ClickHouse);
    let batches = || app.log().matches("writing a batch").count();
    let before = batches();
    for n in 0..3 {
        let event = json!({"event_id": format!("during-{n}"), "action": "VIEW"});
        acme.post("/api/v1/logs", &event).await.expect(201);
    }
    until("a write hangs", async || batches() > before).await;
    let (ended, ()) = tokio::join!(app.stop(), async {
        until("the projector gives up what it can't write", async || {
            app.log().contains("the projector stops with work left")
        })
        .await;
        // The engine is to end by itself.
        drop(held);
    });
    assert!(ended.success(), "{ended}: {}", app.log());

    app.start().await;
    for id in ["before", "during-0", "during-1", "during-2"] {
        acme.arrives(id).await;
    }
    assert_eq!(acme.found(&[]).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_log_nothing_is_taken_and_searches_go_on() {
    let app = App::start_with_own_broker(&[]).await;
    let acme = app.tenant("no-log").await;
    let before = acme.take(&json!({"event_id": "before", "action": "VIEW"})).await;

    let held = app.hold(Child::Broker);
    // The first ones may wait for an answer that does not come; no event is acknowledged.
    let answer = acme
        .post("/api/v1/logs", &json!({"event_id": "during", "action": "EDIT"}))
        .await;
    come_back(&answer);
    come_back(
        &acme
            .post(
                "/api/v1/logs/bulk",
                &json!([{"event_id": "during", "action": "EDIT"}]),
            )
            .await,
    );
    until("the server knows that the log is away", async || {
        let started = Instant::now();
        let answer = acme
            .post("/api/v1/logs", &json!({"event_id": "during", "action": "EDIT"}))
            .await;
        come_back(&answer);
        started.elapsed() < Duration::from_secs(1)
    })
    .await;
    let ready = app.stranger().get("/readyz").await.expect(503);
    assert_eq!(
        (
            &ready["checks"]["clickhouse"]["ok"],
            &ready["checks"]["log"]["ok"]
        ),
        (&json!(true), &json!(false))
    );
    assert_eq!(acme.arrives("before").await["event_id"], before.as_str());
    assert_eq!(acme.found(&[("action", "VIEW")]).await.len(), 1);
    drop(held);

    let again = json!({"event_id": "during", "action": "EDIT"});
    until("events are taken again", async || {
        matches!(acme.post("/api/v1/logs", &again).await.status.as_u16(), 200 | 201)
    })
    .await;
    acme.arrives("during").await;
    assert_eq!(
        acme.found(&[("source_event_id", "during")]).await.len(),
        1,
        "sent again, and still one"
    );
    until("the server is ready again", async || {
        app.stranger().get("/readyz").await.status == 200
    })
    .await;
}
