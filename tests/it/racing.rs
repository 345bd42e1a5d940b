//! Two who revise an event at once: a redaction wins over what did not know of it, and what was answered is not lost.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, App, Caller, Watcher, unique, until};

async fn amend(caller: &Caller, id: &str, patch: Value) -> Answer {
    let headers = [("content-type", "application/merge-patch+json")];
    let path = format!("/api/v1/logs/{id}");
    caller
        .send(Method::PATCH, &path, &headers, patch.to_string())
        .await
}

async fn redact(caller: &Caller, id: &str, fields: &str) -> Answer {
    let path = format!("/api/v1/logs/{id}?reason=asked{fields}");
    caller.send(Method::DELETE, &path, &[], "").await
}

fn word() -> String {
    unique("secret").replace('-', "")
}

/// What a stream tells until each of these events is redacted and the event `end` has passed.
async fn told(mut watcher: Watcher, ids: &[String], end: &str) -> Vec<Value> {
    let (mut told, mut redacted, mut ended) = (Vec::new(), BTreeSet::new(), false);
    while !ended || redacted.len() < ids.len() {
        let (event, _) = watcher.event().await;
        let id = event["event_id"].as_str().unwrap().to_owned();
        ended |= event["source_event_id"] == end;
        if ids.contains(&id) && event["revision"].is_u64() && event["message"].is_null() {
            redacted.insert(id);
        }
        told.push(event);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_wins_while_the_table_is_behind() {
    // Rows are written every few seconds, and clients wait for one: who revises knows nothing of who did before.
    let app = App::start_with(&[
        ("TRAILHOUSE_PROJECTOR__BATCH_EVERY_MS", "6000"),
        ("TRAILHOUSE_WEB__WAIT_INDEXED_SECONDS", "1"),
    ])
    .await;
    let acme = app.tenant("behind").await;
    let (secret, other) = (word(), word());
    let live = Watcher::ws(&acme, "").await.once_live().await;
    let events: Vec<_> = (0..4)
        .map(|n| json!({"event_id": format!("deed-{n}"), "event_type": "r", "time": "2026-03-04", "message": secret}))
        .collect();
    let taken = acme.post("/api/v1/logs/bulk", &json!(events)).await.expect(200);
    let items = taken["items"].as_array().unwrap();
    let ids: Vec<String> = items
        .iter()
        .map(|item| item["event_id"].as_str().unwrap().to_owned())
        .collect();
    for id in &ids {
        acme.arrives(id).await;
    }
    let revise = async |n: usize| {
        let id = &ids[n];
        match n {
            // Something else is amended before, and after: both are granted in the end.
            0 => {
                let by = amend(&acme, id, json!({"details": {"by": "ada"}})).await;
                [by, redact(&acme, id, "&field=/message").await]
            }
            1 => {
                let gone = redact(&acme, id, "&field=/message").await;
                [gone, amend(&acme, id, json!({"details": {"by": "ada"}})).await]
            }
            // What is to go is amended: it stays away.
            2 => {
                let by = amend(&acme, id, json!({"message": other, "details": {"by": other}})).await;
                [by, redact(&acme, id, "").await]
            }
            _ => {
                let gone = redact(&acme, id, "&field=/message").await;
                [gone, amend(&acme, id, json!({"message": other})).await]
            }
        }
    };
    let answers = tokio::join!(revise(0), revise(1), revise(2), revise(3));
    for (n, answers) in [answers.0, answers.1, answers.2, answers.3].iter().enumerate() {
        for answer in answers {
            // The table may have come so far after all, and then an amendment is told that it lost.
            let status = answer.status.as_u16();
            let may_lose = n >= 2 && status == 409;
            assert!(matches!(status, 200 | 202) || may_lose, "{n}: {}", answer.text());
        }
    }
    let now = async |n: usize| acme.get(&format!("/api/v1/logs/{}", ids[n])).await.expect(200);
    until("everything that can be granted is", async || {
        let by = async |n| now(n).await["details"]["by"] == "ada";
        let gone = async |n| now(n).await["message"].is_null();
        by(0).await && by(1).await && gone(0).await && gone(1).await && gone(2).await && gone(3).await
    })
    .await;
    for n in 0..2 {
        let shown = now(n).await;
        assert_eq!(shown["revision"], 2, "{shown}");
        assert_eq!(shown["amendments"].as_array().unwrap().len(), 2, "{shown}");
    }
    // What comes now comes after all that was still under way.
    acme.post(
        "/api/v1/logs",
        &json!({"event_id": "end", "event_type": "r", "time": "2026-03-05"}),
    )
    .await
    .expect(201);
    acme.arrives("end").await;

    // Once it has been shown as redacted, the words come nowhere again; and who begins anew is never shown them.
    let mut gone = BTreeMap::new();
    for event in told(live, &ids, "end").await {
        let id = event["event_id"].to_string();
        let says = event.to_string();
        let is_told = says.contains(&secret) || says.contains(&other);
        assert!(!is_told || !gone.contains_key(&id), "{event}");
        if event["revision"].is_u64() && event["message"].is_null() {
            gone.insert(id, ());
        }
    }
    let nowhere = async || {
        let anew = Watcher::sse(&acme, "?since=2026-01-01", &[]).await;
        let told = told(anew, &ids, "end").await;
        let all = [
            json!(told).to_string(),
            acme.search(&[]).await.text(),
            acme.search(&[("limit", "1"), ("sort", "time")]).await.text(),
            acme.get("/api/v1/logs/export").await.text(),
            json!([now(0).await, now(1).await, now(2).await, now(3).await]).to_string(),
        ];
        for says in all {
            assert!(!says.contains(&secret) && !says.contains(&other), "{says}");
        }
        assert_eq!(acme.found(&[("q", &secret)]).await.len(), 0);
        assert_eq!(acme.found(&[("details.by", "ada")]).await.len(), 2);
    };
    nowhere().await;
    app.sql("TRUNCATE TABLE events").await;
    let rebuilt = app.run(&["rebuild"]).await;
    assert!(rebuilt.ok, "{}{}", rebuilt.out, rebuilt.err);
    nowhere().await;
    let verified = app.run(&["verify"]).await;
    assert!(verified.ok, "{}{}", verified.out, verified.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_they_race_both_are_granted() {
    let app = App::shared().await;
    let acme = app.tenant("racing").await;
    let secret = word();
    let mut races = Vec::new();
    for n in 0..24 {
        let id = acme
            .take(&json!({"event_type": "r", "time": 1_770_000_000 + n, "message": secret}))
            .await;
        let acme = acme.clone();
        races.push(tokio::spawn(async move {
            let (amended, redacted) = tokio::join!(
                amend(&acme, &id, json!({"details": {"by": n}})),
                redact(&acme, &id, "&field=/message"),
            );
            for answer in [amended, redacted] {
                // A busy machine answers that it goes on.
                assert!(matches!(answer.status.as_u16(), 200 | 202), "{}", answer.text());
            }
            id
        }));
    }
    for (n, race) in races.into_iter().enumerate() {
        let id = race.await.unwrap();
        let now = async || acme.get(&format!("/api/v1/logs/{id}")).await.expect(200);
        until("both are granted", async || now().await["revision"] == 2).await;
        let shown = now().await;
        assert_eq!(
            (&shown["details"]["by"], &shown["message"]),
            (&json!(n), &Value::Null),
            "{shown}"
        );
        assert_eq!(shown["revision"], 2, "{shown}");
    }
    assert_eq!(acme.found(&[("q", &secret)]).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_revise_one_event_none_is_lost() {
    let app = App::shared().await;
    let acme = app.tenant("crowd").await;
    let secret = word();
    let said = json!({"event_type": "r", "time": 1_770_000_000, "event_id": "the-one", "message": secret});
    let id = acme.take(&said).await;
    // One and the same event by two names, and in two spellings.
    let names = [id.clone(), id.to_uppercase(), "the-one".to_owned()];
    let mut crowd = Vec::new();
    for n in 0..9 {
        let (acme, name) = (acme.clone(), names[n % names.len()].clone());
        crowd.push(tokio::spawn(async move {
            let mut key = serde_json::Map::new();
            key.insert(format!("by-{n}"), json!(n));
            match n {
                4 => redact(&acme, &name, "&field=/message").await,
                _ => amend(&acme, &name, json!({"details": key})).await,
            }
        }));
    }
    for one in crowd {
        one.await.unwrap().expect(200);
    }
    let shown = acme.get(&format!("/api/v1/logs/{id}")).await.expect(200);
    assert_eq!(
        (&shown["revision"], &shown["message"]),
        (&json!(9), &Value::Null),
        "{shown}"
    );
    for n in (0..9).filter(|n| *n != 4) {
        assert_eq!(shown["details"][format!("by-{n}")], n, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_repeated_after_a_kill_brings_back_what_it_passed_over() {
    const EVERY: &str = "TRAILHOUSE_PROJECTOR__BATCH_EVERY_MS";
    let app = App::start_with(&[("TRAILHOUSE_WEB__WAIT_INDEXED_SECONDS", "1")]).await;
    let acme = app.tenant("killed").await;
    let id = acme
        .take(&json!({"event_type": "r", "time": 1_770_000_000, "message": word()}))
        .await;
    app.kill9().await;
    app.set(EVERY, "3600000");
    app.start().await;

    // Nothing arrives in the table any more, so neither knows of the other.
    amend(&acme, &id, json!({"details": {"by": "ada"}}))
        .await
        .expect(202);
    let redact = async || {
        let path = format!("/api/v1/logs/{id}?reason=asked&field=/message");
        let key = [("idempotency-key", "asked-once")];
        acme.send(Method::DELETE, &path, &key, "").await
    };
    redact().await.expect(202);
    app.kill9().await;
    app.set(EVERY, "50");
    app.start().await;
    let now = async || acme.get(&format!("/api/v1/logs/{id}")).await.expect(200);
    until("the redaction counts", async || now().await["revision"] == 1).await;
    assert_eq!(now().await["details"], Value::Null);

    until("it is granted", async || redact().await.status.as_u16() == 200).await;
    let shown = now().await;
    assert_eq!(
        (&shown["details"]["by"], &shown["message"]),
        (&json!("ada"), &Value::Null),
        "{shown}"
    );
    let kinds: Vec<_> = shown["amendments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["kind"])
        .collect();
    assert_eq!(kinds, ["amendment", "redaction"]);
    // And once more it changes nothing.
    assert_eq!(redact().await.expect(200)["revision"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_is_about_one_event_whatever_its_sender_calls_another() {
    let acme = App::shared().await.tenant("namesakes").await;
    let (secret, other) = (word(), word());
    let posted = async |time: &str, says: &str| {
        let said = json!({"event_type": "r", "time": time, "event_id": "twice", "message": says});
        acme.post("/api/v1/logs?wait=indexed", &said).await
    };
    posted("2026-03-04", &secret).await.expect(201);
    let gone = redact(&acme, "twice", "").await.expect(200);
    // Its name went with the rest, and who repeats the request means that one still.
    let id = gone["event_id"].as_str().unwrap().to_owned();
    assert_eq!(gone["source_event_id"], Value::Null);
    assert_eq!(
        redact(&acme, "twice", "").await.expect(200)["event_id"],
        id.as_str()
    );
    let elsewhere = json!({"specversion": "1.0", "type": "r", "source": "/another", "id": "twice", "time": "2026-03-05T00:00:00Z", "data": {"message": other}});
    let headers = [("content-type", "application/cloudevents+json")];
    acme.send(
        Method::POST,
        "/api/v1/logs?wait=indexed",
        &headers,
        elsewhere.to_string(),
    )
    .await
    .expect(201);
    let path = format!("/api/v1/logs/{id}?reason=asked");
    assert_eq!(
        acme.send(Method::DELETE, &path, &[], "").await.expect(200)["event_id"],
        id.as_str()
    );
    let named = acme.get("/api/v1/logs/twice").await.expect(200);
    assert!(
        named["event_id"] != id.as_str() && named["revision"] != 1,
        "{named}"
    );
}
