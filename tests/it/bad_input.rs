//! Whatever is sent: a problem that names the field, never a failure of the server.

use std::io::Write as _;

use reqwest::Method;
use serde_json::json;

use crate::support::App;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_events_are_refused_with_the_field() {
    let acme = App::shared().await.tenant("bad-body").await;
    let deep = format!("{{\"details\":{}1{}}}", "{\"a\":".repeat(40), "}".repeat(40));
    let very_deep = format!("{{\"details\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let keys: serde_json::Map<_, _> = (0..1_100).map(|n| (format!("k{n}"), json!(n))).collect();
    let wide = json!({ "details": keys }).to_string();
    let large = json!({"details": {"text": "x".repeat(300_000)}}).to_string();
    let no_unicode = [&b"{\"message\": \""[..], &[0xff, 0xfe], b"\"}"].concat();
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("malformed", b"{\"a\":".to_vec(), 422, ""),
        ("empty", b"".to_vec(), 422, ""),
        ("blank", b"  \n ".to_vec(), 422, ""),
        ("a number", b"12".to_vec(), 422, ""),
        ("an empty object", b"{}".to_vec(), 422, ""),
        (
            "NUL in a text",
            b"{\"message\": \"a\\u0000b\"}".to_vec(),
            422,
            "/message",
        ),
        ("a bare NUL", b"{\"message\": \"a\0b\"}".to_vec(), 422, "/message"),
        (
            "half a pair",
            b"{\"message\": \"\\ud800\"}".to_vec(),
            422,
            "/message",
        ),
        ("no UTF-8", no_unicode, 422, ""),
        (
            "a time of another type",
            b"{\"time\": {\"a\": 1}}".to_vec(),
            422,
            "/time",
        ),
        (
            "a time that is none",
            b"{\"time\": \"yesterday\"}".to_vec(),
            422,
            "/time",
        ),
        (
            "no such severity",
            b"{\"severity\": \"LOUD\"}".to_vec(),
            422,
            "/severity",
        ),
        (
            "no address",
            b"{\"ip_address\": \"1.2.3.4.5\"}".to_vec(),
            422,
            "/ip_address",
        ),
        (
            "an address of another type",
            b"{\"actor\": {\"ip\": 7}}".to_vec(),
            422,
            "/actor/ip",
        ),
        ("actors in a list", b"{\"actor\": [1]}".to_vec(), 422, "/actor"),
        (
            "tags of another type",
            b"{\"tags\": {\"a\": 1}}".to_vec(),
            422,
            "/tags",
        ),
        (
            "aliases that disagree",
            b"{\"user_id\": \"a\", \"actor\": {\"id\": \"b\"}}".to_vec(),
            422,
            "",
        ),
        (
            "a key twice",
            b"{\"action\": \"A\", \"action\": \"B\"}".to_vec(),
            422,
            "",
        ),
        ("deep", deep.into_bytes(), 422, ""),
        ("very deep", very_deep.into_bytes(), 422, ""),
        ("wide", wide.into_bytes(), 422, ""),
        ("large", large.into_bytes(), 413, ""),
    ];
    for (what, body, status, field) in cases {
        let answer = acme.send(Method::POST, "/api/v1/logs", &JSON, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.text());
        let fields = answer.fields(status);
        assert!(
            field.is_empty() || fields.iter().any(|found| found == field),
            "{what}: {fields:?}"
        );
        if status == 422 {
            assert!(!fields.is_empty(), "{what} names no field: {}", answer.text());
        }
        // In a batch it is that item's problem.
        if !body.contains(&b'\n') && serde_json::from_slice::<serde_json::Value>(&body).is_ok() {
            let batch = [b"[{\"action\":\"VIEW\"},", body.as_slice(), b"]"].concat();
            let answer = acme
                .send(Method::POST, "/api/v1/logs/bulk", &JSON, batch)
                .await
                .expect(207);
            assert_eq!(
                (&answer["accepted"], &answer["items"][1]["status"]),
                (&json!(1), &json!(status)),
                "{what}"
            );
        }
    }
    for broken in [
        "[{\"a\":1}",
        "[{\"a\":1},]",
        "{\"logs\": [}",
        "[1,2] 3",
        "{\"logs\": [{\"a\":1}], \"x\": 1}",
    ] {
        let answer = acme
            .send(Method::POST, "/api/v1/logs/bulk", &JSON, broken.to_owned())
            .await;
        assert!(
            matches!(answer.status.as_u16(), 207 | 400 | 422),
            "{broken}: {}",
            answer.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_or_of_another_kind_are_refused() {
    let acme = App::shared().await.tenant("bad-kind").await;
    let huge = vec![b' '; 10 * 1024 * 1024 + 1];
    for path in ["/api/v1/logs", "/api/v1/logs/bulk"] {
        acme.send(Method::POST, path, &JSON, huge.clone())
            .await
            .problem(413);
    }
    // 100 MiB of blanks in 100 KB: refused when the limit is reached, not when all is unpacked.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..100 {
        bomb.write_all(&vec![b' '; 1024 * 1024]).unwrap();
    }
    let gzip = [JSON[0], ("content-encoding", "gzip")];
    acme.send(Method::POST, "/api/v1/logs/bulk", &gzip, bomb.finish().unwrap())
        .await
        .problem(413);
    let zstd = zstd::encode_all(&vec![b' '; 50 * 1024 * 1024][..], 1).unwrap();
    let headers = [JSON[0], ("content-encoding", "zstd")];
    acme.send(Method::POST, "/api/v1/logs/bulk", &headers, zstd)
        .await
        .problem(413);
    acme.send(Method::POST, "/api/v1/logs", &gzip, "this is not gzip")
        .await
        .problem(400);
    // What log shippers make: one member behind another, under any name that gzip has. Each is read, and nothing else.
    let member = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let two = [member("{\"action\":\"A\"}\n"), member("{\"action\":\"B\"}\n")].concat();
    for name in ["gzip", "GZIP", "x-gzip"] {
        let headers = [
            ("content-type", "application/x-ndjson"),
            ("content-encoding", name),
        ];
        let answer = acme
            .send(Method::POST, "/api/v1/logs/bulk", &headers, two.clone())
            .await;
        assert_eq!(answer.expect(200)["accepted"], 2, "{name}");
        let garbage = [two.as_slice(), b"garbage"].concat();
        let answer = acme
            .send(Method::POST, "/api/v1/logs/bulk", &headers, garbage)
            .await;
        assert_eq!(
            answer.problem(400)["type"],
            "urn:trailhouse:problem:unreadable_body"
        );
    }
    let brotli = [JSON[0], ("content-encoding", "br")];
    acme.send(Method::POST, "/api/v1/logs", &brotli, "{}")
        .await
        .problem(415);
    for kind in [
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ] {
        acme.send(
            Method::POST,
            "/api/v1/logs",
            &[("content-type", kind)],
            "{\"a\":1}",
        )
        .await
        .problem(415);
        acme.send(Method::POST, "/api/v1/logs/bulk", &[("content-type", kind)], "[]")
            .await
            .problem(415);
    }
    let long = "k".repeat(300);
    let answer = acme
        .send(
            Method::POST,
            "/api/v1/logs",
            &[JSON[0], ("idempotency-key", &long)],
            "{\"a\":1}",
        )
        .await;
    assert_eq!(answer.fields(400), ["Idempotency-Key"]);
    assert_eq!(
        acme.post("/api/v1/logs?wait=forever", &json!({"a": 1}))
            .await
            .fields(400),
        ["wait"]
    );
    assert_eq!(
        acme.post("/api/v1/logs?wiat=indexed", &json!({"a": 1}))
            .await
            .fields(400),
        ["wiat"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_wrong_are_refused_with_every_field_and_no_word_of_ours() {
    let app = App::shared().await;
    let acme = app.tenant("bad-settings").await;
    let operator = app.operator().await;
    // What is asked for beside the body would be overlooked.
    let tom = json!({"name": "tom-of-nobody", "password": "long-enough-password", "roles": ["admin"]});
    let answer = operator.post("/api/v1/users?tenant_id=nobody", &tom).await;
    assert_eq!(answer.fields(400), ["tenant_id"]);
    let cases: &[(&str, serde_json::Value, &[&str])] = &[
        ("/login", json!({"username": 1}), &["/username", "/password"]),
        ("/login", json!(["admin", "password"]), &[""]),
        ("/api/v1/auth/refresh", json!({}), &["/refresh_token"]),
        ("/api/v1/auth/refresh", json!(["x"]), &[""]),
        (
            "/api/v1/users",
            json!({"name": 1}),
            &["/name", "/password", "/roles"],
        ),
        (
            "/api/v1/users",
            json!({"name": "x", "password": "long-enough-password", "roles": [null]}),
            &["/roles/0"],
        ),
        (
            "/api/v1/users",
            json!({"name": " ", "password": "short", "roles": [], "limit": "nonsense", "foo": 1}),
            &["/name", "/password", "/roles", "/limit", "/foo"],
        ),
        (
            "/api/v1/keys",
            json!({"name": "", "roles": ["operator"], "limit": "limit=5"}),
            &["/name", "/roles", "/limit"],
        ),
        (
            "/api/v1/keys",
            json!({"name": "x", "roles": ["admin", "king"], "events_per_second": 0}),
            &["/roles/1", "/events_per_second"],
        ),
        (
            "/api/v1/keys",
            json!({"name": "x", "roles": ["ingest"], "role": 1}),
            &["/role"],
        ),
        (
            "/api/v1/keys",
            json!({"name": "x", "roles": ["ingest"], "expires_at": "2020-01-01"}),
            &["/expires_at"],
        ),
        ("/api/v1/tenants", json!({"id": "../x"}), &["/id"]),
    ];
    for (path, body, fields) in cases {
        let caller = if *path == "/api/v1/tenants" {
            &operator
        } else {
            &acme
        };
        let refused = caller.post(path, body).await;
        assert_eq!(refused.fields(422), *fields, "{path} {body}");
        for ours in ["u32", "struct", "sequence", "variant"] {
            assert!(
                !refused.text().contains(ours),
                "{path} {body}: {}",
                refused.text()
            );
        }
    }
    let of_a_day = json!({"name": "x", "roles": ["ingest"], "expires_at": "2999-01-01"});
    let made = acme.post("/api/v1/keys", &of_a_day).await.expect(201);
    assert_eq!(made["expires_at"], "2999-01-01T00:00:00Z");
    for broken in ["", "{\"name\":"] {
        for path in ["/api/v1/keys", "/api/v1/logs"] {
            let refused = acme.send(Method::POST, path, &JSON, broken).await;
            assert_eq!(refused.problem(422)["type"], "urn:trailhouse:problem:invalid");
        }
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for path in ["/api/v1/keys", "/api/v1/logs", "/login"] {
        acme.send(Method::POST, path, &form, "{}").await.problem(415);
    }
}
