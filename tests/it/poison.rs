//! A record that ClickHouse refuses: it is found among its neighbours and rejected, and they go in.

use serde_json::json;

use crate::support::{App, until, until_some};

#[tokio::test(flavor = "multi_thread")]
async fn what_clickhouse_refuses_stops_nobody_and_comes_back_with_a_rebuild() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("poison").await;
    acme.take(&json!({"action": "VIEW", "event_type": "before"}))
        .await;
    app.sql("ALTER TABLE events ADD CONSTRAINT no_poison CHECK event_type != 'poison'")
        .await;

    // Old enough and of several months: many inserts, each with its own bad ones.
    let event = |n: usize| {
        let kind = if n % 17 == 3 { "poison" } else { "food" };
        json!({"event_id": format!("n-{n}"), "event_type": kind, "time": 1_700_000_000 + 400_000 * n})
    };
    let events: Vec<_> = (0..120).map(event).collect();
    let poisoned = events
        .iter()
        .filter(|event| event["event_type"] == "poison")
        .count();
    let answer = acme.post("/api/v1/logs/bulk", &json!(events)).await.expect(200);
    assert_eq!(
        answer["accepted"],
        events.len(),
        "what the log has is acknowledged"
    );

    until("all others are found", async || {
        let counted = acme
            .search(&[("event_type", "food"), ("count", "true"), ("limit", "1")])
            .await
            .expect(200);
        counted["count"] == events.len() - poisoned
    })
    .await;
    let rejected = until_some("the bad ones are in audit.rejected", async || {
        let rejected = app.rejected(&acme.tenant).await;
        (rejected.len() >= poisoned).then_some(rejected)
    })
    .await;
    assert_eq!(rejected.len(), poisoned);
    for record in &rejected {
        assert_eq!(record["reason"], "unstorable");
        assert!(
            record["origin"].as_str().unwrap().starts_with("audit.events/"),
            "{record}"
        );
        assert!(
            record["detail"].as_str().unwrap().contains("no_poison"),
            "{record}"
        );
    }
    assert!(acme.found(&[("event_type", "poison")]).await.is_empty());
    // What comes later goes in as before.
    acme.take(&json!({"action": "VIEW", "event_type": "after"})).await;
    let ran = app.run(&["verify"]).await;
    assert!(
        ran.ok,
        "what is in audit.rejected is not missing: {}{}",
        ran.out, ran.err
    );

    app.sql("ALTER TABLE events DROP CONSTRAINT no_poison").await;
    let ran = app.run(&["rebuild"]).await;
    assert!(ran.ok, "{}{}", ran.out, ran.err);
    assert_eq!(acme.found(&[("event_type", "poison")]).await.len(), poisoned);
}
