//! The same event, however often it comes and whichever way: it is one event, and the first copy counts.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::PASSWORD;
use crate::support::{App, Caller, unique, until, until_some};

fn now(minus_seconds: i64) -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap() - minus_seconds * 1_000
}

/// How many events of this id a search sees.
async fn seen(acme: &Caller, id: &str) -> usize {
    let name = if Uuid::try_parse(id).is_ok() {
        "event_id"
    } else {
        "source_event_id"
    };
    acme.found(&[(name, id)]).await.len()
}

async fn conflicts(app: &App, acme: &Caller) -> Vec<Value> {
    let mut rejected = app.rejected(&acme.tenant).await;
    rejected.retain(|record| record["reason"] == "id_conflict");
    rejected
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_copy_counts_and_another_content_is_kept_as_a_conflict() {
    let app = App::shared().await;
    let acme = app.tenant("conflict").await;
    // Ids of each kind, without a time, with a fresh one and with an old one.
    let ids = || {
        [
            Uuid::new_v4().to_string(),
            Uuid::now_v7().to_string(),
            Uuid::now_v7().simple().to_string() + "-mine",
        ]
    };
    let mut cases = Vec::new();
    for time in [None, Some(now(1)), Some(now(90)), Some(now(40_000_000))] {
        for id in ids() {
            cases.push((id, time));
        }
    }
    let event = |id: &str, time: Option<i64>, message: &str| match time {
        None => json!({"event_id": id, "message": message}),
        Some(time) => json!({"event_id": id, "message": message, "time": time}),
    };
    for (id, time) in &cases {
        acme.take(&event(id, *time, "the first")).await;
    }
    for (id, time) in &cases {
        let answer = acme.post("/api/v1/logs", &event(id, *time, "the second")).await;
        // What is old is looked up at the door, what is fresh is seen by the projector.
        match answer.status.as_u16() {
            201 => {}
            _ => assert!(
                answer.problem(409)["type"]
                    .as_str()
                    .unwrap()
                    .ends_with("id_conflict")
            ),
        }
    }
    // Both in one batch, and the same id with another time.
    let (id, other) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let batch = json!([event(&id, None, "the first"), event(&id, None, "the second")]);
    acme.post("/api/v1/logs/bulk?wait=indexed", &batch)
        .await
        .expect(200);
    acme.take(&event(&other, Some(now(3)), "the first")).await;
    acme.post("/api/v1/logs", &event(&other, Some(now(2)), "the first"))
        .await
        .expect(201);
    // Months later, with an older time and with a later one.
    let moved = Uuid::new_v4().to_string();
    acme.take(&event(&moved, Some(now(40_000_000)), "the first"))
        .await;
    for time in [now(50_000_000), now(20_000_000)] {
        acme.post("/api/v1/logs", &event(&moved, Some(time), "the first"))
            .await
            .problem(409);
    }
    cases.extend([(id, None), (other, None), (moved, None)]);

    let kept = until_some("each second copy is in audit.rejected", async || {
        let kept = conflicts(app, &acme).await;
        (kept.len() > cases.len()).then_some(kept)
    })
    .await;
    assert_eq!(kept.len(), cases.len() + 1, "one was sent three times");
    // What the projector met with stands there in Avro, and is shown as the event that it is.
    let shown = kept
        .iter()
        .filter(|record| record["event"]["message"] == "the second");
    assert!(shown.count() > 0, "{kept:?}");
    for (id, time) in &cases {
        assert_eq!(acme.arrives(id).await["message"], "the first", "{id} {time:?}");
        assert_eq!(seen(&acme, id).await, 1, "{id} {time:?}");
    }
    let counted = acme.search(&[("count", "true")]).await.expect(200);
    assert_eq!(counted["count"], cases.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_copies_are_one_event_and_no_conflict() {
    let app = App::shared().await;
    let acme = app.tenant("equal").await;
    let fresh = json!({"event_id": "fresh-1", "user_id": "ada", "details": {"a": 1, "b": 2}});
    let first = acme.take(&fresh).await;
    // The order of keys says nothing.
    let again = json!({"details": {"b": 2, "a": 1}, "user_id": "ada", "event_id": "fresh-1"});
    assert_eq!(acme.take(&again).await, first);
    acme.post("/api/v1/logs/bulk?wait=indexed", &json!([fresh, again, fresh]))
        .await
        .expect(200);
    assert_eq!(seen(&acme, "fresh-1").await, 1);

    let old = json!({"event_id": "old-1", "time": "2020-02-03T04:05:06Z", "user_id": "ada"});
    let first = acme.post("/api/v1/logs?wait=indexed", &old).await.expect(201);
    let second = acme.post("/api/v1/logs?wait=indexed", &old).await.expect(200);
    assert_eq!(
        (&second["event_id"], &second["duplicate"]),
        (&first["event_id"], &json!(true))
    );
    let batch = acme
        .post("/api/v1/logs/bulk", &json!([old, old]))
        .await
        .expect(200);
    assert_eq!(batch["items"][1]["duplicate"], true, "{batch}");
    assert_eq!(seen(&acme, "old-1").await, 1);

    let keyed = |key: &'static str, body: Value| {
        let acme = acme.clone();
        async move {
            let headers = [("content-type", "application/json"), ("idempotency-key", key)];
            let path = if body.is_array() {
                "/api/v1/logs/bulk?wait=indexed"
            } else {
                "/api/v1/logs?wait=indexed"
            };
            acme.send(Method::POST, path, &headers, body.to_string())
                .await
                .json()
        }
    };
    let first = keyed("deed-1", json!({"action": "PAY"})).await;
    let second = keyed("\"deed-1\"", json!({"action": "PAY"})).await;
    assert_eq!(first["event_id"], second["event_id"]);
    let other = keyed("deed-2", json!({"action": "PAY"})).await;
    assert_ne!(first["event_id"], other["event_id"]);
    let bulk = json!([{"action": "PAY"}, {"action": "PAY"}]);
    let (first, second) = (keyed("deeds", bulk.clone()).await, keyed("deeds", bulk).await);
    let ids = |answer: &Value| -> Vec<Value> {
        answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["event_id"].clone())
            .collect()
    };
    assert_eq!(ids(&first), ids(&second));
    assert_ne!(ids(&first)[0], ids(&first)[1]);
    until("four payments are found", async || {
        acme.found(&[("action", "PAY")]).await.len() == 4
    })
    .await;
    assert!(conflicts(app, &acme).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_of_an_outside_source_are_kept_without_their_secrets_and_stay_where_they_are() {
    const RECORDS: usize = 150;
    let app = App::shared().await;
    let acme = app.tenant("redacted").await;
    let secret = unique("secret");
    let records = |name: &str| -> Value {
        (0..RECORDS)
            .map(|n| {
                json!({
                    "eventVersion": "1.08", "awsRegion": "eu-west-1", "eventSource": "sts.amazonaws.com",
                    "eventName": name, "eventTime": "2020-02-03T04:05:06Z",
                    "eventID": format!("00000000-0000-4000-8000-{n:012}"),
                    "userIdentity": {"type": "IAMUser", "userName": "ada"},
                    "responseElements": {"credentials": {"sessionToken": secret}},
                })
            })
            .collect()
    };
    let path = "/api/v1/logs/bulk?source=aws_cloudtrail&wait=indexed";
    acme.post(path, &records("AssumeRole")).await.expect(200);
    let second = acme.post(path, &records("GetSessionToken")).await.expect(207);
    assert_eq!(second["rejected"], RECORDS);
    assert_eq!(second["items"][RECORDS - 1]["status"], 409);

    let kept = conflicts(app, &acme).await;
    assert_eq!(kept.len(), RECORDS);
    for record in &kept {
        let payload = record["payload"].as_str().unwrap();
        assert!(
            payload.contains("GetSessionToken") && payload.contains("REDACTED") && !payload.contains(&secret),
            "{record}"
        );
    }
    let ran = app.run(&["rejected", "replay", "--tenant", &acme.tenant]).await;
    assert!(
        !ran.ok && ran.out.contains("0 records") && ran.out.contains("from where it came"),
        "{}{}",
        ran.out,
        ran.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_good_for_one_route_and_one_tenant() {
    let app = App::shared().await;
    let operator = app.operator().await;
    let tenants = [app.tenant("key-a").await.tenant, app.tenant("key-b").await.tenant];
    let key = unique("wish");
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key.as_str()),
    ];
    let wish = async |path: &str, body: &Value| {
        let answer = operator
            .send(Method::POST, path, &headers, body.to_string())
            .await;
        answer.expect(201)
    };
    let (user, third) = (unique("user"), unique("key-c"));
    for _ in 0..2 {
        let made = wish("/api/v1/tenants", &json!({"id": third})).await;
        assert_eq!(made["id"], third.as_str(), "{made}");
        let wanted =
            json!({"name": user, "roles": ["auditor"], "password": PASSWORD, "tenant_id": tenants[0]});
        assert_eq!(wish("/api/v1/users", &wanted).await["name"], user.as_str());
    }
    let mut ids = Vec::new();
    for tenant in tenants.iter().chain(&tenants) {
        let made = wish(
            "/api/v1/keys",
            &json!({"name": "k", "roles": ["ingest"], "tenant_id": tenant}),
        )
        .await;
        assert_eq!(made["tenant_id"], tenant.as_str(), "{made}");
        ids.push(made["id"].clone());
    }
    assert_eq!(ids[..2], ids[2..], "a repeated wish is answered as the first");
    assert_ne!(ids[0], ids[1]);

    // Another wish under the same key is no repetition.
    let password = "another-long-password";
    for (path, body) in [
        ("/api/v1/tenants", json!({"id": third, "name": "Another"})),
        (
            "/api/v1/users",
            json!({"name": unique("other"), "roles": ["auditor"], "password": PASSWORD, "tenant_id": tenants[0]}),
        ),
        (
            "/api/v1/users",
            json!({"name": user, "roles": ["admin"], "password": PASSWORD, "tenant_id": tenants[0]}),
        ),
        (
            "/api/v1/users",
            json!({"name": user, "roles": ["auditor"], "password": password, "tenant_id": tenants[0]}),
        ),
        (
            "/api/v1/keys",
            json!({"name": "k", "roles": ["admin"], "tenant_id": tenants[0]}),
        ),
    ] {
        let refused = operator
            .send(Method::POST, path, &headers, body.to_string())
            .await;
        assert_eq!(refused.fields(409), ["Idempotency-Key"], "{body}");
    }
    let again = operator.post("/api/v1/tenants", &json!({"id": third})).await;
    assert_eq!(again.fields(409), ["/id"]);
    let said = again.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        said.contains(&format!("there is a tenant {third} already")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_of_two_tenants_or_two_sources_is_two_events() {
    let app = App::shared().await;
    let (acme, beta) = (app.tenant("two-a").await, app.tenant("two-b").await);
    let uuid = Uuid::new_v4().to_string();
    for id in [uuid.as_str(), "order-1"] {
        let a = acme.take(&json!({"event_id": id, "message": "acme's"})).await;
        let b = beta.take(&json!({"event_id": id, "message": "beta's"})).await;
        assert_eq!(
            a == b,
            id == uuid,
            "a derived id has its tenant in it, a UUID is kept"
        );
        assert_eq!(acme.arrives(id).await["message"], "acme's");
        assert_eq!(beta.arrives(id).await["message"], "beta's");
        assert_eq!((seen(&acme, id).await, seen(&beta, id).await), (1, 1));
    }
    let post = async |source: &str| {
        let event = json!({"specversion": "1.0", "id": "n-1", "source": source, "type": "t", "data": {"from": source}});
        let headers = [("content-type", "application/cloudevents+json")];
        acme.send(Method::POST, "/events?wait=indexed", &headers, event.to_string())
            .await
            .expect(201)["event_id"]
            .clone()
    };
    assert_ne!(post("/shop").await, post("/warehouse").await);
    assert_eq!(acme.found(&[("source_event_id", "n-1")]).await.len(), 2);
    assert!(conflicts(app, &acme).await.is_empty() && conflicts(app, &beta).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_many_months_goes_in_without_its_impossible_dates() {
    let acme = App::shared().await.tenant("months").await;
    let month = |n: i32| format!("{}-{:02}-15T12:00:00Z", 2010 + n / 12, n % 12 + 1);
    let mut events: Vec<_> = (0..101)
        .map(|n| json!({"time": month(n), "details": {"n": n}}))
        .collect();
    events.insert(50, json!({"time": "1815-06-18T11:00:00Z"}));
    events.push(json!({"time": "2150-01-01T00:00:00Z"}));
    let answer = acme
        .post("/api/v1/logs/bulk?wait=indexed", &json!(events))
        .await
        .expect(207);
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&json!(101), &json!(2))
    );
    for index in [50, 102] {
        let item = &answer["items"][index];
        assert_eq!(
            (&item["status"], &item["problem"]["errors"][0]["field"]),
            (&json!(422), &json!("/time")),
            "{item}"
        );
    }
    until("all months are searchable", async || {
        acme.search(&[("count", "true"), ("limit", "1")])
            .await
            .expect(200)["count"]
            == 101
    })
    .await;
    let oldest = acme.found(&[("sort", "time"), ("limit", "1")]).await;
    assert_eq!(oldest[0]["time"], "2010-01-15T12:00:00Z");
}
