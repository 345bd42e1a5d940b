//! Reads are events: who looked at what, who came in, who changed what; also while the log is away, and over SIGKILL.

use serde_json::{Value, json};

use crate::support::app::PASSWORD;
use crate::support::{App, Caller, Child, unique, until, until_some};

/// The server's own events of one type, newest first, once there are so many.
async fn recorded(auditor: &Caller, event_type: &str, at_least: usize) -> Vec<Value> {
    until_some(&format!("{at_least} of {event_type} are found"), async || {
        let answer = auditor
            .search(&[("event_type", event_type), ("limit", "1000")])
            .await;
        let found = answer.json()["data"].as_array().cloned().unwrap_or_default();
        (found.len() >= at_least).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_sees_who_looked_at_what() {
    let app = App::shared().await;
    let acme = app.tenant("looked").await;
    let id = acme.take(&json!({"event_id": "deed", "user_id": "ada"})).await;
    let (auditor, user) = (
        app.user(&acme.tenant, &["auditor"]).await,
        app.user(&acme.tenant, &["user"]).await,
    );
    let headers = [
        ("x-request-id", "question-7"),
        ("user-agent", "story/1"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ];
    let path = "/api/v1/logs?user_id=ada&tag!=x&limit=1&limit=1";
    auditor
        .send(reqwest::Method::GET, path, &headers, "")
        .await
        .problem(400);
    for n in 0..3 {
        acme.take(&json!({"n": n})).await;
    }
    let path = "/api/v1/logs?tag!=x&tag!=y&limit=2";
    let page = auditor.send(reqwest::Method::GET, path, &headers, "").await;
    let trace = page.header("traceparent").unwrap();
    assert!(trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && !trace.contains("b7ad6b7169203331"));
    let cursor = page.expect(200)["next_cursor"].as_str().unwrap().to_owned();
    auditor.get(&format!("{path}&cursor={cursor}")).await.expect(200);
    auditor.get("/api/v1/logs/deed").await.expect(200);
    user.get("/api/v1/logs?q=mine").await.expect(200);

    let gets = recorded(&auditor, "trailhouse.get", 1).await;
    assert_eq!(gets[0]["resource"], json!({"type": "event", "id": "deed"}));
    let (searches, first) = until_some("the search is found", async || {
        let found = recorded(&auditor, "trailhouse.search", 1).await;
        let first = found
            .iter()
            .find(|event| event["request_id"] == "question-7")
            .cloned()?;
        Some((found, first))
    })
    .await;
    assert_eq!(
        first["details"]["query"],
        json!({"tag!": ["x", "y"], "limit": "2"})
    );
    assert_eq!(first["actor"]["type"], "user");
    assert_eq!(first["actor"]["ip"], "127.0.0.1");
    assert_eq!(first["actor"]["user_agent"], "story/1");
    assert_eq!(first["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    let of_pages = searches
        .iter()
        .filter(|event| event["details"]["query"]["tag!"] == json!(["x", "y"]));
    assert_eq!(of_pages.count(), 1, "one search, however many pages");
    // A user sees its own reads only, and nobody sees them who does not ask.
    let own = recorded(&user, "trailhouse.search", 1).await;
    assert!(
        own.iter()
            .all(|event| event["actor"]["id"] == own[0]["actor"]["id"]),
        "{own:?}"
    );
    let mine = own.iter().any(|event| event["details"]["query"]["q"] == "mine");
    assert!(mine, "{own:?}");
    assert_eq!(acme.found(&[("event_id", &id)]).await.len(), 1);
    assert_eq!(acme.found(&[]).await.len(), 4);
    assert!(acme.found(&[("include", "system")]).await.len() > 8);
    // Nobody else can send such an event.
    acme.post("/api/v1/logs", &json!({"event_type": "trailhouse.search"}))
        .await
        .problem(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_reads_of_a_tenant_stands_in_that_tenants_log() {
    let app = App::shared().await;
    let (acme, eve) = (app.tenant("visited").await, app.tenant("curious").await);
    let operator = app.operator().await;
    operator
        .search(&[("tenant_id", &acme.tenant), ("q", "snoop")])
        .await
        .expect(200);
    eve.search(&[("tenant_id", &acme.tenant), ("q", "snoop")])
        .await
        .problem(403);
    let seen = recorded(&acme, "trailhouse.search", 1).await;
    assert!(
        seen.iter().any(|event| event["actor"]["id"] == "admin"),
        "{seen:?}"
    );
    let by_eve = recorded(&eve, "trailhouse.search", 1).await;
    assert!(
        by_eve
            .iter()
            .any(|event| event["details"]["query"]["q"] == "snoop"),
        "{by_eve:?}"
    );
    let strangers = seen
        .iter()
        .filter(|event| event["details"]["query"]["q"] == "snoop");
    assert_eq!(strangers.count(), 1, "nobody writes into the log of strangers");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_changes_of_control_state_are_events_without_secrets() {
    let app = App::shared().await;
    let acme = app.tenant("changed").await;
    let name = unique("grace");
    let wanted = json!({"name": name, "password": PASSWORD, "roles": ["auditor"]});
    acme.post("/api/v1/users", &wanted).await.expect(201);
    acme.post("/api/v1/users", &wanted).await.problem(409);
    let key = acme
        .post("/api/v1/keys", &json!({"name": "spare", "roles": ["ingest"]}))
        .await
        .expect(201);
    let path = format!("/api/v1/keys/{}", key["id"].as_str().unwrap());
    assert_eq!(
        acme.send(reqwest::Method::DELETE, &path, &[], "").await.status,
        204
    );
    app.login(&name, PASSWORD).await;
    let typed = unique("typed-by-mistake");
    for who in [&name, &typed] {
        let wrong = json!({"username": who, "password": typed});
        app.stranger().post("/login", &wrong).await.problem(401);
    }

    let users = recorded(&acme, "trailhouse.user.created", 2).await;
    let outcomes: Vec<_> = users
        .iter()
        .map(|event| event["outcome"].as_str().unwrap())
        .collect();
    assert!(
        outcomes.contains(&"success") && outcomes.contains(&"failure"),
        "{users:?}"
    );
    assert!(
        users
            .iter()
            .all(|event| event["resource"]["name"] == name.as_str()),
        "{users:?}"
    );
    recorded(&acme, "trailhouse.tenant.created", 1).await;
    recorded(&acme, "trailhouse.key.created", 2).await;
    recorded(&acme, "trailhouse.key.revoked", 1).await;
    // What an operator takes away is told to those whose it was.
    let search = json!({"name": "mine", "query": "tag=x"});
    let search = acme.post("/api/v1/searches", &search).await.expect(201);
    let path = format!("/api/v1/searches/{}", search["id"].as_str().unwrap());
    let operator = app.operator().await;
    let deleted = operator.send(reqwest::Method::DELETE, &path, &[], "").await;
    assert_eq!(deleted.status, 204);
    let told = recorded(&acme, "trailhouse.search.deleted", 1).await;
    assert_eq!(told[0]["resource"]["id"], search["id"]);
    let logins = recorded(&acme, "trailhouse.login", 2).await;
    assert!(
        logins.iter().all(|event| event["actor"]["id"] == name.as_str()),
        "{logins:?}"
    );
    let all = acme
        .search(&[("include", "system"), ("limit", "1000")])
        .await
        .text();
    for secret in [PASSWORD, key["key"].as_str().unwrap(), "sha256", &typed] {
        assert!(!all.contains(secret), "{secret}");
    }
    // Who is nobody is told of where operators look, without what was typed.
    until("a login of nobody is recorded", async || {
        let failed = [
            ("event_type", "trailhouse.login"),
            ("outcome", "failure"),
            ("user_id", ""),
        ];
        !operator.found(&failed).await.is_empty()
    })
    .await;
    let all = operator
        .search(&[("event_type", "trailhouse.login"), ("limit", "1000")])
        .await
        .text();
    assert!(!all.contains(&typed));
}

/// Searches for `q` until the server is sure that the log is away, or is not: each answer must be 200.
async fn asked(acme: &Caller, words: std::ops::Range<usize>) {
    for n in words {
        acme.search(&[("q", &format!("question{n}"))]).await.expect(200);
    }
}

/// Every question is recorded, once.
async fn all_are_recorded(acme: &Caller, count: usize) {
    until("every read is recorded", async || {
        let answer = acme
            .search(&[("event_type", "trailhouse.search"), ("limit", "1000")])
            .await;
        if answer.status != 200 {
            return false;
        }
        let found = answer.json()["data"].as_array().unwrap().clone();
        (0..count).all(|n| {
            let word = format!("question{n}");
            let times = found
                .iter()
                .filter(|event| event["details"]["query"]["q"] == word.as_str())
                .count();
            assert!(times < 2, "{word} is recorded {times} times");
            times == 1
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_recorded_through_an_outage_of_the_log_and_a_kill() {
    let app = App::start_with_own_broker(&[]).await;
    let acme = app.tenant("unrecorded").await;
    acme.take(&json!({"event_id": "before"})).await;
    asked(&acme, 0..3).await;
    let held = app.hold(Child::Broker);
    asked(&acme, 3..6).await;
    // Many at once share their flushes.
    let many: Vec<_> = (6..40)
        .map(|n| {
            let acme = acme.clone();
            tokio::spawn(async move { asked(&acme, n..n + 1).await })
        })
        .collect();
    for one in many {
        one.await.unwrap();
    }
    let spool = app.data_dir().join("reads.spool");
    assert!(std::fs::metadata(&spool).unwrap().len() > 0);
    drop(held);
    all_are_recorded(&acme, 40).await;
    until("the spool is empty", async || {
        std::fs::metadata(&spool).unwrap().len() == 0
    })
    .await;

    let held = app.hold(Child::Broker);
    asked(&acme, 40..45).await;
    app.kill9().await;
    drop(held);
    assert!(std::fs::metadata(&spool).unwrap().len() > 0);
    app.start().await;
    all_are_recorded(&acme, 45).await;
    until("verify holds", async || app.run(&["verify"]).await.ok).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_recorded_is_not_answered() {
    let app = App::start_with_own_broker(&[("TRAILHOUSE_WEB__READS_SPOOL_BYTES", "2000")]).await;
    let acme = app.tenant("refused").await;
    acme.take(&json!({"event_id": "before"})).await;
    let held = app.hold(Child::Broker);
    let refused = until_some("the spool is full", async || {
        let answer = acme.get("/api/v1/logs/before").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    let problem = refused.problem(503);
    assert_eq!(problem["type"], "urn:trailhouse:problem:reads_not_recorded");
    assert!(refused.header("retry-after").is_some());
    drop(held);
    until("reads are answered again", async || {
        acme.get("/api/v1/logs/before").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_listed_origins_may_ask_and_no_others() {
    let settings = [("TRAILHOUSE_WEB__CORS__ORIGINS", "[\"https://audit.example.com\"]")];
    let app = App::start_with(&settings).await;
    let operator = app.operator().await;
    let asked = |origin: &'static str| {
        [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization,last-event-id"),
        ]
    };
    for (origin, allowed) in [
        ("https://audit.example.com", Some("https://audit.example.com")),
        ("https://evil.example", None),
    ] {
        let stranger = app.stranger();
        let preflight = stranger
            .send(reqwest::Method::OPTIONS, "/api/v1/logs", &asked(origin), "")
            .await;
        assert_eq!(
            preflight.header("access-control-allow-origin"),
            allowed,
            "{origin}"
        );
        let answer = operator
            .send(reqwest::Method::GET, "/api/v1/logs", &[("origin", origin)], "")
            .await;
        answer.expect(200);
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        if allowed.is_some() {
            let methods = preflight.header("access-control-allow-methods").unwrap();
            assert!(methods.contains("PATCH"), "{methods}");
            let headers = preflight.header("access-control-allow-headers").unwrap();
            for sent in ["last-event-id", "if-none-match", "if-range"] {
                assert!(headers.contains(sent), "{headers}");
            }
            let shown = answer.header("access-control-expose-headers").unwrap();
            assert!(
                shown.contains("x-request-id") && shown.contains("ratelimit"),
                "{shown}"
            );
        }
    }
    // Without a list, browsers are told nothing.
    let shared = App::shared().await.stranger();
    let answer = shared
        .send(
            reqwest::Method::GET,
            "/healthz",
            &[("origin", "https://a.example")],
            "",
        )
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}
