//! A grant's limit holds whatever is asked and however, and saved searches are asked again in other words.

use serde_json::{Value, json};

use crate::support::deeds::deeds;
use crate::support::{App, Caller, unique};

/// A key of the tenant that reads what the limit lets through.
async fn limited(acme: &Caller, role: &str, limit: &str) -> Caller {
    let wanted = json!({"name": "limited", "roles": [role], "limit": limit});
    let made = acme.post("/api/v1/keys", &wanted).await.expect(201);
    acme.with(made["key"].as_str())
}

fn amounts(events: &[Value]) -> Vec<u64> {
    let mut amounts: Vec<u64> = events
        .iter()
        .map(|event| event["details"]["amount"].as_u64().unwrap())
        .collect();
    amounts.sort_unstable();
    amounts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_on_every_way_to_events() {
    let app = App::shared().await;
    let acme = app.tenant("limited").await;
    deeds(&acme, 60).await;
    let all = acme.found(&[("limit", "1000")]).await;
    let id = |n: u64| {
        let event = all.iter().find(|event| event["details"]["amount"] == n).unwrap();
        event["event_id"].as_str().unwrap().to_owned()
    };
    let auditor = limited(
        &acme,
        "auditor",
        "event_type=user.login&user_id!=user0&details.amount[lt]=50",
    )
    .await;
    let seen: Vec<u64> = (0..50).filter(|n| n % 3 == 0 && n % 5 != 0).collect();

    let found = auditor
        .search(&[("limit", "1000"), ("count", "true")])
        .await
        .expect(200);
    assert_eq!(amounts(found["data"].as_array().unwrap()), seen);
    assert_eq!(found["count"], seen.len());
    // What is asked narrows, and never widens.
    for (name, value) in [
        ("user_id", "user0"),
        ("event_type", "document.update"),
        ("include", "system"),
        ("request_id", "r10"),
    ] {
        let found = amounts(&auditor.found(&[(name, value), ("limit", "1000")]).await);
        assert!(found.iter().all(|n| seen.contains(n)), "{name}: {found:?}");
    }
    auditor.get(&format!("/api/v1/logs/{}", id(3))).await.expect(200);
    for hidden in [1, 0, 51] {
        auditor
            .get(&format!("/api/v1/logs/{}", id(hidden)))
            .await
            .problem(404);
    }
    let stats = auditor.get("/api/v1/logs/stats?interval=day&group_by=event_type&distinct=actor.id&new_types_since=2026-01-01").await.expect(200);
    assert_eq!(
        (&stats["total"], &stats["distinct"]["actor.id"]),
        (&json!(seen.len()), &json!(4))
    );
    assert_eq!(stats["groups"].as_array().unwrap().len(), 1);
    assert_eq!(stats["new_types"][0]["count"], seen.len());
    let exported = auditor.get("/api/v1/logs/export").await.text();
    let exported: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(amounts(&exported), seen);
    let story = auditor
        .get("/api/v1/logs/correlate?trace_id=t1")
        .await
        .expect(200);
    assert_eq!(
        (
            amounts(story["data"].as_array().unwrap()),
            &story["summary"]["count"]
        ),
        (vec![12, 18], &json!(2))
    );

    // A cursor of the whole tenant is none of the limited one's, nor the other way round.
    for (of, by) in [(&acme, &auditor), (&auditor, &acme)] {
        let page = of.search(&[("limit", "2")]).await.expect(200);
        let cursor = page["next_cursor"].as_str().unwrap();
        by.search(&[("limit", "2"), ("cursor", cursor)])
            .await
            .problem(400);
    }
    for limit in ["limit=5", "usr_id=x", "tenant_id=other", ""] {
        let wanted = json!({"name": "limited", "roles": ["auditor"], "limit": limit});
        acme.post("/api/v1/keys", &wanted).await.problem(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replaced_an_event_decides_who_sees_it() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("replaced").await;
    deeds(&acme, 6).await;
    let all = acme.found(&[]).await;
    app.sql("SYSTEM STOP MERGES events").await;
    app.sql("INSERT INTO dirty_months SELECT 202601, true, now64(6, 'UTC')")
        .await;
    // The third of them turns out to be secret.
    app.sql(&format!(
        "INSERT INTO events SELECT * REPLACE (9223372036854775808 AS version, ['secret'] AS tags) \
         FROM events WHERE tenant_id = '{}' AND request_id = 'r2'",
        acme.tenant
    ))
    .await;
    let auditor = limited(&acme, "auditor", "tag!=secret").await;
    assert_eq!(amounts(&auditor.found(&[]).await), [0, 1, 3, 4, 5]);
    let secret = all.iter().find(|event| event["details"]["amount"] == 2).unwrap();
    let path = format!("/api/v1/logs/{}", secret["event_id"].as_str().unwrap());
    auditor.get(&path).await.problem(404);
    assert_eq!(acme.get(&path).await.expect(200)["tags"], json!(["secret"]));
    assert_eq!(auditor.get("/api/v1/logs/stats").await.expect(200)["total"], 5);
    assert_eq!(auditor.get("/api/v1/logs/export").await.text().lines().count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_search_is_asked_by_its_id() {
    let app = App::shared().await;
    let acme = app.tenant("saved").await;
    deeds(&acme, 30).await;
    let wanted = json!({"name": unique("failures"), "query": "outcome=failure&user_id=user1&user_id=user3&sort=time&limit=2"});
    let saved = acme.post("/api/v1/searches", &wanted).await.expect(201);
    let id = saved["id"].as_str().unwrap();
    let first = acme.search(&[("saved", id)]).await.expect(200);
    assert_eq!(amounts(first["data"].as_array().unwrap()), [1, 3]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = acme
        .search(&[("saved", id), ("cursor", cursor)])
        .await
        .expect(200);
    assert_eq!(amounts(next["data"].as_array().unwrap()), [11, 13]);
    let steered = acme
        .search(&[
            ("saved", id),
            ("sort", "-time"),
            ("limit", "1"),
            ("action", "LOGIN"),
        ])
        .await
        .expect(200);
    assert_eq!(amounts(steered["data"].as_array().unwrap()), [21]);
    // What it says of its pages is no matter of numbers or files.
    let stats = acme.get(&format!("/api/v1/logs/stats?saved={id}")).await;
    assert_eq!(stats.expect(200)["total"], 6);
    let export = acme.get(&format!("/api/v1/logs/export?saved={id}")).await;
    assert_eq!(export.text().lines().count(), 6);

    let clash = acme.search(&[("saved", id), ("user_id", "user2")]).await;
    assert_eq!(clash.fields(400), ["user_id"]);
    for wrong in ["nosuch", ""] {
        assert_eq!(acme.search(&[("saved", wrong)]).await.fields(400), ["saved"]);
    }
    assert_eq!(
        acme.search(&[("saved", id), ("saved", id)]).await.fields(400),
        ["saved"]
    );
    let eve = app.tenant("saved-eve").await;
    assert_eq!(
        eve.search(&[("saved", id)]).await.fields(400),
        ["saved"],
        "it is none of theirs"
    );
}
