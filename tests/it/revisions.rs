//! Amendments and redactions: reads show the result and how it came about, and what was redacted is nowhere.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shape::expect_shape;
use crate::support::{Answer, App, Caller, unique, until};

const PATCH: [(&str, &str); 1] = [("content-type", "application/merge-patch+json")];

async fn amend(caller: &Caller, id: &str, patch: &Value, headers: &[(&str, &str)]) -> Answer {
    let headers = [&PATCH, headers].concat();
    caller
        .send(
            Method::PATCH,
            &format!("/api/v1/logs/{id}"),
            &headers,
            patch.to_string(),
        )
        .await
}

async fn redact(caller: &Caller, id: &str, parameters: &str) -> Answer {
    let path = format!("/api/v1/logs/{id}?{parameters}");
    caller.send(Method::DELETE, &path, &[], "").await
}

/// How many events a search finds and counts; both must agree.
async fn found(caller: &Caller, parameters: &[(&str, &str)]) -> u64 {
    let page = caller
        .search(&[parameters, &[("count", "true")]].concat())
        .await
        .expect(200);
    let events = page["data"].as_array().unwrap().len() as u64;
    assert_eq!(page["count"], events, "{parameters:?}: {page}");
    events
}

/// Every column of a tenant's rows as they lie in the table, what was revised among them; not of the records of who asked
/// for what, in which the words of a search stand.
async fn lies(app: &App, tenant: &str) -> String {
    app.sql(&format!(
        "SELECT * FROM events WHERE tenant_id = '{tenant}' AND NOT startsWith(event_type, 'trailhouse.') FORMAT JSONEachRow"
    ))
    .await
}

