//! Searching: every filter, words, and pages in both directions.

use serde_json::{Value, json};

use crate::support::deeds::deeds;
use crate::support::{App, Caller, unique};

/// Which deeds a search finds, in its order.
async fn which(acme: &Caller, parameters: &[(&str, &str)]) -> Vec<u64> {
    let found = acme.found(parameters).await;
    found
        .iter()
        .map(|event| event["details"]["amount"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_words_and_both_together_find_what_they_say() {
    let acme = App::shared().await.tenant("filters").await;
    deeds(&acme, 60).await;
    let all = |holds: fn(u64) -> bool| (0..60).rev().filter(|n| holds(*n)).collect::<Vec<u64>>();
    let cases: &[(&[(&str, &str)], fn(u64) -> bool)] = &[
        (&[], |_| true),
        (&[("user_id", "user3")], |n| n % 5 == 3),
        (&[("user_id", "user3"), ("user_id", "user4")], |n| n % 5 >= 3),
        (&[("user_id!", "user3")], |n| n % 5 != 3),
        (&[("event_type", "user.login"), ("outcome", "failure")], |n| {
            n % 3 == 0 && n % 2 == 1
        }),
        (&[("action", "DELETE")], |n| n % 3 == 2),
        (&[("severity", "ERROR"), ("severity", "CRITICAL")], |n| n % 4 >= 2),
        (&[("min_severity", "ERROR")], |n| n % 4 >= 2),
        (&[("session_id", "s6")], |n| n % 7 == 6),
        (&[("trace_id", "t4")], |n| n / 10 == 4),
        (&[("request_id", "r41")], |n| n == 41),
        (&[("resource_type", "document"), ("resource_id", "doc-7")], |n| {
            n == 7
        }),
        (&[("ip", "10.0.3.0/24")], |n| n % 4 == 3),
        (&[("ip", "10.0.2.50")], |n| n == 50),
        (&[("tag", "tag1")], |n| n % 3 == 1),
        (&[("source", "http")], |_| true),
        (&[("source", "kafka")], |_| false),
        // Values that no event has: the indexes of their columns must not hide what others have.
        (&[("event_type", "user.login"), ("action!", "UPDATE")], |n| {
            n % 3 == 0
        }),
        (&[("action", "SIGN"), ("action", "DELETE")], |n| n % 3 == 2),
        (&[("outcome", "unknown")], |_| false),
        (&[("event_type[prefix]", "document.")], |n| n % 3 > 0),
        (&[("actor_email", "")], |_| true),
        (&[("actor_name!", "ada"), ("outcome", "failure")], |n| n % 2 == 1),
        (&[("tag", "tag9")], |_| false),
        (&[("tag!", "tag1")], |n| n % 3 != 1),
        (&[("received_from", "2026-01-01"), ("outcome", "success")], |n| {
            n % 2 == 0
        }),
        (&[("received_to", "2026-01-01")], |_| false),
        (&[("details.cart.items.sku", "A5")], |n| n % 6 == 5),
        (&[("metadata.cart.items.sku", "A5")], |n| n % 6 == 5),
        (&[("details.amount", "7")], |n| n == 7),
        (&[("details.amount[gte]", "50")], |n| n >= 50),
        (
            &[("details.amount[gt]", "9"), ("details.amount[lt]", "12")],
            |n| n == 10 || n == 11,
        ),
        (&[("details.cart.items.sku[prefix]", "A")], |_| true),
        (&[("details.note", "it's 100% \"odd\"")], |_| true),
        (
            &[("from", "2026-01-01T10:00:00Z"), ("to", "2026-01-01T12:00:00Z")],
            |n| n == 10 || n == 11,
        ),
        (&[("from", "2026-01-02")], |n| n >= 24),
        (&[("q", "fox")], |n| n % 10 == 0),
        (&[("q", "quick FOX ticket")], |n| n % 10 == 0),
        (&[("q", "\"brown fox\" -opened")], |_| false),
        (&[("q", "\"fox brown\"")], |_| false),
        (&[("q", "fox OR nothing")], |_| true),
        (
            &[("q", "fox"), ("user_id", "user0"), ("details.amount[gt]", "30")],
            |n| n % 10 == 0 && n > 30,
        ),
        (&[("q", "-fox"), ("details.amount[lt]", "3")], |n| {
            n == 1 || n == 2
        }),
        (&[("user_id", "nobody")], |_| false),
    ];
    for (parameters, holds) in cases {
        assert_eq!(which(&acme, parameters).await, all(*holds), "{parameters:?}");
    }
    let oldest_first = which(&acme, &[("sort", "time"), ("limit", "3")]).await;
    assert_eq!(oldest_first, [0, 1, 2]);
    let counted = acme
        .search(&[("user_id", "user3"), ("count", "true"), ("limit", "1")])
        .await
        .expect(200);
    assert_eq!(
        (&counted["count"], &counted["has_more"]),
        (&json!(12), &json!(true))
    );
    // The other name of the route.
    assert_eq!(
        acme.get("/events?limit=2").await.expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_both_ways_and_stay_as_they_were_while_events_arrive() {
    let acme = App::shared().await.tenant("pages").await;
    deeds(&acme, 25).await;
    let numbers = |page: &Value| -> Vec<u64> {
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["details"]["amount"].as_u64().unwrap())
            .collect()
    };
    for sort in ["-time", "time"] {
        let mut expected: Vec<u64> = (0..25).collect();
        if sort == "-time" {
            expected.reverse();
        }
        let first = acme.search(&[("sort", sort), ("limit", "10")]).await.expect(200);
        assert!(first["prev_cursor"].is_null(), "{first}");
        // Newer and older than everything, after the first page was read: not on this reader's pages.
        for (n, time) in [
            (1_000, "2026-03-01T00:00:00Z"),
            (1_001, "2025-03-01T00:00:00Z"),
            (1_002, "2026-01-01T12:30:00Z"),
        ] {
            acme.take(&json!({"time": time, "details": {"amount": n, "late": sort}}))
                .await;
        }
        let mut pages = vec![first];
        while let Some(cursor) = pages.last().unwrap()["next_cursor"].as_str() {
            let page = acme
                .search(&[("sort", sort), ("limit", "10"), ("cursor", cursor)])
                .await
                .expect(200);
            pages.push(page);
        }
        let late = |page: &Value| {
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .any(|event| event["details"]["late"] == sort)
        };
        assert!(
            !pages.iter().any(late),
            "{sort}: what came after the first page is on a later one"
        );
        // The second reader sees what came during the first one's pages.
        let seen: Vec<u64> = pages.iter().flat_map(numbers).filter(|n| *n < 1_000).collect();
        assert_eq!(seen, expected, "{sort}");
        assert_eq!(pages.last().unwrap()["has_more"], false);

        let mut back = Vec::new();
        let mut page = pages.last().unwrap().clone();
        while let Some(cursor) = page["prev_cursor"].as_str() {
            page = acme
                .search(&[("sort", sort), ("limit", "10"), ("cursor", cursor)])
                .await
                .expect(200);
            back.push(numbers(&page));
        }
        back.reverse();
        let forth: Vec<_> = pages[..pages.len() - 1].iter().map(numbers).collect();
        assert_eq!(back, forth, "{sort}");
    }
    let link = acme.search(&[("limit", "10")]).await;
    let link = link.header("link").unwrap();
    let next = link.split_once('<').unwrap().1.split_once('>').unwrap();
    assert!(next.1.starts_with("; rel=\"next\""), "{link}");
    assert_eq!(
        acme.get(next.0).await.expect(200)["data"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_neither_show_twice_nor_end_the_pages() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("copied").await;
    deeds(&acme, 256).await;
    let oldest = json!({"event_id": "oldest", "time": "2020-02-03T04:05:06Z", "request_id": "copied"});
    acme.take(&oldest).await;
    app.sql("SYSTEM STOP MERGES events").await;
    let tenant = &acme.tenant;
    // As whoever writes a copy does before.
    app.sql("INSERT INTO dirty_months (month, dirty, marked_at) VALUES (202601, true, now64(6, 'UTC'))")
        .await;

    // All but the newest stand twice, so that the 250th row and the next are of one event.
    app.sql(&format!(
        "INSERT INTO events SELECT * FROM events WHERE tenant_id = '{tenant}' AND request_id != 'r255'"
    ))
    .await;
    let found = which(&acme, &[("limit", "1000"), ("resource_type", "document")]).await;
    assert_eq!(found, (0..256).rev().collect::<Vec<_>>());

    // Copies that don't count have what is sought; the one event that has it comes after 256 of them.
    app.sql(&format!(
        "INSERT INTO events SELECT * REPLACE (version - 1 AS version, 'copied' AS request_id) \
         FROM events WHERE tenant_id = '{tenant}' AND time > '2021-01-01 00:00:00'"
    ))
    .await;
    let mut page = acme
        .search(&[("request_id", "copied"), ("limit", "10")])
        .await
        .expect(200);
    let mut found = Vec::new();
    let mut pages = 1;
    loop {
        found.extend(page["data"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        assert!(pages < 50, "the pages come to no end");
        pages += 1;
        let on = [("request_id", "copied"), ("limit", "10"), ("cursor", cursor)];
        page = acme.search(&on).await.expect(200);
    }
    assert_eq!(found.len(), 1);
    assert!(pages > 1, "an empty page says that there is more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_good_for_who_was_given_it() {
    let app = App::shared().await;
    let acme = app.tenant("handed-on").await;
    deeds(&acme, 6).await;
    // Two who see the same: a search is recorded with its first page, in the name of who asked for it.
    let name = unique("ann");
    let wanted = json!({"name": name, "tenant_id": acme.tenant, "roles": ["auditor"], "password": "correct-horse-battery"});
    acme.post("/api/v1/users", &wanted).await.expect(201);
    let logged_in = async || {
        let token = app.login(&name, "correct-horse-battery").await;
        app.stranger().with(token["token"].as_str())
    };
    let (ann, bob) = (logged_in().await, app.key(&acme.tenant, &["auditor"]).await);
    let page = ann.search(&[("limit", "2")]).await.expect(200);
    let next = [("limit", "2"), ("cursor", page["next_cursor"].as_str().unwrap())];
    for other in [&bob, &acme, &app.user(&acme.tenant, &["auditor"]).await] {
        assert_eq!(other.search(&next).await.fields(400), ["cursor"]);
    }
    // In a new session she goes on, back and forth.
    let page = logged_in().await.search(&next).await.expect(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    let back = [("limit", "2"), ("cursor", page["prev_cursor"].as_str().unwrap())];
    ann.search(&back).await.expect(200);
}
