//! Background exports: asked for, written, fetched in parts, and gone when they are deleted.

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::deeds::deeds;
use crate::support::shape::expect_shape;
use crate::support::{Answer, App, Caller, unique, until, until_some};

/// Asks for an export; gives its id.
async fn asked(caller: &Caller, wanted: &Value) -> String {
    let answer = caller.post("/api/v1/exports", wanted).await;
    let export = answer.expect(202);
    let id = export["id"].as_str().unwrap().to_owned();
    assert_eq!(
        answer.header("location"),
        Some(format!("/api/v1/exports/{id}").as_str())
    );
    id
}

/// Waits until an export is finished.
async fn done(caller: &Caller, id: &str) -> Value {
    until_some("the export is finished", async || {
        let export = caller.get(&format!("/api/v1/exports/{id}")).await.expect(200);
        assert_ne!(export["state"], "failed", "{export}");
        (export["state"] == "done").then_some(export)
    })
    .await
}

async fn file(caller: &Caller, id: &str, headers: &[(&str, &str)]) -> Answer {
    caller
        .send(Method::GET, &format!("/api/v1/exports/{id}/file"), headers, "")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_written_by_itself_and_fetched_in_parts() {
    let app = App::shared().await;
    let acme = app.tenant("exports").await;
    deeds(&acme, 60).await;
    let wanted =
        json!({"query": "outcome=failure&from=2026-01-01", "format": "ndjson", "compression": "gzip"});
    let id = asked(&acme, &wanted).await;
    let export = done(&acme, &id).await;
    expect_shape(&export, "getExport");
    assert_eq!(
        (&export["events"], &export["progress"], &export["query"]),
        (&json!(30), &json!(1.0), &wanted["query"])
    );
    assert_eq!(
        acme.get("/api/v1/exports").await.expect(200)["data"],
        json!([export])
    );

    let whole = file(&acme, &id, &[]).await;
    assert_eq!(
        (whole.status, whole.body.len() as u64),
        (reqwest::StatusCode::OK, export["bytes"].as_u64().unwrap())
    );
    assert_eq!(whole.header("content-type"), Some("application/gzip"));
    let policy = whole.header("ratelimit-policy").unwrap();
    assert!(policy.starts_with("\"searching\""), "it is a search: {policy}");
    assert!(
        whole
            .header("content-disposition")
            .unwrap()
            .ends_with(".ndjson.gz\"")
    );
    let tag = format!("\"{}\"", export["sha256"].as_str().unwrap());
    assert_eq!(whole.header("etag"), Some(tag.as_str()));
    let mut unpacked = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*whole.body), &mut unpacked).unwrap();
    let streamed = acme
        .get("/api/v1/logs/export?outcome=failure&from=2026-01-01")
        .await;
    assert_eq!(unpacked, streamed.text(), "the same as when it is streamed");

    // Broken off after 100 bytes, and taken up again.
    let first = file(&acme, &id, &[("range", "bytes=0-99")]).await;
    assert_eq!((first.status.as_u16(), first.body.len()), (206, 100));
    let rest = file(&acme, &id, &[("range", "bytes=100-"), ("if-range", &tag)]).await;
    assert_eq!(rest.status, 206);
    let joined = Bytes::from([&first.body[..], &rest.body[..]].concat());
    assert_eq!(joined, whole.body);
    let of_another = file(&acme, &id, &[("range", "bytes=100-"), ("if-range", "\"other\"")]).await;
    assert_eq!(
        (of_another.status.as_u16(), of_another.body),
        (200, whole.body.clone())
    );
    for known in [&tag, &format!("\"other\", W/{tag}")] {
        assert_eq!(file(&acme, &id, &[("if-none-match", known)]).await.status, 304);
    }
    let path = format!("/api/v1/exports/{id}");
    let shown = acme.get(&path).await;
    let known = [("if-none-match", shown.header("etag").unwrap())];
    assert_eq!(acme.send(Method::GET, &path, &known, "").await.status, 304);
    let beyond = file(&acme, &id, &[("range", "bytes=999999-")]).await;
    beyond.problem(416);
    assert_eq!(
        beyond.header("content-range"),
        Some(format!("bytes */{}", whole.body.len()).as_str())
    );

    let on_disk = app.data_dir().join("exports").join(&id);
    assert!(on_disk.exists());
    acme.send(Method::DELETE, &format!("/api/v1/exports/{id}"), &[], "")
        .await;
    acme.get(&format!("/api/v1/exports/{id}")).await.problem(404);
    file(&acme, &id, &[]).await.problem(404);
    until("its file is gone", async || !on_disk.exists()).await;

    // Nothing is something to export, in every form.
    for format in ["json", "ndjson", "csv", "parquet"] {
        let id = asked(&acme, &json!({"query": "?user_id=nobody", "format": format})).await;
        assert_eq!(done(&acme, &id).await["events"], 0, "{format}");
    }
    let every = asked(&acme, &json!({})).await;
    assert_eq!(done(&acme, &every).await["events"], 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_that_make_no_sense_are_refused_and_repeated_ones_are_one() {
    let acme = App::shared().await.tenant("exports-bad").await;
    for (wanted, field) in [
        (json!({"format": "xml"}), "/format"),
        (json!({"compression": "br"}), "/compression"),
        (
            json!({"format": "parquet", "compression": "gzip"}),
            "/compression",
        ),
        (json!({"query": "usr_id=a"}), "/query"),
        (json!({"query": "limit=5"}), "/query"),
        (json!({"query": "tenant_id=other"}), "/query"),
        (json!({"query": "scope%3Aown=x"}), "/query"),
        (json!({"query": "a=%ff"}), "/query"),
        (json!({"query": 5}), "/query"),
    ] {
        let answer = acme.post("/api/v1/exports", &wanted).await;
        assert_eq!(answer.fields(422), [field], "{wanted}");
    }
    let again = async |wanted: Value, key: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        acme.send(Method::POST, "/api/v1/exports", &headers, wanted.to_string())
            .await
    };
    let key = unique("wish");
    let first = again(json!({"query": "user_id=a"}), &key).await.expect(202);
    let second = again(json!({"query": "user_id=a"}), &key).await.expect(202);
    assert_eq!(first["id"], second["id"]);
    for another in [
        json!({"query": "user_id=b"}),
        json!({"query": "user_id=a", "format": "csv"}),
        json!({"query": "user_id=a", "compression": "gzip"}),
    ] {
        again(another, &key).await.problem(409);
    }
    file(&acme, "nosuch", &[]).await.problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_fetches_any_part_of_a_file_is_recorded() {
    let app = App::shared().await;
    let acme = app.tenant("exports-fetched").await;
    deeds(&acme, 6).await;
    let id = asked(&acme, &json!({})).await;
    let tag = format!("\"{}\"", done(&acme, &id).await["sha256"].as_str().unwrap());
    let of_another = "\"other\"";
    for (headers, recorded) in [
        (&[][..], json!({"export": id})),
        (
            &[("range", "bytes=1-")],
            json!({"export": id, "range": "bytes=1-"}),
        ),
        (
            &[("range", "bytes=-5")],
            json!({"export": id, "range": "bytes=-5"}),
        ),
        (
            &[("range", "bytes=1-"), ("if-range", of_another)],
            json!({"export": id}),
        ),
        (
            &[("range", "bytes=2-"), ("if-range", &tag)],
            json!({"export": id, "range": "bytes=2-"}),
        ),
    ] {
        let auditor = app.user(&acme.tenant, &["auditor"]).await;
        let fetched = file(&auditor, &id, headers).await;
        assert!(fetched.status.is_success(), "{}", fetched.text());
        let who = auditor.get("/api/v1/auth/me").await.expect(200);
        until("the fetch is found", async || {
            let asked = [
                ("event_type", "trailhouse.export"),
                ("user_id", who["name"].as_str().unwrap()),
            ];
            let found = acme.found(&asked).await;
            !found.is_empty() && found.iter().all(|event| event["details"]["query"] == recorded)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_exports_for_a_tenant_by_its_saved_searches() {
    let app = App::shared().await;
    let acme = app.tenant("exports-saved").await;
    deeds(&acme, 12).await;
    let wanted = json!({"name": "failures", "query": "outcome=failure&sort=time"});
    let saved = acme.post("/api/v1/searches", &wanted).await.expect(201);
    let query = format!("saved={}", saved["id"].as_str().unwrap());
    let operator = app.operator().await;
    let own = operator.post("/api/v1/exports", &json!({"query": query})).await;
    assert_eq!(own.fields(422), ["/query"], "it is another tenant's");
    let id = asked(&operator, &json!({"query": query, "tenant_id": acme.tenant})).await;
    assert_eq!(done(&acme, &id).await["events"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_to_those_who_see_as_much() {
    let app = App::shared().await;
    let acme = app.tenant("exports-walls").await;
    deeds(&acme, 12).await;
    let eve = app.tenant("exports-eve").await;
    let limited = acme
        .post(
            "/api/v1/keys",
            &json!({"name": "limited", "roles": ["auditor"], "limit": "user_id=user1"}),
        )
        .await
        .expect(201);
    let limited = acme.with(limited["key"].as_str());
    let user = app.user(&acme.tenant, &["user"]).await;
    let whole = asked(&acme, &json!({})).await;
    let part = asked(&limited, &json!({})).await;
    done(&acme, &whole).await;
    assert_eq!(done(&limited, &part).await["events"], 3, "of user1 alone");
    assert!(
        !acme
            .get(&format!("/api/v1/exports/{part}"))
            .await
            .text()
            .contains("scope")
    );
    for (caller, ids) in [
        (&acme, vec![&part, &whole]),
        (&limited, vec![&part]),
        (&eve, vec![]),
    ] {
        let listed = caller.get("/api/v1/exports").await.expect(200);
        let listed: Vec<_> = listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|export| export["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(listed.iter().collect::<Vec<_>>(), ids);
        for id in [&whole, &part] {
            let fetched = file(caller, id, &[]).await;
            match ids.contains(&id) {
                true => assert_eq!(fetched.status, 200),
                false => drop(fetched.problem(404)),
            }
        }
    }
    let path = format!("/api/v1/exports/{whole}");
    for stranger in [&eve, &limited] {
        stranger.send(Method::DELETE, &path, &[], "").await.problem(404);
    }
    user.send(Method::DELETE, &path, &[], "").await.problem(403);
    user.get("/api/v1/exports").await.problem(403);
    let auditor = app.user(&acme.tenant, &["auditor"]).await;
    auditor.send(Method::DELETE, &path, &[], "").await.problem(403);
    assert_eq!(acme.send(Method::DELETE, &path, &[], "").await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_interrupts_begins_again_and_other_instances_say_where_it_is() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("exports-crash").await;
    app.sql(&format!(
        "INSERT INTO events (tenant_id, time, event_id, received_at, event_type, message, version) \
         SELECT '{}', toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + toIntervalSecond(number), generateUUIDv4(), \
         now64(6, 'UTC'), 'made', repeat('x', 500), 100 FROM numbers(150000)",
        acme.tenant
    ))
    .await;
    let id = asked(&acme, &json!({"format": "csv", "compression": "zstd"})).await;
    app.kill9().await;
    app.start().await;
    let finished = done(&acme, &id).await;
    assert_eq!(finished["events"], 150_000);
    let whole = zstd::decode_all(&*file(&acme, &id, &[]).await.body).unwrap();
    assert_eq!(csv::Reader::from_reader(&*whole).records().count(), 150_000);

    // The same log, seen from elsewhere.
    app.kill9().await;
    let elsewhere = app.home().join("elsewhere");
    std::fs::rename(app.data_dir(), &elsewhere).unwrap();
    app.set("TRAILHOUSE_DATA_DIR", elsewhere.to_str().unwrap());
    app.start().await;
    assert_eq!(
        acme.get(&format!("/api/v1/exports/{id}")).await.expect(200)["state"],
        "done"
    );
    let refused = file(&acme, &id, &[]).await.problem(409);
    assert_eq!(refused["type"], "urn:trailhouse:problem:elsewhere");
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains(finished["instance"].as_str().unwrap())
    );
    std::os::unix::fs::symlink(&elsewhere, app.data_dir()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_from_before_a_clean_up_is_given_to_nobody() {
    let acme = App::shared().await.tenant("exports-cleaned").await;
    deeds(&acme, 12).await;
    let id = asked(&acme, &json!({})).await;
    done(&acme, &id).await;
    assert_eq!(file(&acme, &id, &[]).await.status, 200);
    let cleaned = acme
        .send(
            Method::DELETE,
            "/api/v1/logs/cleanup?before=2026-01-01T06:00:00Z",
            &[],
            "",
        )
        .await;
    assert!(cleaned.status.is_success(), "{}", cleaned.text());
    let gone = file(&acme, &id, &[]).await.problem(410);
    assert_eq!(gone["type"], "urn:trailhouse:problem:outdated");
    let again = asked(&acme, &json!({})).await;
    assert_eq!(done(&acme, &again).await["events"], 6);
    assert_eq!(file(&acme, &again, &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_from_before_a_redaction_is_given_to_nobody() {
    let app = App::shared().await;
    let acme = app.tenant("exports-redacted").await;
    let secret = unique("secret");
    let take = async |time: &str| {
        let event = json!({"event_type": "r", "time": time, "message": secret});
        acme.take(&event).await
    };
    let (january, february) = (take("2026-01-05").await, take("2026-02-05").await);
    let export = async |query: &str| {
        let id = asked(&acme, &json!({"query": query, "format": "ndjson"})).await;
        done(&acme, &id).await;
        assert_eq!(file(&acme, &id, &[]).await.status, 200);
        id
    };
    let redact = async |id: &str, field: &str| {
        let path = format!("/api/v1/logs/{id}?reason=x{field}");
        acme.send(Method::DELETE, &path, &[], "").await.expect(200);
    };
    let is_outdated = async |id: &str| {
        let answer = file(&acme, id, &[]).await;
        if answer.status == 200 {
            return false;
        }
        assert_eq!(answer.problem(410)["type"], "urn:trailhouse:problem:outdated");
        true
    };
    let (all, of_january) = (export("").await, export("to=2026-02-01").await);
    redact(&february, "").await;
    assert!(is_outdated(&all).await && !is_outdated(&of_january).await);
    let again = export("").await;
    assert!(
        !file(&acme, &again, &[])
            .await
            .text()
            .lines()
            .any(|line| { line.contains(&february) && line.contains(&secret) })
    );
    // A merge is none, and a second redaction is one.
    app.sql("OPTIMIZE TABLE events FINAL").await;
    assert!(!is_outdated(&again).await);
    redact(&january, "&field=/message").await;
    assert!(is_outdated(&again).await && is_outdated(&of_january).await);
    let again = export("").await;
    assert!(!file(&acme, &again, &[]).await.text().contains(&secret));
    redact(&january, "").await;
    assert!(is_outdated(&again).await);
}