/// What the background does to a month once its mark has settled.
async fn merge(app: &App) {
    app.sql("OPTIMIZE TABLE events FINAL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amended_event_is_found_by_what_it_says_now() {
    let app = App::shared().await;
    let acme = app.tenant("amend").await;
    let (old, new) = (unique("zebra").replace('-', ""), unique("okapi").replace('-', ""));
    let original = json!({
        "event_id": "deed-1", "event_type": "file.moved", "time": "2026-03-04T05:06:07Z", "user_id": "ada",
        "message": format!("moved the {old}"), "details": {"animal": old, "n": 1.10}, "tags": ["a"],
    });
    let id = acme.take(&original).await;
    acme.take(&json!({"event_type": "file.moved", "time": "2026-03-04T05:06:08Z"}))
        .await;
    assert_eq!(
        acme.get(&format!("/api/v1/logs/{id}")).await.header("etag"),
        Some("\"0\"")
    );

    let patch =
        json!({"message": format!("moved the {new}"), "details": {"animal": new}, "actor": {"id": "grace"}});
    let answer = amend(
        &acme,
        &format!("{id}?reason=a%20typo"),
        &patch,
        &[("if-match", "\"0\"")],
    )
    .await;
    let shown = answer.expect(200);
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(shown["details"], json!({"animal": new, "n": 1.10}));
    assert_eq!(
        (&shown["revision"], &shown["actor"]["id"]),
        (&json!(1), &json!("grace"))
    );
    expect_shape(&shown, "amendEvent");
    let history = &shown["amendments"][0];
    for (name, value) in [
        ("number", json!(1)),
        ("kind", json!("amendment")),
        ("reason", json!("a typo")),
    ] {
        assert_eq!(history[name], value, "{shown}");
    }
    assert!(history["by"].is_string() && history["at"].is_string(), "{shown}");
    let change = |path: &str| {
        let changes = history["changes"].as_array().unwrap();
        changes.iter().find(|change| change["path"] == path).cloned()
    };
    assert_eq!(
        change("/details/animal").unwrap(),
        json!({"op": "replace", "path": "/details/animal", "value": new, "old": old})
    );
    assert_eq!(acme.get("/api/v1/logs/deed-1").await.expect(200), shown);

    for merged in [false, true] {
        if merged {
            merge(app).await;
        }
        for (parameters, events) in [
            ([("q", old.as_str())], 0),
            ([("q", new.as_str())], 1),
            ([("details.animal", old.as_str())], 0),
            ([("details.animal", new.as_str())], 1),
            ([("user_id", "ada")], 0),
            ([("user_id", "grace")], 1),
            ([("event_type", "file.moved")], 2),
            ([("user_id!", "ada")], 2),
            ([("tag", "a")], 1),
            ([("from", "2026-03-01")], 2),
        ] {
            assert_eq!(found(&acme, &parameters).await, events, "{parameters:?}");
        }
        let one = acme.found(&[("limit", "1"), ("sort", "time")]).await;
        assert_eq!(
            (one[0]["revision"].clone(), &one[0]["message"]),
            (json!(1), &shown["message"])
        );
        assert!(one[0].get("amendments").is_none(), "{one:?}");
    }
    assert_eq!(
        lies(app, &acme.tenant).await.lines().count(),
        2,
        "the original is gone after the merge"
    );

    // The original sent again is the copy that it is; another content is at odds with the original, not with the result.
    let again = acme.post("/api/v1/logs", &original).await.expect(200);
    assert_eq!(
        (&again["duplicate"], &again["event_id"]),
        (&json!(true), &json!(id))
    );
    let mut other = original.clone();
    other["message"] = shown["message"].clone();
    acme.post("/api/v1/logs", &other).await.problem(409);

    // What changes nothing is no revision, and a wish that comes again is granted once.
    assert_eq!(
        amend(&acme, &id, &json!({"message": shown["message"]}), &[])
            .await
            .expect(200),
        shown
    );
    let key = [("idempotency-key", "wish-1")];
    let first = amend(&acme, &id, &json!({"severity": "WARNING"}), &key)
        .await
        .expect(200);
    assert_eq!(first["revision"], 2);
    assert_eq!(
        amend(&acme, &id, &json!({"severity": "WARNING"}), &key)
            .await
            .expect(200),
        first
    );
    amend(&acme, &id, &json!({"severity": "ERROR"}), &key)
        .await
        .problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_that_changes_nothing_is_a_read_and_recorded() {
    let app = App::shared().await;
    let acme = app.tenant("amended-nothing").await;
    let id = acme.take(&json!({"message": "kept"})).await;
    let key = [("idempotency-key", "wish-1")];
    let reads = async |at_least: usize| {
        until("the reads are found", async || {
            let found = acme
                .found(&[("event_type", "trailhouse.get"), ("resource_id", &id)])
                .await;
            assert!(found.len() <= at_least, "{found:?}");
            found.len() == at_least
        })
        .await;
    };
    // What changes something stands in the event's own history.
    amend(&acme, &id, &json!({"severity": "ERROR"}), &key)
        .await
        .expect(200);
    reads(0).await;
    amend(&acme, &id, &json!({"severity": "ERROR"}), &key)
        .await
        .expect(200);
    amend(&acme, &id, &json!({}), &[]).await.expect(200);
    reads(2).await;

    let wanted = json!({"name": "slow", "roles": ["admin"], "searches_per_second": 1});
    let slow = acme.post("/api/v1/keys", &wanted).await.expect(201);
    let slow = acme.with(slow["key"].as_str());
    until("a read too many", async || {
        let answers = (0..8).map(|_| async { amend(&slow, &id, &json!({}), &[]).await.status.as_u16() });
        futures_util::future::join_all(answers).await.contains(&429)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_redacted_is_nowhere() {
    let app = App::shared().await;
    let acme = app.tenant("redact").await;
    let word = || unique("secret").replace('-', "");
    let (email, agent, stays) = (word(), word(), word());
    let id = acme
        .take(&json!({
            "event_id": "deed-2", "event_type": "mail.sent", "time": "2026-04-04T05:06:07Z", "user_email": format!("{email}@example.org"),
            "message": stays, "details": {"to": [{"email": email}], "n": 1},
        }))
        .await;
    // The value stands in the history of an amendment, too.
    amend(&acme, &id, &json!({"details": {"cc": email}}), &[])
        .await
        .expect(200);
    amend(&acme, &id, &json!({"details": {"cc": null}}), &[])
        .await
        .expect(200);
    let answer = redact(
        &acme,
        &id,
        "reason=asked&field=/actor/email&field=/details/to/0/email&field=/details/cc",
    )
    .await;
    let shown = answer.expect(200);
    assert!(shown["note"].as_str().unwrap().contains("retention"), "{shown}");
    assert_eq!(shown["details"], json!({"to": [{}], "n": 1}));
    assert_eq!(
        (&shown["message"], &shown["revision"]),
        (&json!(stays), &json!(3))
    );
    assert_eq!(
        shown["amendments"][2]["fields"],
        json!(["/actor/email", "/details/to/0/email", "/details/cc"])
    );
    assert_eq!(shown["amendments"][0]["changes"][0]["redacted"], true, "{shown}");

    // The whole of a record from outside, its original included.
    let record = json!({
        "eventVersion": "1.08", "eventID": uuid::Uuid::new_v4(), "eventTime": "2026-04-05T00:00:00Z", "eventName": "GetObject",
        "eventSource": "s3.amazonaws.com", "awsRegion": "eu-west-1", "sourceIPAddress": "192.0.2.7", "userAgent": agent,
        "userIdentity": {"type": "IAMUser", "userName": agent, "arn": format!("arn:aws:iam::1:user/{agent}")},
        "requestParameters": {"key": agent}, "eventType": "AwsApiCall",
    });
    let taken = acme
        .post(
            "/api/v1/logs/bulk?source=aws_cloudtrail&wait=indexed",
            &json!([record]),
        )
        .await
        .expect(200);
    let from_outside = taken["items"][0]["event_id"].as_str().unwrap().to_owned();
    let before = acme
        .get(&format!("/api/v1/logs/{from_outside}"))
        .await
        .expect(200);
    assert!(before["raw"]["text"].as_str().unwrap().contains(&agent));
    let bare = redact(&acme, &from_outside, "reason=gone").await.expect(200);
    expect_shape(&bare, "redactEvent");
    assert_eq!(
        (&bare["event_type"], &bare["raw"]["sha256"]),
        (&before["event_type"], &before["raw"]["sha256"])
    );
    assert_eq!(
        (&bare["raw"]["text"], &bare["raw"]["redacted"]),
        (&json!(""), &json!([""]))
    );
    assert_eq!((&bare["actor"], bare.get("details")), (&json!({}), None));
    // What its source calls it is gone as well, and with it the way to find it by that.
    acme.get(&format!("/api/v1/logs/{}", record["eventID"].as_str().unwrap()))
        .await
        .problem(404);
    // Twice is as good.
    assert_eq!(
        redact(&acme, &from_outside, "reason=gone").await.expect(200)["revision"],
        2
    );

    for merged in [false, true] {
        if merged {
            merge(app).await;
            let lie = lies(app, &acme.tenant).await;
            assert!(
                !lie.contains(&email) && !lie.contains(&agent) && lie.contains(&stays),
                "{lie}"
            );
            assert_eq!(lie.lines().count(), 2);
        }
        for gone in [&email, &agent] {
            for name in [
                "q",
                "details.to.email",
                "details.requestParameters.key",
                "user_agent",
                "actor_name",
                "details.cc",
            ] {
                assert_eq!(found(&acme, &[(name, gone)]).await, 0, "{name}");
            }
        }
        let everything = [
            acme.search(&[("count", "true")]).await.text(),
            acme.get(&format!("/api/v1/logs/{id}")).await.text(),
            acme.get(&format!("/api/v1/logs/{from_outside}")).await.text(),
        ];
        for text in everything {
            assert!(!text.contains(&email) && !text.contains(&agent), "{text}");
        }
    }
    assert_eq!(found(&acme, &[("q", &stays)]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_amend_at_once_none_is_lost() {
    let app = App::shared().await;
    let acme = app.tenant("raced").await;
    let id = acme.take(&json!({"event_type": "raced", "details": {}})).await;
    let writers = (0..6).map(|n| {
        let (acme, id) = (acme.clone(), id.clone());
        tokio::spawn(async move {
            amend(&acme, &id, &json!({"details": {(format!("n{n}")): n}}), &[])
                .await
                .expect(200)
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let now = acme.get(&format!("/api/v1/logs/{id}")).await.expect(200);
    assert_eq!(now["revision"], 6, "{now}");
    assert_eq!(now["details"].as_object().unwrap().len(), 6, "{now}");
    let numbers: Vec<_> = now["amendments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["number"].clone())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6].map(Value::from));

    // Who says what it means to amend is told when that is another one by now.
    let writers = (0..4).map(|n| {
        let (acme, id) = (acme.clone(), id.clone());
        let patch = json!({"message": format!("by {n}")});
        tokio::spawn(async move {
            amend(&acme, &id, &patch, &[("if-match", "\"6\"")])
                .await
                .status
                .as_u16()
        })
    });
    let mut statuses = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        statuses.push(writer.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412]);
    amend(&acme, &id, &json!({"message": "x"}), &[("if-match", "W/\"7\"")])
        .await
        .problem(412);
    amend(&acme, &id, &json!({"message": "x"}), &[("if-match", "\"other\"")])
        .await
        .problem(412);
    assert_eq!(
        amend(&acme, &id, &json!({"message": "x"}), &[("if-match", "*")])
            .await
            .expect(200)["revision"],
        8
    );
    assert_eq!(found(&acme, &[("event_type", "raced")]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_revised_so_is_named() {
    let app = App::shared().await;
    let acme = app.tenant("unrevised").await;
    let id = acme
        .take(&json!({"event_type": "kept", "details": {"a": 1}}))
        .await;
    let patch = json!({"event_id": "x", "tenant_id": "y", "time": 1, "source": {}, "raw": null, "colour": 1, "actor": {"ip": 1}});
    let mut fields = amend(&acme, &id, &patch, &[]).await.fields(422);
    fields.sort();
    assert_eq!(
        fields,
        ["/colour", "/event_id", "/raw", "/source", "/tenant_id", "/time"]
    );
    assert_eq!(
        amend(&acme, &id, &json!({"actor": {"ip": 1}}), &[])
            .await
            .fields(422),
        ["/actor/ip"]
    );
    assert_eq!(
        amend(&acme, &id, &json!({"event_type": "trailhouse.x"}), &[])
            .await
            .fields(422),
        ["/event_type"]
    );
    amend(&acme, &id, &json!([]), &[]).await.problem(422);
    // An amended event is what its type's schema allows; a redacted one may lack what that asks for.
    let schema = json!({"properties": {"details": {"required": ["a"]}}, "required": ["details"]});
    let put = acme
        .send(
            Method::PUT,
            "/api/v1/schemas/kept",
            &[("content-type", "application/json")],
            schema.to_string(),
        )
        .await;
    assert!(put.status.is_success(), "{}", put.text());
    assert_eq!(
        amend(&acme, &id, &json!({"details": {"a": null, "b": 1}}), &[])
            .await
            .fields(422),
        ["/details"]
    );
    let path = format!("/api/v1/logs/{id}");
    acme.send(Method::PATCH, &path, &[("content-type", "text/plain")], "{}")
        .await
        .problem(415);
    acme.send(Method::PATCH, &path, &PATCH, "{\"message\": ")
        .await
        .problem(422);
    assert_eq!(
        amend(&acme, &format!("{id}?colour=1"), &json!({}), &[])
            .await
            .fields(400),
        ["colour"]
    );

    for (parameters, field) in [
        ("", "reason"),
        ("reason=", "reason"),
        ("reason=%20", "reason"),
        ("reason=x&reason=y", "reason"),
        ("reason=x&field=/details/b", "field"),
        ("reason=x&field=details", "field"),
        ("reason=x&field=/time", "field"),
        ("reason=x&fields=/details", "fields"),
    ] {
        assert_eq!(
            redact(&acme, &id, parameters).await.fields(400),
            [field],
            "{parameters}"
        );
    }
    let long = format!("reason={}", "x".repeat(1001));
    assert_eq!(redact(&acme, &id, &long).await.fields(400), ["reason"]);
    let nobody = "00000000-0000-4000-8000-000000000000";
    amend(&acme, nobody, &json!({"message": "x"}), &[])
        .await
        .problem(404);
    redact(&acme, nobody, "reason=x").await.problem(404);
    // Another tenant's is nobody's; who only reads may not.
    let eve = app.tenant("eve").await;
    amend(&eve, &id, &json!({"message": "x"}), &[]).await.problem(404);
    redact(&eve, &id, &format!("reason=x&tenant_id={}", acme.tenant))
        .await
        .problem(403);
    let auditor = app.key(&acme.tenant, &["auditor"]).await;
    amend(&auditor, &id, &json!({"message": "x"}), &[])
        .await
        .problem(403);
    // An operator says whose it means.
    let operator = app.operator().await;
    let named = format!("{id}?tenant_id={}", acme.tenant);
    assert_eq!(
        amend(&operator, &named, &json!({"message": "x"}), &[])
            .await
            .expect(200)["revision"],
        1
    );
    assert_eq!(acme.get(&path).await.expect(200)["revision"], 1);
    let redacted = redact(&acme, &id, "reason=x&field=/details/a").await.expect(200);
    assert_eq!(redacted["details"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_and_a_kill_leave_the_result() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("rebuilt").await;
    let secret = unique("secret").replace('-', "");
    let mut ids = Vec::new();
    for n in 0..20 {
        let time = 1_780_000_000 + n * 400_000;
        ids.push(acme.take(&json!({"event_type": "r", "time": time, "message": format!("{secret} {n}"), "details": {"n": n}})).await);
    }
    for id in &ids[..8] {
        amend(&acme, id, &json!({"details": {"amended": true}}), &[])
            .await
            .expect(200);
    }
    for id in &ids[4..12] {
        redact(&acme, id, "reason=x&field=/message").await.expect(200);
    }
    let rows = async || {
        app.sql("SELECT * EXCEPT(provenance), log_offset FROM events FINAL WHERE event_type = 'r' ORDER BY time, event_id FORMAT JSONEachRow").await
    };
    let before = rows().await;
    assert_eq!(before.lines().count(), 20);
    let holds = async || {
        let ran = app.run(&["verify"]).await;
        assert!(ran.ok, "{}{}", ran.out, ran.err);
    };
    holds().await;
    merge(&app).await;
    holds().await;
    for table in [
        None,
        Some("TRUNCATE TABLE events"),
        Some("DROP TABLE events SYNC"),
    ] {
        if let Some(statement) = table {
            app.sql(statement).await;
        }
        let rebuilt = app.run(&["rebuild"]).await;
        assert!(rebuilt.ok, "{}{}", rebuilt.out, rebuilt.err);
        assert_eq!(rows().await, before);
        assert_eq!(found(&acme, &[("details.amended", "true")]).await, 8);
        assert_eq!(found(&acme, &[("q", &secret)]).await, 12);
        holds().await;
    }

    // Killed while revisions go on: what was acknowledged stands, once.
    let writer = {
        let (acme, ids) = (acme.clone(), ids.clone());
        tokio::spawn(async move {
            let mut acked = Vec::new();
            for round in 0.. {
                let patch = json!({"details": {"round": round}}).to_string();
                let id = ids[round % ids.len()].clone();
                let path = format!("/api/v1/logs/{id}");
                match acme.try_send(Method::PATCH, &path, &PATCH, patch).await {
                    Ok(answer) if answer.status == 200 => acked.push((id, round)),
                    Ok(answer) => panic!("{}", answer.text()),
                    // It was killed.
                    Err(_) => break,
                }
            }
            acked
        })
    };
    until("some are amended", async || {
        let last = acme.get(&format!("/api/v1/logs/{}", ids[19])).await.expect(200);
        last["details"].get("round").is_some()
    })
    .await;
    app.kill9().await;
    let acked = writer.await.unwrap();
    app.start().await;
    let mut last = std::collections::BTreeMap::new();
    for (id, round) in acked {
        last.insert(id, round);
    }
    for (id, round) in last {
        let event = acme.arrives(&id).await;
        let stands = event["details"]["round"].as_u64().unwrap();
        // One that was not answered any more may have been appended all the same.
        assert!(stands >= round as u64, "{round}: {event}");
    }
    until("the log is projected", async || app.run(&["verify"]).await.ok).await;
    assert_eq!(found(&acme, &[("event_type", "r")]).await, 20);
    merge(&app).await;
    assert_eq!(
        app.sql("SELECT count() FROM events WHERE event_type = 'r'").await,
        "20"
    );
    holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_page_shows_what_counts_however_often_an_event_was_revised() {
    let app = App::shared().await;
    let acme = app.tenant("smallest").await;
    let secret = unique("secret");
    // The newest event of the tenant: what the server writes of itself is left out.
    let id = acme.take(&json!({"event_type": "r", "message": secret})).await;
    for n in 0..4 {
        amend(&acme, &id, &json!({"details": {"n": n}}), &[])
            .await
            .expect(200);
    }
    redact(&acme, &id, "reason=x&field=/message").await.expect(200);
    for parameters in [
        &[("limit", "1")][..],
        &[("limit", "2")],
        &[("limit", "1"), ("event_type", "r")],
    ] {
        let found = acme.found(parameters).await;
        assert_eq!(found.len(), 1, "{parameters:?}: {found:?}");
        assert_eq!(
            (&found[0]["revision"], &found[0]["details"]["n"]),
            (&json!(5), &json!(3))
        );
        assert!(!found[0].to_string().contains(&secret), "{parameters:?}");
    }
}
