//! Streams: nothing is skipped and nothing is repeated, whatever happens; and who counts no more sees no more.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::PASSWORD;
use crate::support::{App, Caller, Watcher, until};

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
    let app = App::shared().await;
    let acme = app.tenant("hand-over").await;
    let mut first = Watcher::ws(&acme, "").await.is_live().await;
    post(&acme, "a", 0..300).await;
    acme.post("/api/v1/logs", &json!({"event_id": "end-a"}))
        .await
        .expect(201);
    let (_, _) = first.until("a-150").await;
    let (seen, _) = {
        let mut whole = Watcher::sse(&acme, "?since=2026-01-01", &[]).await;
        whole.until("end-a").await
    };
    let mut expected = names("a", 0..300);
    expected.insert("end-a".into());
    once(&seen, &expected);

    let writers: Vec<_> = (0..4)
        .map(|n| {
            let acme = acme.clone();
            tokio::spawn(async move { post(&acme, "b", 500 * n..500 * (n + 1)).await })
        })
        .collect();
    // They begin while much is written, at different places, and one goes away on the way and comes back.
    let watchers = [
        tokio::spawn(watched(acme.clone(), "?since=2026-01-01".into(), true)),
        tokio::spawn(watched(acme.clone(), "?since=2026-01-01".into(), false)),
        tokio::spawn(cut_short(acme.clone())),
    ];
    for writer in writers {
        writer.await.unwrap();
    }
    acme.post("/api/v1/logs", &json!({"event_id": "end"}))
        .await
        .expect(201);
    expected.extend(names("b", 0..2_000));
    expected.insert("end".into());
    for watcher in watchers {
        once(&watcher.await.unwrap(), &expected);
    }
    let (seen, _) = first.until("end").await;
    let seen: BTreeSet<_> = seen.into_iter().collect();
    assert!(names("b", 0..2_000).is_subset(&seen));
}

async fn watched(acme: Caller, query: String, ws: bool) -> Vec<String> {
    let mut watcher = match ws {
        true => Watcher::ws(&acme, &query).await,
        false => Watcher::sse(&acme, &query, &[]).await,
    };
    watcher.until("end").await.0
}

/// Connects again and again, each time with the cursor of the last frame it has seen.
async fn cut_short(acme: Caller) -> Vec<String> {
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    for round in 1.. {
        let mut watcher = match &cursor {
            None => Watcher::sse(&acme, "?since=2026-01-01", &[]).await,
            // As a browser does it.
            Some(cursor) if round % 2 == 0 => {
                Watcher::sse(&acme, "?since=2026-01-01", &[("last-event-id", cursor)]).await
            }
            Some(cursor) => Watcher::ws(&acme, &format!("?cursor={cursor}")).await,
        };
        for _ in 0..350 {
            let (event, at) = watcher.event().await;
            cursor = Some(at);
            seen.push(event["source_event_id"].as_str().unwrap().to_owned());
            if seen.last().unwrap() == "end" {
                return seen;
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_what_its_filter_says_and_its_watcher_may_see() {
    let app = App::shared().await;
    let (acme, eve) = (app.tenant("filtered").await, app.tenant("walled").await);
    let own = app.user(&acme.tenant, &["user"]).await;
    let mut of_one = Watcher::ws(&acme, "?user_id=u1&q=quoted").await.is_live().await;
    let mut theirs = Watcher::ws(&eve, "").await.is_live().await;
    let mut mine = Watcher::sse(&own, "", &[]).await.is_live().await;
    let operator = app.operator().await;
    let query = format!("?tenant_id={}&event_type[prefix]=trailhouse.", acme.tenant);
    let mut system = Watcher::ws(&operator, &query).await.is_live().await;
    post(&acme, "x", 0..9).await;
    own.post("/api/v1/logs", &json!({"event_id": "mine"}))
        .await
        .expect(201);
    eve.post("/api/v1/logs", &json!({"event_id": "theirs"}))
        .await
        .expect(201);
    acme.get("/api/v1/logs?q=asked").await.expect(200);
    for name in ["x-1", "x-4", "x-7"] {
        let (event, _) = of_one.event().await;
        assert_eq!(event["source_event_id"], name);
        assert_eq!(event["message"], "é \"quoted\"\nline");
    }
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
    let mut slow = Watcher::ws(&acme, "").await.is_live().await;
    let events: Vec<Value> = (0..400).map(|n| json!({"event_id": format!("s-{n}")})).collect();
    acme.post("/api/v1/logs/bulk", &json!(events)).await.expect(200);
    let (mut seen, mut lagged) = (Vec::new(), 0);
    while seen.len() < 400 {
        let frame = slow.told().await;
        match frame["type"].as_str().unwrap() {
            "lagged" => {
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
        live.push(watcher.is_live().await);
    }
    post(&acme, "c", 0..60).await;
    acme.post("/api/v1/logs", &json!({"event_id": "end"}))
        .await
        .expect(201);
    let mut expected = names("c", 0..60);
    expected.insert("end".into());
    for watcher in &mut live {
        once(&watcher.until("end").await.0, &expected);
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
    let token = app.login("admin", PASSWORD).await["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let stranger = app.stranger();
    let operator = stranger.with(Some(&token));
    let made = operator
        .post("/api/v1/keys", &json!({"name": "watch", "roles": ["auditor"]}))
        .await
        .expect(201);
    let key = stranger.with(made["key"].as_str());
    let mut of_key = Watcher::ws(&key, "").await.is_live().await;
    let mut of_token = Watcher::ws(&operator, "").await.is_live().await;
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(operator.send(Method::DELETE, &path, &[], "").await.status, 204);
    for (watcher, kind) in [(&mut of_key, "unauthorized"), (&mut of_token, "token_expired")] {
        let last = loop {
            let frame = watcher.told().await;
            if frame["type"] == "error" {
                break frame;
            }
        };
        assert_eq!(last["problem"]["type"], format!("urn:trailhouse:problem:{kind}"));
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
    assert_eq!(given["expires_in"], 30);
    let query = format!("?ticket={}", given["ticket"].as_str().unwrap());
    let browser = app.stranger();
    // It is good for nothing else.
    browser.get(&format!("/api/v1/logs{query}")).await.problem(401);
    let mut watcher = Watcher::ws(&browser, &query).await.is_live().await;
    acme.post("/api/v1/logs", &json!({"event_id": "seen"}))
        .await
        .expect(201);
    assert_eq!(watcher.event().await.0["source_event_id"], "seen");
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
    let mut here = Watcher::ws(&acme, "").await.is_live().await;
    let mut beside = Watcher::ws(&there, "").await.is_live().await;
    post(&there, "i", 0..60).await;
    let (seen, cursor) = here.until("i-30").await;
    drop(here);
    let (rest, _) = Watcher::sse(&there, &format!("?cursor={cursor}"), &[])
        .await
        .until("i-59")
        .await;
    once(&[seen, rest].concat(), &names("i", 0..60));
    once(&beside.until("i-59").await.0, &names("i", 0..60));
    drop(other);

    let mut here = Watcher::sse(&acme, &format!("?cursor={cursor}"), &[]).await;
    let (_, cursor) = here.until("i-40").await;
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
    let (seen, _) = Watcher::ws(&acme, &format!("?cursor={cursor}"))
        .await
        .until("j-19")
        .await;
    let mut expected = names("i", 41..60);
    expected.extend(names("j", 0..20));
    once(&seen, &expected);
}
