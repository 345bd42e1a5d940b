//! Who writes too much is told when to come back; and a data directory has one server.

use serde_json::{Value, json};

use crate::support::{App, unique, until};

#[tokio::test(flavor = "multi_thread")]
async fn too_many_events_are_answered_with_a_time_to_come_back() {
    let app = App::shared().await;
    let operator = app.operator().await;
    let slow = unique("slow");
    operator
        .post("/api/v1/tenants", &json!({"id": slow, "events_per_second": 10}))
        .await
        .expect(201);
    let acme = app.key(&slow, &["admin"]).await;
    let batch = |n: usize| Value::Array(vec![json!({"event_type": "limited"}); n]);
    acme.post("/api/v1/logs/bulk", &batch(10)).await.expect(200);
    let answer = acme.post("/api/v1/logs/bulk", &batch(10)).await;
    let problem = answer.problem(429);
    assert!(problem["type"].as_str().unwrap().ends_with("rate_limited"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    until("the bucket is full again", async || {
        acme.post("/api/v1/logs/bulk", &batch(10)).await.status == 200
    })
    .await;
    until("what was refused is not there", async || {
        acme.found(&[("event_type", "limited")]).await.len() == 20
    })
    .await;

    // A key of its own rate, in a tenant that has room.
    let roomy = app.tenant("roomy").await;
    let wanted = json!({"name": "slow", "roles": ["ingest"], "events_per_second": 2});
    let made = roomy.post("/api/v1/keys", &wanted).await.expect(201);
    let key = roomy.with(made["key"].as_str());
    key.post("/api/v1/logs/bulk", &batch(2)).await.expect(200);
    key.post("/api/v1/logs/bulk", &batch(2)).await.problem(429);
    roomy.post("/api/v1/logs/bulk", &batch(200)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_data_directory_refuses() {
    let app = App::shared().await;
    let second = app.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert!(!second.ok);
    assert!(
        second.err.contains("another trailhouse (process ") && second.err.contains("--data-dir"),
        "{}",
        second.err
    );
    app.stranger().get("/readyz").await.expect(200);
}
