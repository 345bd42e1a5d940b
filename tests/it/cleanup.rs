//! Clean-ups: what happened before a moment is shown to nobody from then on, whatever is rebuilt or sent again.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shape::expect_shape;
use crate::support::{Answer, App, Caller, until};

async fn clean_up(caller: &Caller, parameters: &str) -> Answer {
    let path = format!("/api/v1/logs/cleanup?{parameters}");
    caller.send(Method::DELETE, &path, &[], "").await
}

async fn count(caller: &Caller, parameters: &[(&str, &str)]) -> Value {
    let page = caller
        .search(&[parameters, &[("count", "true")]].concat())
        .await
        .expect(200);
    assert_eq!(page["count"], page["data"].as_array().unwrap().len(), "{page}");
    page["count"].clone()
}

fn event(n: usize) -> Value {
    json!({"event_id": format!("day-{n}"), "event_type": "day", "time": format!("2026-03-{:02}T12:00:00Z", n + 1), "message": format!("day {n}")})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cleaned_up_is_seen_by_nobody() {
    let app = App::start_with(&[]).await;
    let (acme, beta) = (app.tenant("cleaned").await, app.tenant("kept").await);
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(acme.take(&event(n)).await);
    }
    beta.take(&event(0)).await;
    let patch = [("content-type", "application/json")];
    let amended = json!({"message": "amended"}).to_string();
    for id in [&ids[3], &ids[15]] {
        let path = format!("/api/v1/logs/{id}");
        acme.send(Method::PATCH, &path, &patch, amended.clone())
            .await
            .expect(200);
    }

    // Counted first, and nothing happens.
    let before = "before=2026-03-11T00:00:00Z";
    let dry = clean_up(&acme, &format!("{before}&dry_run=true"))
        .await
        .expect(200);
    assert_eq!(
        (&dry["events"], &dry["dry_run"], dry.get("visible_from")),
        (&json!(10), &json!(true), None),
        "{dry}"
    );
    assert_eq!(count(&acme, &[]).await, 20);

    let done = clean_up(&acme, before).await.expect(200);
    assert_eq!(
        (&done["events"], &done["dry_run"]),
        (&json!(10), &json!(false)),
        "{done}"
    );
    expect_shape(&done, "cleanUpEvents");
    assert_eq!(done["visible_from"], "2026-03-11T00:00:00Z");
    assert!(done["note"].as_str().unwrap().contains("retention"), "{done}");
    let views = "SELECT toString(max(visible_from)) FROM visible_from WHERE tenant_id = ";
    let told = app.sql(&format!("{views}'{}'", acme.tenant)).await;
    assert_eq!(told, "2026-03-11 00:00:00.000000");

    let seen = async || {
        assert_eq!(count(&acme, &[]).await, 10);
        assert_eq!(
            count(&acme, &[("from", "2026-03-01"), ("to", "2026-03-11")]).await,
            0
        );
        assert_eq!(count(&acme, &[("q", "amended")]).await, 1);
        acme.get(&format!("/api/v1/logs/{}", ids[3])).await.problem(404);
        acme.get("/api/v1/logs/day-4").await.problem(404);
        acme.get("/api/v1/logs/day-15").await.expect(200);
        assert_eq!(count(&beta, &[]).await, 1);
    };
    seen().await;
    // Their rows go as well, and only theirs.
    let rows = format!(
        "SELECT count() FROM events WHERE tenant_id = '{}' AND event_type = 'day' AND time < '2026-03-11'",
        acme.tenant
    );
    until("the rows are deleted", async || app.sql(&rows).await == "0").await;
    seen().await;

    // What would never be seen is not taken, and neither is it revised.
    assert_eq!(acme.post("/api/v1/logs", &event(4)).await.fields(422), ["/time"]);
    assert_eq!(
        acme.post("/api/v1/logs", &event(15)).await.expect(200)["duplicate"],
        true
    );
    acme.send(
        Method::PATCH,
        &format!("/api/v1/logs/{}", ids[3]),
        &patch,
        amended.clone(),
    )
    .await
    .problem(404);

    // It holds for verify, after a rebuild, and after a restart.
    let holds = async || {
        let ran = app.run(&["verify"]).await;
        assert!(
            ran.ok && ran.out.contains("cleaned up "),
            "{}{}",
            ran.out,
            ran.err
        );
    };
    holds().await;
    let rebuilt = app.run(&["rebuild"]).await;
    assert!(rebuilt.ok, "{}{}", rebuilt.out, rebuilt.err);
    assert_eq!(app.sql(&rows).await, "0", "a rebuild brings nothing back");
    seen().await;
    holds().await;
    app.kill9().await;
    app.start().await;
    until("searches work again", async || {
        acme.search(&[]).await.status == 200
    })
    .await;
    seen().await;

    // An earlier moment brings nothing back; an operator says whose events are meant.
    let again = clean_up(&acme, "before=2026-03-05").await.expect(200);
    assert_eq!(
        (&again["events"], &again["visible_from"]),
        (&json!(0), &done["visible_from"])
    );
    let operator = app.operator().await;
    let of_acme = format!("before=2026-03-12&tenant_id={}", acme.tenant);
    assert_eq!(clean_up(&operator, &of_acme).await.expect(200)["events"], 1);
    assert_eq!(count(&acme, &[]).await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_up_that_nobody_can_mean_is_refused() {
    let app = App::shared().await;
    let acme = app.tenant("unclean").await;
    for (parameters, field) in [
        ("", "before"),
        ("before=soon", "before"),
        ("before=2999-01-01", "before"),
        ("before=1969-01-01", "before"),
        ("before=2026-01-01&before=2026-01-02", "before"),
        ("before=2026-01-01&dry_run=maybe", "dry_run"),
        ("before=2026-01-01&after=2026-01-01", "after"),
    ] {
        assert_eq!(
            clean_up(&acme, parameters).await.fields(400),
            [field],
            "{parameters}"
        );
    }
    let auditor = app.key(&acme.tenant, &["auditor"]).await;
    // To count is to read.
    clean_up(&acme, "before=2026-01-01&dry_run=true")
        .await
        .expect(200);
    until("the count is found", async || {
        let found = acme.found(&[("event_type", "trailhouse.stats")]).await;
        let asked = json!({"before": "2026-01-01", "dry_run": "true"});
        found.iter().any(|event| event["details"]["query"] == asked)
    })
    .await;
    clean_up(&auditor, "before=2026-01-01&dry_run=true")
        .await
        .problem(403);
    let eve = app.tenant("eve").await;
    clean_up(&eve, &format!("before=2026-01-01&tenant_id={}", acme.tenant))
        .await
        .problem(403);
}
