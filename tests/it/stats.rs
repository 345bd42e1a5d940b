//! Statistics: exact, in buckets and groups, of what the asker may see.

use serde_json::{Value, json};

use crate::support::deeds::deeds;
use crate::support::{App, Caller};

async fn stats(caller: &Caller, query: &str) -> Value {
    caller
        .get(&format!("/api/v1/logs/stats?{query}"))
        .await
        .expect(200)
}

/// Group by group: the values of its key, and how many.
fn groups(stats: &Value) -> Vec<(Vec<Value>, u64)> {
    let groups = stats["groups"].as_array().unwrap().iter();
    let key = |group: &Value| group["key"].as_object().unwrap().values().cloned().collect();
    groups
        .map(|group| (key(group), group["count"].as_u64().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_counted_every_way() {
    let acme = App::shared().await.tenant("stats").await;
    deeds(&acme, 60).await;

    let all = "interval=day&group_by=event_type&group_by=actor.id&top=2&distinct=user_id&shares=true&new_types_since=2026-01-01";
    let answer = stats(&acme, all).await;
    let expected = include_str!("stats_of_sixty_deeds.json");
    assert_eq!(answer, serde_json::from_str::<Value>(expected).unwrap());

    let total = stats(&acme, "").await;
    assert_eq!(
        (&total["total"], &total["severity"]["ERROR"]["count"]),
        (&json!(60), &json!(15))
    );
    let none = stats(&acme, "user_id=nobody&interval=day&group_by=action&distinct=ip").await;
    assert_eq!(
        (&none["total"], &none["buckets"], &none["distinct"]["actor.ip"]),
        (&json!(0), &json!([]), &json!(0))
    );

    // Empty buckets are there, from where the question begins to where it ends.
    let by_week = stats(&acme, "interval=week&from=2025-12-20&to=2026-01-12").await;
    let weeks: Vec<_> = by_week["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| bucket["count"].as_u64().unwrap())
        .collect();
    assert_eq!(weeks, [0, 0, 60, 0]);
    let by_month = stats(&acme, "interval=month&outcome=failure").await;
    assert_eq!(
        by_month["buckets"],
        json!([{"time": "2026-01-01T00:00:00Z", "count": 30}])
    );
    let quarters = stats(
        &acme,
        "interval=15m&from=2026-01-01T00:00:00Z&to=2026-01-01T02:00:00Z",
    )
    .await;
    assert_eq!(quarters["buckets"].as_array().unwrap().len(), 8);
    assert_eq!(quarters["total"], 2);

    for (field, first, count) in [
        ("severity", "CRITICAL", 15),
        ("outcome", "failure", 30),
        ("action", "DELETE", 20),
        ("session_id", "s0", 9),
        ("actor.ip", "10.0.0.0", 1),
        ("resource.type", "document", 60),
        ("tag", "tag0", 20),
        ("source", "http", 60),
        ("details.cart.items.sku", "A0", 10),
        ("details.note", "it's 100% \"odd\"", 60),
        ("trace_id", "t0", 10),
    ] {
        let found = groups(&stats(&acme, &format!("group_by={field}&top=1")).await);
        assert_eq!(found, [(vec![json!(first)], count)], "{field}");
    }
    let absent = groups(&stats(&acme, "group_by=actor.email").await);
    assert_eq!(absent, [(vec![Value::Null], 60)]);
    let different = stats(&acme, "distinct=actor.email,details.amount,tags&from=2026-01-02").await;
    assert_eq!(
        different["distinct"],
        json!({"actor.email": 0, "details.amount": 36, "tags": 3})
    );
    assert_eq!(different["total"], 36);
    // An event counts once, however many tags it has.
    acme.take(&json!({"event_type": "tagged", "time": "2026-02-01", "tags": ["x", "y", "z"]}))
        .await;
    for query in [
        "distinct=tag",
        "distinct=tag,ip",
        "distinct=ip,tag",
        "group_by=tag",
        "group_by=tag&distinct=tag",
        "group_by=action&distinct=tag",
        "interval=day&distinct=tag",
    ] {
        let answer = stats(&acme, &format!("from=2026-02-01&{query}")).await;
        assert_eq!(answer["total"], 1, "{query}: {answer}");
        assert_eq!(answer["distinct"]["tags"].as_u64().unwrap_or(3), 3, "{query}");
    }
    let new = stats(
        &acme,
        "new_types_since=2026-01-01T02:00:00Z&from=2026-01-03&event_type[prefix]=document",
    )
    .await;
    assert_eq!(
        new["new_types"],
        json!([{"event_type": "document.delete", "first_seen": "2026-01-01T02:00:00Z", "count": 20}])
    );
    // A filter on a column that is not counted, and words.
    assert_eq!(
        stats(&acme, "q=fox&session_id=s3&group_by=action").await["total"],
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_counts_with_each_value_of_a_list_in_its_details() {
    let acme = App::shared().await.tenant("stats-lists").await;
    for details in [
        json!({"items": [{"sku": "A"}, {"sku": "B"}, {"sku": "A"}], "n": [1, 2], "team": "x", "seen": "::"}),
        json!({"items": [{"sku": "B"}], "team": "x"}),
        json!({"items": {"sku": "B"}, "list": [true]}),
    ] {
        acme.take(&json!({"event_type": "listed", "details": details}))
            .await;
    }
    let by = async |field: &str| groups(&stats(&acme, &format!("group_by={field}")).await);
    let key = |values: &[&str], count| {
        let values = values.iter().map(|value| match *value {
            "" => Value::Null,
            value => json!(value),
        });
        (values.collect::<Vec<_>>(), count)
    };
    assert_eq!(by("details.items.sku").await, [key(&["B"], 3), key(&["A"], 1)]);
    assert_eq!(
        by("details.n").await,
        [key(&[""], 2), key(&["1"], 1), key(&["2"], 1)]
    );
    assert_eq!(by("details.team").await, [key(&["x"], 2), key(&[""], 1)]);
    let both = by("details.items.sku,details.n").await;
    assert_eq!(both[0], key(&["B", ""], 2));
    assert_eq!(both.len(), 5);

    let query = "interval=month&group_by=details.items.sku&distinct=details.items.sku,details.n,details.seen";
    let answer = stats(&acme, query).await;
    assert_eq!(answer["total"], 3);
    assert_eq!(
        answer["distinct"],
        json!({"details.items.sku": 2, "details.n": 2, "details.seen": 1})
    );
    assert_eq!(answer["buckets"][0]["distinct"], answer["distinct"]);
    // As the filters have it.
    for (filter, count) in [("items.sku=B", 3), ("n=2", 1), ("n=", 2), ("n!=", 1)] {
        let found = stats(&acme, &format!("details.{filter}")).await;
        assert_eq!(found["total"], count, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_of_what_the_asker_may_see() {
    let app = App::shared().await;
    let acme = app.tenant("stats-walls").await;
    deeds(&acme, 10).await;
    let eve = app.tenant("stats-eve").await;
    assert_eq!(stats(&eve, "interval=day&group_by=action").await["total"], 0);
    let path = format!("/api/v1/logs/stats?tenant_id={}", acme.tenant);
    eve.get(&path).await.problem(403);
    assert_eq!(app.operator().await.get(&path).await.expect(200)["total"], 10);
    let user = app.user(&acme.tenant, &["user"]).await;
    user.take(&json!({"action": "VIEW"})).await;
    assert_eq!(stats(&user, "").await["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_stands_twice_counts_once_and_as_its_winner() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("stats-twice").await;
    deeds(&acme, 30).await;
    app.sql("SYSTEM STOP MERGES events").await;
    app.sql("INSERT INTO dirty_months SELECT 202601, true, now64(6, 'UTC')")
        .await;
    app.sql(&format!(
        "INSERT INTO events SELECT * REPLACE (if(request_id = 'r7', 9223372036854775808, version - 1) AS version, \
         'COPY' AS action) FROM events WHERE tenant_id = '{}' AND time < '2026-01-01 12:00:00'",
        acme.tenant
    ))
    .await;
    let counted = stats(&acme, "interval=day&group_by=action&top=9&distinct=resource_id").await;
    assert_eq!(
        (&counted["total"], &counted["distinct"]["resource.id"]),
        (&json!(30), &json!(30))
    );
    let by_action: Vec<_> = groups(&counted);
    assert_eq!(
        by_action.last().unwrap(),
        &(vec![json!("COPY")], 1),
        "the one that replaces an original"
    );
    assert_eq!(by_action.iter().map(|(_, count)| count).sum::<u64>(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_make_no_sense_are_named() {
    let acme = App::shared().await.tenant("stats-bad").await;
    for (query, field) in [
        ("interval=year", "interval"),
        ("interval=minute&from=2026-01-01&to=2026-02-01", "interval"),
        ("group_by=amount", "group_by"),
        ("group_by=actor.idd", "group_by"),
        ("distinct=message", "distinct"),
        ("top=3", "top"),
        ("group_by=action&top=1001", "top"),
        ("limit=3", "limit"),
        ("from=2026-13-01", "from"),
        ("from=2026-01-02&to=2026-01-01", "to"),
        ("grup_by=action", "grup_by"),
        ("interval=hour&tz=Europe/Berlin", "tz"),
        ("new_types_since=soon", "new_types_since"),
    ] {
        let answer = acme.get(&format!("/api/v1/logs/stats?{query}")).await;
        assert_eq!(answer.fields(400), [field], "{query}");
    }
    // Open at both ends, only the events tell how many buckets there would be.
    acme.take(&json!({"time": "2001-01-01T00:00:00Z"})).await;
    acme.take(&json!({"time": "2026-01-01T00:00:00Z"})).await;
    let answer = acme.get("/api/v1/logs/stats?interval=hour").await;
    assert_eq!(answer.fields(400), ["interval"]);
    // The whole of time is no problem.
    let found = stats(&acme, "from=1700-01-01&to=9999-12-31&group_by=action").await;
    assert_eq!(found["total"], 2);
}
