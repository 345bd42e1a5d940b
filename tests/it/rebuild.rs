//! The table is what the log says: told by `verify`, and made so again by `rebuild`.

use serde_json::json;

use crate::support::{App, Caller, until};

const COLUMNS: &str = "tenant_id, time, event_id, received_at, time_offset, time_from, source_event_id, event_type, action, \
    severity, outcome, actor_id, session_id, ip, resource_id, message, before, after, details, details_types, tags, source, \
    source_id, provenance, raw, raw_sha256, log_id, log_partition, version";

/// Every row, in full; but for the records of who asked, of which each question makes one more.
async fn rows(app: &App) -> Vec<String> {
    let statement = format!(
        "SELECT {COLUMNS} FROM events FINAL WHERE NOT startsWith(event_type, 'trailhouse.') ORDER BY tenant_id, time, event_id FORMAT JSONEachRow"
    );
    app.sql(&statement).await.lines().map(str::to_owned).collect()
}

async fn write(acme: &Caller, from: usize, to: usize) {
    let event = |n: usize| {
        json!({
            "event_id": format!("n-{}", n % 150), "event_type": "rebuild", "time": 1_690_000_000 + 50_000 * (n % 150),
            "message": if n == 200 { "another content" } else { "the same" }, "before": {"n": 1}, "after": {"n": [2, "ß"]},
            "details": {"n": n % 150, "deep": {"er": [1, {"a": "b"}]}}, "tags": ["x", "y"], "ip_address": "192.0.2.1",
        })
    };
    let events: Vec<_> = (from..to).map(event).collect();
    for part in events.chunks(37) {
        let answer = acme.post("/api/v1/logs/bulk?wait=indexed", &json!(part)).await;
        assert!(matches!(answer.status.as_u16(), 200 | 207), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_the_same_rows_and_verify_sees_what_is_missing() {
    let app = App::start_with(&[]).await;
    let (acme, beta) = (app.tenant("rebuilt").await, app.tenant("beside").await);
    // Copies and one conflict among them.
    write(&acme, 0, 260).await;
    write(&beta, 0, 80).await;
    for n in 0..30 {
        beta.take(&json!({"n": n})).await;
    }
    let before = rows(&app).await;
    assert_eq!(before.len(), 150 + 80 + 30);
    verifies(&app, true).await;

    // Beside the serving table, while searches and writes go on.
    let (rebuilt, ()) = tokio::join!(app.run(&["rebuild"]), async {
        for n in 0..30 {
            let counted = acme
                .search(&[("count", "true"), ("limit", "1")])
                .await
                .expect(200);
            assert_eq!(counted["count"], 150);
            let late = json!({"event_id": format!("late-{n}"), "event_type": "late"});
            beta.post("/api/v1/logs", &late).await.expect(201);
        }
    });
    assert!(rebuilt.ok, "{}{}", rebuilt.out, rebuilt.err);
    assert!(
        rebuilt.err.contains("reading the log: "),
        "nobody knows how far it is: {}",
        rebuilt.err
    );
    until("the late ones are found", async || {
        beta.found(&[("event_type", "late")]).await.len() == 30
    })
    .await;
    let after = rows(&app).await;
    let of_before: Vec<_> = after
        .iter()
        .filter(|row| !row.contains("\"event_type\":\"late\""))
        .cloned()
        .collect();
    assert_eq!(of_before, before);
    verifies(&app, true).await;

    // A row is gone: that is seen, and mended.
    app.sql(&format!(
        "ALTER TABLE events DELETE WHERE tenant_id = '{}' AND source_event_id = 'n-7' SETTINGS mutations_sync = 1",
        acme.tenant
    ))
    .await;
    let said = verifies(&app, false).await;
    assert!(said.contains("missing 1") && said.contains("rebuild"), "{said}");
    let rebuilt = app.run(&["rebuild"]).await;
    assert!(rebuilt.ok, "{}{}", rebuilt.out, rebuilt.err);
    assert_eq!(rows(&app).await, after);

    // The table is gone, with everything in it.
    app.sql("DROP TABLE events").await;
    let rebuilt = app.run(&["rebuild"]).await;
    assert!(rebuilt.ok, "{}{}", rebuilt.out, rebuilt.err);
    assert_eq!(rows(&app).await, after);
    verifies(&app, true).await;
    assert_eq!(acme.arrives("n-149").await["message"], "the same");
    beta.take(&json!({"event_id": "and on", "action": "VIEW"})).await;

    // As a merge leaves copies that stand too far apart for the seen window: the row of the earlier one.
    let earlier = "INSERT INTO events SELECT * REPLACE (version + 1 AS version) FROM events";
    app.sql(&format!(
        "{earlier} WHERE tenant_id = '{}' AND source_event_id = 'n-100'",
        acme.tenant
    ))
    .await;
    app.sql("OPTIMIZE TABLE events FINAL").await;
    let said = verifies(&app, true).await;
    assert!(
        said.contains("missing 0") && said.contains("later copies 1"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_rebuild_runs_at_a_time_and_what_a_killed_one_left_is_discarded_on_a_word() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("rebuilt").await;
    write(&acme, 0, 200).await;
    let before = rows(&app).await;

    let both = tokio::join!(app.run(&["rebuild"]), app.run(&["rebuild"]));
    let both = [both.0, both.1];
    assert!(both.iter().any(|ran| ran.ok), "{both:?}");
    for ran in both.iter().filter(|ran| !ran.ok) {
        assert!(
            ran.err.contains("another rebuild is running (begun at"),
            "{ran:?}"
        );
    }
    assert_eq!(rows(&app).await, before);

    app.sql("CREATE TABLE events_rebuild AS events COMMENT 'begun at some time'")
        .await;
    let refused = app.run(&["rebuild"]).await;
    assert!(
        !refused.ok && refused.err.contains("(begun at some time)") && refused.err.contains("--force"),
        "{refused:?}"
    );
    let left = app
        .sql("SELECT comment FROM system.tables WHERE name = 'events_rebuild'")
        .await;
    assert_eq!(left, "begun at some time", "who refuses discards nothing");
    let forced = app.run(&["rebuild", "--force"]).await;
    assert!(forced.ok, "{forced:?}");
    assert_eq!(rows(&app).await, before);
    verifies(&app, true).await;
}

async fn verifies(app: &App, holds: bool) -> String {
    let ran = app.run(&["verify"]).await;
    assert_eq!(ran.ok, holds, "{}{}", ran.out, ran.err);
    ran.out
}
