//! The path of an event: posted in any shape, in the log when it is acknowledged, found by search and by id.

use reqwest::Method;
use serde_json::json;

use crate::support::{App, until};

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_becomes_an_event_that_is_found() {
    let acme = App::shared().await.tenant("shapes").await;

    let nested = acme
        .take(&json!({
            "event_type": "document.update", "action": "UPDATE", "severity": "warning", "outcome": "success",
            "time": "2026-01-02T03:04:05.678901+01:00",
            "actor": {"id": "ada", "type": "user", "ip": "192.0.2.7"},
            "resource": {"type": "document", "id": "d-1", "name": "Plan"},
            "message": "Ada changed the plan", "request_id": "r-1", "trace_id": "t-1", "tags": ["plan", "q1"],
            "before": {"title": "Old", "pages": [1, 2]}, "after": {"title": "New", "pages": [1]},
            "details": {"app": {"version": 3}},
        }))
        .await;
    let seen = acme.arrives(&nested).await;
    assert_eq!(seen["tenant_id"], acme.tenant.as_str());
    assert_eq!(
        (&seen["time"], &seen["time_offset"]),
        (&json!("2026-01-02T02:04:05.678901Z"), &json!("+01:00"))
    );
    assert_eq!(seen["severity"], "WARNING");
    assert_eq!(
        seen["actor"],
        json!({"id": "ada", "type": "user", "ip": "192.0.2.7"})
    );
    assert_eq!(seen["details"], json!({"app": {"version": 3}}));
    assert_eq!(seen["tags"], json!(["plan", "q1"]));
    assert_eq!(seen["source"]["kind"], "http");
    let changes = seen["changes"].as_array().unwrap();
    assert!(
        changes
            .iter()
            .any(|change| change["path"] == "/title" && change["op"] == "replace"),
        "{seen}"
    );
    assert!(
        changes
            .iter()
            .any(|change| change["path"] == "/pages/1" && change["op"] == "remove"),
        "{seen}"
    );

    let flat = json!({"user_id": "bob", "session_id": "s-9", "action": "VIEW", "resource_type": "page",
        "resource_id": "p-1", "ip_address": "2001:db8::1", "timestamp": 1_760_000_000, "metadata": {"k": "v"}});
    let seen = acme.arrives(&acme.take(&flat).await).await;
    assert_eq!(
        seen["actor"],
        json!({"id": "bob", "session_id": "s-9", "ip": "2001:db8::1"})
    );
    assert_eq!(
        (&seen["resource"]["id"], &seen["details"]),
        (&json!("p-1"), &json!({"k": "v"}))
    );
    assert_eq!(seen["time"], "2025-10-09T08:53:20Z");

    let third = json!({"event_id": "order-77", "event_type": "order.paid", "timestamp": "2026-02-01T00:00:00Z",
        "user_id": "eve", "event_details": {"amount": 12.5}});
    let id = acme.take(&third).await;
    let seen = acme.arrives("order-77").await;
    assert_eq!(
        (&seen["event_id"], &seen["source_event_id"]),
        (&json!(id), &json!("order-77"))
    );
    assert_eq!(seen["details"], json!({"amount": 12.5}));

    let answer = acme
        .post(
            "/events?wait=indexed",
            &json!({"colour": "green", "size": {"w": 2}}),
        )
        .await
        .expect(201);
    let seen = acme.arrives(answer["event_id"].as_str().unwrap()).await;
    assert_eq!(seen["details"], json!({"colour": "green", "size": {"w": 2}}));
    assert_eq!(
        (&seen["severity"], &seen["outcome"], &seen["time_from"]),
        (&json!("INFO"), &json!("unknown"), &json!("received"))
    );

    let typo = acme
        .post("/api/v1/logs", &json!({"action": "VIEW", "sevrity": "ERROR"}))
        .await
        .expect(201);
    assert!(typo["warnings"].to_string().contains("sevrity"), "{typo}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_come_structured_binary_and_in_batches() {
    let acme = App::shared().await.tenant("cloudevents").await;
    let event = |id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "order.paid", "subject": "o-1",
            "time": "2026-03-01T10:00:00Z", "datacontenttype": "application/json", "data": {"amount": 5}})
    };
    let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let answer = acme
        .send(
            Method::POST,
            "/api/v1/logs?wait=indexed",
            &structured,
            event("a").to_string(),
        )
        .await
        .expect(201);
    let seen = acme.arrives(answer["event_id"].as_str().unwrap()).await;
    assert_eq!(
        (&seen["event_type"], &seen["source"]["id"]),
        (&json!("order.paid"), &json!("/shop"))
    );
    assert_eq!(seen["details"]["amount"], 5);

    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "b"),
        ("ce-source", "/shop"),
        ("ce-type", "order.paid"),
        ("ce-time", "2026-03-01T10:00:00Z"),
    ];
    let answer = acme
        .send(Method::POST, "/events?wait=indexed", &binary, r#"{"amount": 6}"#)
        .await
        .expect(201);
    let seen = acme.arrives(answer["event_id"].as_str().unwrap()).await;
    assert_eq!(
        (&seen["source_event_id"], &seen["details"]["amount"]),
        (&json!("b"), &json!(6))
    );

    // The same id from the same source, in another mode of the same protocol, is the same event.
    let again = acme
        .send(Method::POST, "/events", &binary, r#"{"amount": 6}"#)
        .await;
    assert_eq!(again.json()["event_id"], answer["event_id"]);

    let batch = [("content-type", "application/cloudevents-batch+json")];
    let body = json!([event("c"), event("d"), {"specversion": "1.0", "id": "e"}]);
    let answer = acme
        .send(Method::POST, "/events?wait=indexed", &batch, body.to_string())
        .await
        .expect(207);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(acme.found(&[("source_id", "/shop")]).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_item_by_item() {
    let acme = App::shared().await.tenant("bulk").await;
    let event = |n: u32| json!({"event_type": "bulk", "user_id": format!("u{n}")});
    let json_type = [("content-type", "application/json")];
    let post = async |headers: &[(&str, &str)], body: String| {
        acme.send(Method::POST, "/api/v1/logs/bulk?wait=indexed", headers, body)
            .await
    };

    let answer = post(&json_type, json!([event(0), event(1)]).to_string())
        .await
        .expect(200);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(0)));
    let answer = post(&json_type, json!({"logs": [event(2), event(3)]}).to_string())
        .await
        .expect(200);
    assert_eq!(answer["accepted"], 2);
    let lines = format!("{}\n\n{}\n", event(4), event(5));
    let answer = post(&[("content-type", "application/x-ndjson")], lines)
        .await
        .expect(200);
    assert_eq!(answer["accepted"], 2);

    let lines = format!("{}\n{{\"user_id\": }}\n{}\n[]\n", event(6), event(7));
    let answer = post(&[("content-type", "application/x-ndjson")], lines)
        .await
        .expect(207);
    let items = answer["items"].as_array().unwrap();
    let of = |index: usize| {
        (
            items[index]["index"].as_u64().unwrap(),
            items[index]["status"].as_u64().unwrap(),
        )
    };
    assert_eq!(
        [of(0), of(1), of(2), of(3)],
        [(0, 201), (1, 422), (2, 201), (3, 422)]
    );
    assert!(
        items[1]["problem"]["detail"].is_string() && items[1].get("event_id").is_none(),
        "{answer}"
    );

    let found = acme.found(&[("event_type", "bulk"), ("sort", "time")]).await;
    let mut users: Vec<_> = found
        .iter()
        .map(|event| event["actor"]["id"].as_str().unwrap())
        .collect();
    users.sort_unstable();
    assert_eq!(users, ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7"]);

    let compressed = {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(json!([event(8)]).to_string().as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    acme.send(Method::POST, "/api/v1/logs/bulk", &headers, compressed)
        .await
        .expect(200);
    let compressed = zstd::encode_all(json!([event(9)]).to_string().as_bytes(), 1).unwrap();
    let headers = [("content-type", "application/json"), ("content-encoding", "zstd")];
    acme.send(Method::POST, "/api/v1/logs/bulk", &headers, compressed)
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_event_is_in_the_log_and_in_the_metrics() {
    let app = App::shared().await;
    let acme = app.tenant("metrics").await;
    let counter = async |name: &str| -> f64 {
        let text = app.stranger().get("/metrics").await.text();
        let values = text
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        values.sum()
    };
    let before = counter("trailhouse_events_appended").await;
    let projected = counter("trailhouse_events_projected").await;
    acme.take(&json!({"user_id": "ada"})).await;
    assert!(counter("trailhouse_events_appended").await > before);
    until("what was appended is projected", async || {
        counter("trailhouse_events_projected").await > projected
    })
    .await;
    // Sums over instances need buckets, which a summary has not.
    let buckets = ["trailhouse_log_append_seconds", "trailhouse_http_request_seconds"];
    for name in buckets {
        assert!(counter(&format!("{name}_bucket")).await > 0.0, "{name}");
    }
    let ready = app.stranger().get("/readyz").await.expect(200);
    assert_eq!(ready["status"], "ready");
}
