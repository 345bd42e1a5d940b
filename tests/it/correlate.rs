//! One story: what shares a request, a trace or a session, oldest first.

use serde_json::{Value, json};

use crate::support::deeds::deeds;
use crate::support::{App, Caller};

async fn story(caller: &Caller, query: &str) -> Value {
    caller
        .get(&format!("/api/v1/logs/correlate?{query}"))
        .await
        .expect(200)
}

fn numbers(story: &Value) -> Vec<u64> {
    let events = story["data"].as_array().unwrap().iter();
    events
        .map(|event| event["details"]["amount"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_shares_a_thread_is_one_story_page_by_page() {
    let app = App::shared().await;
    let acme = app.tenant("story").await;
    deeds(&acme, 60).await;
    let first = story(&acme, "trace_id=t4&limit=1").await;
    assert_eq!(
        first["summary"],
        json!({"count": 10, "first": "2026-01-02T16:00:00Z", "last": "2026-01-03T01:00:00Z", "actor_count": 5,
            "actors": (0..5).map(|n| json!({"id": format!("user{n}"), "count": 2})).collect::<Vec<_>>()})
    );
    let mut pages = vec![first];
    while let Some(cursor) = pages.last().unwrap()["next_cursor"].as_str() {
        let next = story(&acme, &format!("trace_id=t4&limit=4&cursor={cursor}")).await;
        pages.push(next);
    }
    let told: Vec<u64> = pages.iter().flat_map(numbers).collect();
    assert_eq!(told, (40..50).collect::<Vec<_>>());
    assert!(pages.iter().all(|page| page["summary"] == pages[0]["summary"]));

    // One of them is enough; other filters narrow it.
    let several = story(
        &acme,
        "trace_id=t4&request_id=r3&request_id=r59&session_id=s6&limit=100",
    )
    .await;
    let expected: Vec<_> = (0..60)
        .filter(|n| n / 10 == 4 || [3, 59].contains(n) || n % 7 == 6)
        .collect();
    assert_eq!(numbers(&several), expected);
    let narrowed = story(&acme, "trace_id=t4&user_id=user2&fields=time,details.amount").await;
    assert_eq!(
        (numbers(&narrowed), &narrowed["summary"]["count"]),
        (vec![42, 47], &json!(2))
    );
    assert_eq!(
        narrowed["data"][0],
        json!({"time": "2026-01-02T18:00:00Z", "details": {"amount": 42}})
    );
    assert_eq!(
        story(&acme, "trace_id=nothing").await["summary"]["first"],
        Value::Null
    );
    let crowd: Vec<_> = (0..25)
        .map(|n| json!({"event_type": "r", "time": 1_770_000_000 + n, "trace_id": "crowd", "user_id": format!("c{n:02}")}))
        .collect();
    acme.post("/api/v1/logs/bulk?wait=indexed", &json!(crowd))
        .await
        .expect(200);
    let summary = story(&acme, "trace_id=crowd&limit=1").await["summary"].take();
    assert_eq!(
        (&summary["count"], &summary["actor_count"]),
        (&json!(25), &json!(25))
    );
    let named: Vec<_> = summary["actors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|actor| actor["id"].clone())
        .collect();
    assert_eq!(
        named,
        (0..20).map(|n| json!(format!("c{n:02}"))).collect::<Vec<_>>()
    );
    let eve = app.tenant("story-eve").await;
    assert_eq!(story(&eve, "trace_id=t4").await["summary"]["count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_without_a_thread_or_with_another_ones_cursor_is_none() {
    let acme = App::shared().await.tenant("story-bad").await;
    deeds(&acme, 20).await;
    for (query, field) in [
        ("", "request_id"),
        ("user_id=user1", "request_id"),
        ("trace_id=", "trace_id"),
        ("trace_id=t1&sort=-time", "sort"),
        ("trace_id=t1&count=true", "count"),
        ("trace_id=t1&usr_id=x", "usr_id"),
    ] {
        let answer = acme.get(&format!("/api/v1/logs/correlate?{query}")).await;
        assert_eq!(answer.fields(400), [field], "{query}");
    }
    let page = story(&acme, "trace_id=t1&limit=3").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for other in ["trace_id=t0", "request_id=t1", "trace_id=t1&user_id=user1"] {
        let answer = acme
            .get(&format!("/api/v1/logs/correlate?{other}&cursor={cursor}"))
            .await;
        assert_eq!(answer.fields(400), ["cursor"], "{other}");
    }
    let answer = acme
        .get(&format!("/api/v1/logs?trace_id=t1&sort=time&cursor={cursor}"))
        .await;
    assert_eq!(answer.fields(400), ["cursor"], "a search is another question");
}
