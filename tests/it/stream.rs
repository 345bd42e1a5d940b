//! Streams: nothing is skipped and nothing is repeated, whatever happens; and who counts no more sees no more.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::PASSWORD;
use crate::support::shape::expect_shape;
use crate::support::{App, Caller, Watcher, until, until_some};

/// Posts events of these names, some of them twice.
async fn post(caller: &Caller, prefix: &str, range: std::ops::Range<usize>) {
    let numbers: Vec<usize> = range.collect();
    for some in numbers.chunks(50) {
        let events: Vec<Value> = some
            .iter()
            .map(|n| json!({"event_id": format!("{prefix}-{n}"), "user_id": format!("u{}", n % 3), "message": "é \"quoted\"\nline"}))
            .collect();
        let body = Value::Array(events);
        caller.post("/api/v1/logs/bulk", &body).await.expect(200);
        if some[0].is_multiple_of(100) {
            caller.post("/api/v1/logs/bulk", &body).await.expect(200);
        }
    }
}

fn names(prefix: &str, range: std::ops::Range<usize>) -> BTreeSet<String> {
    range.map(|n| format!("{prefix}-{n}")).collect()
}

/// Each of them once.
#[track_caller]
fn once(seen: &[String], expected: &BTreeSet<String>) {
    let set: BTreeSet<String> = seen.iter().cloned().collect();
    assert_eq!(set.len(), seen.len(), "something is shown twice");
    let missing: Vec<_> = expected.difference(&set).collect();
    assert!(set == *expected, "missing: {missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_goes_over_into_what_passes_now_without_a_gap_or_a_repetition() {
    hand_over(App::shared().await).await;
}

/// Nearly all of it is read from the log, and only the very end from memory.
#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_from_the_log_where_memory_ends() {
    let settings = [
        ("TRAILHOUSE_STREAM__KEPT_EVENTS", "7"),
        ("TRAILHOUSE_STREAM__BUFFER_EVENTS", "60"),
        ("TRAILHOUSE_LOG__PARTITIONS", "3"),
    ];
    hand_over(&App::start_with(&settings).await).await;
}

async fn hand_over(app: &App) {
    let acme = app.tenant("hand-over").await;
    let mut first = Watcher::ws(&acme, "").await.once_live().await;
    post(&acme, "a", 0..300).await;
    let (mut seen, _) = first.next(150).await;
    let (whole, _) = Watcher::sse(&acme, SINCE, &[]).await.next(300).await;
    once(&whole, &names("a", 0..300));

    let writers: Vec<_> = (0..4)
        .map(|n| {
            let acme = acme.clone();
            tokio::spawn(async move { post(&acme, "b", 500 * n..500 * (n + 1)).await })
        })
        .collect();
    // They begin while much is written, and one goes away on the way and comes back, again and again.
    let watchers = [
        tokio::spawn(watched(acme.clone(), true)),
        tokio::spawn(watched(acme.clone(), false)),
        tokio::spawn(cut_short(acme.clone())),
    ];
    for writer in writers {
        writer.await.unwrap();
    }
    let mut expected = names("a", 0..300);
    expected.extend(names("b", 0..2_000));
    for watcher in watchers {
        once(&watcher.await.unwrap(), &expected);
    }
    seen.extend(first.next(ALL - 150).await.0);
    once(&seen, &expected);
}

const SINCE: &str = "?since=2026-01-01";
const ALL: usize = 2_300;

async fn watched(acme: Caller, ws: bool) -> Vec<String> {
    let mut watcher = match ws {
        true => Watcher::ws(&acme, SINCE).await,
        false => Watcher::sse(&acme, SINCE, &[]).await,
    };
    watcher.next(ALL).await.0
}

