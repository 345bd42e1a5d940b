//! Who writes, asks or changes too much is told when to come back, and nobody else is held up; and a data directory has
//! one server.

use std::io::Write as _;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, Caller, unique, until, until_some};

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

#[tokio::test(flavor = "multi_thread")]
async fn searches_have_a_budget_by_tenant_and_by_key_and_answers_say_what_is_left() {
    let app = App::shared().await;
    let operator = app.operator().await;
    let acme = app.tenant("searching").await;
    let first = acme.search(&[]).await;
    first.expect(200);
    assert_eq!(
        first.header("ratelimit-policy"),
        Some("\"searching\";q=100000;w=1")
    );
    let wanted = json!({"name": "slow", "roles": ["auditor"], "searches_per_second": 1});
    let made = acme.post("/api/v1/keys", &wanted).await.expect(201);
    let key = acme.with(made["key"].as_str());
    let refused = until_some("a search too many", async || {
        let answer = key.search(&[]).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    let problem = refused.problem(429);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("the key may search no more"),
        "{problem}"
    );
    assert_eq!(refused.header("ratelimit-policy"), Some("\"searching\";q=1;w=1"));
    assert_eq!(refused.header("ratelimit"), Some("\"searching\";r=0;t=1"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    acme.search(&[]).await.expect(200);
    key.get("/api/v1/searches").await.expect(200);

    // The tenant's own, which an operator sets, and which writing does not spend.
    let path = format!("/api/v1/tenants/{}", acme.tenant);
    let headers = [("content-type", "application/json")];
    let slower = json!({"searches_per_second": 1}).to_string();
    operator
        .send(Method::PATCH, &path, &headers, slower)
        .await
        .expect(200);
    until("the tenant may search no more", async || {
        acme.search(&[]).await.status == 429
    })
    .await;
    let written = acme.post("/api/v1/logs", &json!({"action": "VIEW"})).await;
    written.expect(201);
    assert!(
        written
            .header("ratelimit-policy")
            .unwrap()
            .starts_with("\"writing\";q=")
    );
    app.tenant("others").await.search(&[]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_a_budget_before_anybody_is_known_and_this_machine_has_none() {
    let app = App::start_with(&[
        ("TRAILHOUSE_LIMITS__REQUESTS_PER_SECOND_BY_ADDRESS", "5"),
        ("TRAILHOUSE_WEB__TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
    ])
    .await;
    let from = async |address: &str| {
        let passed_on = [("x-forwarded-for", address)];
        app.stranger().send(Method::GET, "/healthz", &passed_on, "").await
    };
    let refused = until_some("a request too many", async || {
        let answers = futures_util::future::join_all((0..10).map(|_| from("203.0.113.9"))).await;
        answers.into_iter().find(|answer| answer.status == 429)
    })
    .await;
    let problem = refused.problem(429);
    assert!(
        problem["type"].as_str().unwrap().ends_with("rate_limited"),
        "{problem}"
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        from("203.0.113.10").await.status,
        200,
        "another address is not held up"
    );
    let here = app.stranger();
    for answer in futures_util::future::join_all((0..50).map(|_| here.get("/healthz"))).await {
        answer.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_have_a_budget_and_who_spends_it_keeps_no_admin_from_revoking_a_key() {
    let app = App::start_with(&[("TRAILHOUSE_LIMITS__CHANGES_PER_SECOND", "4")]).await;
    let acme = app.tenant("changing").await;
    let made = acme
        .post("/api/v1/keys", &json!({"name": "loops", "roles": ["auditor"]}))
        .await;
    assert!(
        made.header("ratelimit-policy")
            .unwrap()
            .starts_with("\"managing\";q="),
        "{made:?}"
    );
    let made = made.expect(201);
    let key = acme.with(made["key"].as_str());
    let search = json!({"name": "again and again", "query": "tag=x"});
    let refused = until_some("a change too many", async || {
        let answer = key.post("/api/v1/searches", &search).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    let problem = refused.problem(429);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("the key may change no more"), "{problem}");
    assert_eq!(refused.header("ratelimit-policy"), Some("\"managing\";q=20;w=10"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    key.get("/api/v1/searches").await.expect(200);
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(acme.send(Method::DELETE, &path, &[], "").await.status, 204);
}

/// Posts something of nine megabytes that is small on its way, and never ends it.
async fn drip(by: &Caller) -> u16 {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&vec![b' '; 9 << 20]).unwrap();
    gzip.flush().unwrap();
    let begun = Bytes::from(gzip.get_ref().clone());
    let body = stream::once(async { Ok::<_, std::io::Error>(begun) }).chain(stream::pending());
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let body = reqwest::Body::wrap_stream(body);
    let sent = by
        .try_send(Method::POST, "/api/v1/logs/bulk", &headers, body)
        .await;
    sent.map_or(0, |answer| answer.status.as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_take_no_other_tenants_room() {
    let app = App::shared().await;
    let (slow, acme) = (app.tenant("dripping").await, app.tenant("undisturbed").await);
    let dripping: Vec<_> = (0..20)
        .map(|_| {
            let slow = slow.clone();
            tokio::spawn(async move { drip(&slow).await })
        })
        .collect();
    until("the tenant has no more room", async || {
        let answers = dripping.iter().filter(|one| one.is_finished()).count();
        // Three of them have all that a tenant may have.
        acme.post("/api/v1/logs", &json!({"action": "VIEW"}))
            .await
            .expect(201);
        answers >= 10
    })
    .await;
    let large = vec![json!({"action": "VIEW", "message": "x".repeat(1_000)}); 2_000];
    acme.post("/api/v1/logs/bulk", &Value::Array(large))
        .await
        .expect(200);
    for one in dripping {
        if one.is_finished() {
            // Where the answer came before all was sent, a client may see the end of the connection alone.
            assert!(matches!(one.await.unwrap(), 503 | 0));
        } else {
            one.abort();
        }
    }
}
