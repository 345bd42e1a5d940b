//! Searches with anything in them: values stay values, and what is not known is named.

use serde_json::json;

use crate::support::App;

#[tokio::test(flavor = "multi_thread")]
async fn searches_take_values_as_values_and_name_what_they_do_not_know() {
    let app = App::shared().await;
    let acme = app.tenant("bad-search").await;
    let odd = [
        "' OR 1=1 --",
        "'; DROP TABLE events; --",
        "\\",
        "\\'",
        "%",
        "_",
        "{tenant:String}",
        "\u{7f}",
        "'\"`",
        "\n\t\r",
        "😀 ß",
        "$(id)",
        "?",
        "a\\\\'b",
    ];
    for text in odd {
        acme.take(&json!({"user_id": text, "session_id": text, "action": text, "event_type": text, "resource_id": text,
            "resource_type": text, "request_id": text, "trace_id": text, "tags": [text], "details": {"path": text, text: "as a key"}}))
            .await;
    }
    acme.take(&json!({"user_id": "plain", "details": {"path": "plain"}}))
        .await;
    let texts = [
        "user_id",
        "session_id",
        "action",
        "event_type",
        "resource_id",
        "resource_type",
        "request_id",
        "trace_id",
        "tag",
        "details.path",
        "metadata.path",
    ];
    for text in odd {
        for name in texts {
            let found = acme.found(&[(name, text)]).await;
            assert_eq!(found.len(), 1, "{name}={text:?}");
            assert_eq!(found[0]["actor"]["id"], text, "{name}");
            let others = acme.found(&[(format!("{name}!").as_str(), text)]).await;
            assert_eq!(others.len(), odd.len(), "{name}!={text:?}");
        }
        for name in [
            "from",
            "to",
            "severity",
            "min_severity",
            "outcome",
            "ip",
            "sort",
            "limit",
            "cursor",
            "count",
            "event_id",
            "include",
            "tenant_id",
            "received_from",
        ] {
            let fields = acme.search(&[(name, text)]).await.fields(400);
            assert_eq!(fields, [name], "{text:?}");
        }
        // Words are words, whatever stands between them.
        let answer = acme.search(&[("q", text)]).await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 400),
            "q={text:?}: {}",
            answer.text()
        );
        let answer = acme
            .search(&[(format!("details.{text}").as_str(), "as a key")])
            .await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 400),
            "details.{text:?}: {}",
            answer.text()
        );
        let path = format!(
            "/api/v1/logs/{}",
            text.bytes()
                .map(|byte| format!("%{byte:02X}"))
                .collect::<String>()
        );
        acme.get(&path).await.problem(404);
    }
    assert_eq!(
        acme.search(&[("count", "true"), ("limit", "1")])
            .await
            .expect(200)["count"],
        odd.len() + 1
    );

    for (name, value) in [
        ("usr_id", "x"),
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "-1"),
        ("sort", "user_id"),
        ("cursor", "AAAA"),
        ("from", "2026-13-01"),
        ("from", "2026"),
        ("details.a[gt][lt]", "1"),
        ("details.a[like]", "x"),
        ("details.a[0]", "x"),
        ("details.a[0].b", "x"),
        ("user_id[gt]", "x"),
        ("ip", "10.0.0.0/33"),
    ] {
        let problem = acme.search(&[(name, value)]).await.problem(400);
        assert!(
            problem["errors"][0]["field"]
                .as_str()
                .is_some_and(|field| name.starts_with(field) || field == name),
            "{name}: {problem}"
        );
    }
    let guessed = acme.search(&[("usr_id", "x")]).await.problem(400);
    assert!(guessed.to_string().contains("user_id"), "{guessed}");
    let many: Vec<(String, String)> = (0..1_100)
        .map(|n| ("user_id".to_owned(), n.to_string()))
        .collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    acme.search(&many).await.problem(400);
    for query in ["user_id=%ff", "user_id=%00", "%00=1", "user_id=%zz"] {
        acme.get(&format!("/api/v1/logs?{query}")).await.problem(400);
    }
    assert_eq!(acme.get("/api/v1/logs/%ff").await.fields(400), ["id"]);
    // A tenant that does not exist is no empty one, and only operators learn of it.
    let operator = app.operator().await;
    for path in ["/api/v1/logs?tenant_id=nosuch", "/api/v1/logs/1?tenant_id=nosuch"] {
        operator.get(path).await.problem(404);
        acme.get(path).await.problem(403);
    }
    operator.search(&[("tenant_id", &acme.tenant)]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_of_any_route_has_an_answer() {
    let app = App::shared().await;
    let routes = [
        "logs?",
        "logs/stats?",
        "logs/export?",
        "logs/correlate?trace_id=x&",
    ];
    let encoded = |text: &str| {
        text.bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect::<String>()
    };
    for route in routes {
        // Each has a budget of its own.
        let acme = app.tenant("any-route").await;
        let ask = async |query: &str| acme.get(&format!("/api/v1/{route}{query}")).await;
        let many = ask(&"tag=1&".repeat(10_000)).await;
        let detail = many.problem(400)["detail"].to_string();
        assert!(
            detail.contains("10000 parameters are too many") || detail.contains("10001"),
            "{detail}"
        );
        for query in [
            "from=10000-01-01",
            "from=99999999999999999999",
            "to=-1",
            "from=2026-02-30",
            "received_to=tomorrow",
        ] {
            assert_eq!(
                ask(query).await.fields(400),
                [query.split('=').next().unwrap()],
                "{route}{query}"
            );
        }
        for query in [
            "from=0001-01-01&to=9999-12-31",
            "from=1700-01-01T00:00:00Z",
            "received_from=2299-12-31",
        ] {
            assert_eq!(ask(query).await.status, 200, "{route}{query}");
        }
        for q in [
            ".*",
            "(a+)+$",
            "[",
            "^ada$",
            "\\",
            "'; DROP TABLE events; --",
            "\"open",
            "\"\"",
            "-",
            "OR",
            "a OR",
            "- -",
            "%",
            "*",
            "\u{202e}x",
        ] {
            let answer = ask(&format!("q={}", encoded(q))).await;
            match answer.status.as_u16() {
                200 => {}
                _ => assert_eq!(answer.fields(400), ["q"], "{route}{q}"),
            }
        }
    }
    let acme = app.tenant("any-words").await;
    acme.take(&json!({"user_id": "ada", "message": "a (b) [c] 100%", "time": "2026-01-01T00:00:00Z"}))
        .await;
    assert_eq!(
        acme.found(&[("q", "(b) [c]")]).await.len(),
        1,
        "words, and no pattern"
    );
    assert_eq!(acme.found(&[("q", "b.*c")]).await.len(), 1, "the phrase b c");
    for route in ["logs?limit=2&", "logs/correlate?trace_id=x&"] {
        for cursor in ["AAAA", "%00", "x".repeat(5_000).as_str(), "../../etc/passwd"] {
            let answer = acme
                .get(&format!("/api/v1/{route}cursor={}", encoded(cursor)))
                .await;
            assert_eq!(answer.fields(400), ["cursor"], "{cursor}");
        }
    }
}

/// Under a bound on memory, since what takes long on one machine takes no time on another: three requests of 8 MB each
/// make what a comparison has to read larger than what one question may use.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_costs_too_much_is_stopped_and_disturbs_nobody() {
    let app = App::start_with(&[("TRAILHOUSE_CLICKHOUSE__QUERY_MEMORY", "8000000")]).await;
    let acme = app.tenant("costly").await;
    let text = "x".repeat(200_000);
    for batch in 0..3 {
        let events: Vec<_> = (0..40)
            .map(|n| json!({"user_id": format!("u{batch}-{n}"), "details": {"n": n, "text": text}}))
            .collect();
        let answer = acme
            .post("/api/v1/logs/bulk?wait=indexed", &json!(events))
            .await
            .expect(200);
        assert_eq!(answer["accepted"], 40);
    }
    let problem = acme.search(&[("details.n[gt]", "1000")]).await.problem(400);
    assert_eq!(problem["type"], "urn:trailhouse:problem:too_costly", "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("from and to") && detail.contains("equal values"),
        "{detail}"
    );

    // What the indexes answer is answered, and the server goes on.
    assert!(acme.found(&[("user_id", "nobody")]).await.is_empty());
    assert!(acme.found(&[("details.n", "1000")]).await.is_empty());
    let other = app.tenant("frugal").await;
    other
        .take(&json!({"user_id": "ada", "details": {"n": 2_000}}))
        .await;
    assert_eq!(other.found(&[("details.n[gt]", "1000")]).await.len(), 1);
    acme.get("/readyz").await.expect(200);
}