/// Connects again and again, each time with the cursor of the last frame it has seen.
async fn cut_short(acme: Caller) -> Vec<String> {
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    while seen.len() < ALL {
        let mut watcher = match &cursor {
            None => Watcher::sse(&acme, SINCE, &[]).await,
            // As a browser does it.
            Some(cursor) if seen.len() % 700 == 0 => {
                Watcher::sse(&acme, SINCE, &[("last-event-id", cursor)]).await
            }
            Some(cursor) => Watcher::ws(&acme, &format!("?cursor={cursor}")).await,
        };
        let (some, at) = watcher.next((ALL - seen.len()).min(350)).await;
        seen.extend(some);
        cursor = Some(at);
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_what_its_filter_says_and_its_watcher_may_see() {
    let app = App::shared().await;
    let (acme, eve) = (app.tenant("filtered").await, app.tenant("walled").await);
    let own = app.user(&acme.tenant, &["user"]).await;
    let mut of_one = Watcher::ws(&acme, "?user_id=u1&q=quoted").await.once_live().await;
    let mut theirs = Watcher::ws(&eve, "").await.once_live().await;
    let mut mine = Watcher::sse(&own, "", &[]).await.once_live().await;
    let operator = app.operator().await;
    let query = format!("?tenant_id={}&event_type[prefix]=trailhouse.", acme.tenant);
    let mut system = Watcher::ws(&operator, &query).await.once_live().await;
    post(&acme, "x", 0..9).await;
    own.post("/api/v1/logs", &json!({"event_id": "mine"}))
        .await
        .expect(201);
    eve.post("/api/v1/logs", &json!({"event_id": "theirs"}))
        .await
        .expect(201);
    acme.get("/api/v1/logs?q=asked").await.expect(200);
    let mut of_u1 = BTreeSet::new();
    for _ in 0..3 {
        let (event, _) = of_one.event().await;
        assert_eq!(
            event["message"],
            "é \"quoted\"
line"
        );
        of_u1.insert(event["source_event_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(of_u1, BTreeSet::from(["x-1", "x-4", "x-7"].map(str::to_owned)));
    assert_eq!(mine.event().await.0["source_event_id"], "mine");
    assert_eq!(theirs.event().await.0["source_event_id"], "theirs");
    loop {
        let (event, _) = system.event().await;
        assert!(event["event_type"].as_str().unwrap().starts_with("trailhouse."));
        if event["event_type"] == "trailhouse.search" {
            break;
        }
    }
    // The same event as search shows it.
    let (event, cursor) = Watcher::sse(&acme, "?since=2026-01-01&user_id=u2", &[])
        .await
        .event()
        .await;
    assert_eq!(acme.arrives(event["event_id"].as_str().unwrap()).await, event);

    for (caller, query, field) in [
        (&acme, format!("?cursor={cursor}"), "cursor"),
        (&eve, format!("?user_id=u2&cursor={cursor}"), "cursor"),
        (
            &acme,
            format!("?user_id=u2&cursor={}A{}", &cursor[..5], &cursor[6..]),
            "cursor",
        ),
        (
            &acme,
            format!("?user_id=u2&since=2026-01-01&cursor={cursor}"),
            "since",
        ),
        (&acme, "?since=yesterday".into(), "since"),
        (&acme, "?sort=time".into(), "sort"),
        (&acme, "?limit=5".into(), "limit"),
        (&acme, "?curser=5".into(), "curser"),
        (&acme, "?usr_id=5".into(), "usr_id"),
    ] {
        let refused = caller.get(&format!("/api/v1/logs/stream{query}")).await;
        assert_eq!(refused.fields(400), [field], "{query}");
    }
    eve.get(&format!("/api/v1/logs/stream?tenant_id={}", acme.tenant))
        .await
        .problem(403);
    let half = [("upgrade", "websocket"), ("connection", "upgrade")];
    let refused = acme.send(Method::GET, "/api/v1/logs/stream", &half, "").await;
    assert_eq!(refused.fields(400), ["Upgrade"]);
    // And the stream itself is a read.
    until("streams are recorded", async || {
        !acme
            .found(&[
                ("event_type", "trailhouse.stream"),
                ("details.query.user_id", "u1"),
            ])
            .await
            .is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_slow_is_told_and_still_sees_everything() {
    let app = App::start_with(&[("TRAILHOUSE_STREAM__BUFFER_EVENTS", "5")]).await;
    let acme = app.tenant("slow").await;
    let mut slow = Watcher::ws(&acme, "").await.once_live().await;
    let events: Vec<Value> = (0..400).map(|n| json!({"event_id": format!("s-{n}")})).collect();
    acme.post("/api/v1/logs/bulk", &json!(events)).await.expect(200);
    let (mut seen, mut lagged) = (Vec::new(), 0);
    while seen.len() < 400 {
        let frame = slow.told().await;
        match frame["type"].as_str().unwrap() {
            "lagged" => {
                expect_shape(&frame, "stream-lagged");
                assert!(
                    frame["waiting"].as_u64().unwrap() > 0 && frame["cursor"].is_string(),
                    "{frame}"
                );
                lagged += 1;
            }
            _ => seen.push(frame["event"]["source_event_id"].as_str().unwrap().to_owned()),
        }
    }
    once(&seen, &names("s", 0..400));
    assert!(lagged > 0, "it was never told");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hundred_watch_at_once_and_leave_nothing_behind() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("crowd").await;
    let mut crowd = Vec::new();
    for n in 0..300 {
        crowd.push(match n % 2 {
            0 => Watcher::ws(&acme, "").await,
            _ => Watcher::sse(&acme, "", &[]).await,
        });
    }
    let mut live = Vec::new();
    for watcher in crowd {
        live.push(watcher.once_live().await);
    }
    post(&acme, "c", 0..60).await;
    for watcher in &mut live {
        once(&watcher.next(60).await.0, &names("c", 0..60));
    }
    let open = async || {
        let text = app.stranger().get("/metrics").await.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("trailhouse_streams "));
        line.map_or(0.0, |count| count.parse().unwrap())
    };
    assert_eq!(open().await, 300.0);
    drop(live);
    // Whoever has gone is noticed with the next thing that would be sent.
    until("nobody is left", async || {
        post(&acme, "d", 0..1).await;
        open().await == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_credential_it_was_opened_with() {
    let app = App::start_with(&[("TRAILHOUSE_AUTH__TOKEN_SECONDS", "3")]).await;
    // Where the machine is slow, a token may have expired before it is used.
    let operator = async || {
        let login = app.login("admin", PASSWORD).await;
        app.stranger().with(login["token"].as_str())
    };
    let admin = until_some("a token lives until it makes a key", async || {
        let key = json!({"name": "admin", "roles": ["admin"]});
        let made = operator().await.post("/api/v1/keys", &key).await;
        (made.status == 201).then(|| app.stranger().with(made.json()["key"].as_str()))
    })
    .await;
    let mut of_token = until_some("a token lives until it lets a stream in", async || {
        Watcher::try_ws(&operator().await, "").await.ok()
    })
    .await;
    let key = json!({"name": "watch", "roles": ["auditor"]});
    let made = admin.post("/api/v1/keys", &key).await.expect(201);
    let mut of_key = Watcher::ws(&admin.with(made["key"].as_str()), "")
        .await
        .once_live()
        .await;
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(admin.send(Method::DELETE, &path, &[], "").await.status, 204);
    for (watcher, kind) in [(&mut of_key, "unauthorized"), (&mut of_token, "token_expired")] {
        let last = loop {
            let frame = watcher.told().await;
            if frame["type"] == "error" {
                break frame;
            }
        };
        assert_eq!(last["problem"]["type"], format!("urn:trailhouse:problem:{kind}"));
        expect_shape(&last, "stream-error");
        assert_eq!(last["problem"]["status"], 401);
        assert!(last["cursor"].is_string());
        assert_eq!(watcher.frame().await, None, "that was the last word");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_lets_a_browser_in_once() {
    let app = App::shared().await;
    let acme = app.tenant("ticket").await;
    let answer = acme
        .send(Method::POST, "/api/v1/logs/stream/ticket", &[], "")
        .await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let given = answer.expect(201);
    expect_shape(&given, "createStreamTicket");
    assert_eq!(given["expires_in"], 30);
    let query = format!("?ticket={}", given["ticket"].as_str().unwrap());
    let browser = app.stranger();
    // It is good for nothing else.
    browser.get(&format!("/api/v1/logs{query}")).await.problem(401);
    let mut watcher = Watcher::ws(&browser, &query).await;
    expect_shape(&watcher.frame().await.unwrap(), "stream-heartbeat");
    let event = json!({
        "event_id": "invoice-7-sent", "time": "2026-01-02T16:00:00Z", "event_type": "invoice.sent", "outcome": "success", "user_id": "ada",
        "resource": {"type": "invoice", "id": "7"}, "message": "Invoice 7 was sent", "details": {"amount": 120}, "tags": ["billing"],
    });
    acme.post("/api/v1/logs", &event).await.expect(201);
    let seen = watcher.told().await;
    expect_shape(&seen, "stream-event");
    assert_eq!(seen["event"]["source_event_id"], "invoice-7-sent");
    assert_eq!(Watcher::try_ws(&browser, &query).await.err().unwrap(), 401);
    assert_eq!(Watcher::try_ws(&browser, "?ticket=x").await.err().unwrap(), 401);
    let recorded = async || acme.found(&[("event_type", "trailhouse.stream")]).await;
    until("it is recorded", async || !recorded().await.is_empty()).await;
    assert!(
        !recorded().await[0]
            .to_string()
            .contains(given["ticket"].as_str().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_at_another_instance_and_after_a_restart() {
    let key = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
    let app = App::start_with(&[("TRAILHOUSE_MASTER_KEY", key)]).await;
    let acme = app.tenant("moving").await;
    let other = app.beside().await;
    let there = Caller::new(
        &format!("http://{}", other.web),
        &acme.tenant,
        acme.credential.clone(),
    );
    let mut here = Watcher::ws(&acme, "").await.once_live().await;
    let mut beside = Watcher::ws(&there, "").await.once_live().await;
    post(&there, "i", 0..60).await;
    let (mut seen, cursor) = here.next(31).await;
    drop(here);
    let (rest, _) = Watcher::sse(&there, &format!("?cursor={cursor}"), &[])
        .await
        .next(29)
        .await;
    once(&[seen.clone(), rest].concat(), &names("i", 0..60));
    once(&beside.next(60).await.0, &names("i", 0..60));
    drop(other);

    let mut here = Watcher::sse(&acme, &format!("?cursor={cursor}"), &[]).await;
    let (more, cursor) = here.next(10).await;
    seen.extend(more);
    let (ended, last) = tokio::join!(app.stop(), async {
        loop {
            let frame = here.told().await;
            if frame["type"] == "error" {
                break frame;
            }
        }
    });
    assert!(ended.success());
    assert_eq!(last["problem"]["type"], "urn:trailhouse:problem:stopping");
    app.start().await;
    post(&acme, "j", 0..20).await;
    let (rest, _) = Watcher::ws(&acme, &format!("?cursor={cursor}"))
        .await
        .next(19 + 20)
        .await;
    let mut expected = names("i", 0..60);
    expected.extend(names("j", 0..20));
    once(&[seen, rest].concat(), &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_redacted_or_cleaned_up_is_shown_to_nobody_again() {
    // One server keeps the events in memory, the other reads them from the log.
    for kept in ["8192", "0"] {
        let app = App::start_with(&[("TRAILHOUSE_STREAM__KEPT_EVENTS", kept)]).await;
        let acme = app.tenant("redacted").await;
        let mut live = Watcher::ws(&acme, "").await.once_live().await;
        let old = json!({"event_id": "old", "time": "2020-01-01T00:00:00Z", "message": "long ago"});
        acme.take(&old).await;
        let id = acme
            .take(&json!({"event_id": "told", "message": "a secret"}))
            .await;
        acme.take(&json!({"event_id": "kept"})).await;
        let path = format!("/api/v1/logs/{id}?reason=requested");
        let redacted = acme.send(Method::DELETE, &path, &[], "").await;
        assert!(redacted.status.is_success(), "{}", redacted.text());
        let mut passed = Vec::new();
        for _ in 0..4 {
            passed.push(live.event().await.0);
        }
        let revision = passed.iter().find(|event| event["revision"] == 1).unwrap();
        assert_eq!(revision["event_id"], id.as_str());
        assert!(!revision.to_string().contains("secret"), "{revision}");
        let names: BTreeSet<_> = passed
            .iter()
            .filter_map(|event| event["source_event_id"].as_str())
            .collect();
        assert!(
            names.is_superset(&BTreeSet::from(["old", "told", "kept"])),
            "{passed:?}"
        );

        let path = "/api/v1/logs/cleanup?before=2021-01-01";
        let cleaned = acme.send(Method::DELETE, path, &[], "").await;
        assert!(cleaned.status.is_success(), "{}", cleaned.text());
        until("the redaction is in the table", async || {
            acme.get(&format!("/api/v1/logs/{id}")).await.json()["revision"] == 1
        })
        .await;
        acme.post("/api/v1/logs", &json!({"event_id": "end"}))
            .await
            .expect(201);
        let mut later = Watcher::sse(&acme, "?since=2026-01-01", &[]).await;
        let mut shown = Vec::new();
        while shown.len() < 3 {
            let (event, _) = later.event().await;
            assert!(!event.to_string().contains("secret"), "{event}");
            shown.push((event["source_event_id"].clone(), event["revision"].clone()));
        }
        let ids: Vec<_> = shown.iter().filter_map(|(name, _)| name.as_str()).collect();
        assert!(!ids.contains(&"old") && ids.contains(&"kept"), "{shown:?}");
        assert_eq!(
            shown.iter().filter(|(_, revision)| *revision == 1).count(),
            1,
            "{shown:?}"
        );
    }
}
