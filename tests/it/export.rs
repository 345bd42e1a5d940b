//! Exports: every event once, oldest first, in every form; and nothing that others have.

use std::io::Read as _;

use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use serde_json::{Value, json};

use crate::support::deeds::deeds;
use crate::support::{Answer, App, Caller};

async fn export(caller: &Caller, query: &str) -> Answer {
    let answer = caller.get(&format!("/api/v1/logs/export?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Rows of a table as objects.
fn records(table: &[u8]) -> Vec<std::collections::HashMap<String, String>> {
    let mut reader = csv::Reader::from_reader(table);
    reader.deserialize().map(Result::unwrap).collect()
}

/// Events beside the deeds that are hard to write down.
async fn oddities(acme: &Caller) {
    acme.take(&json!({
        "time": "2026-02-01T00:00:00.123456+01:00",
        "event_type": "=HYPERLINK(\"http://x\")",
        "user_id": "@ada", "action": "+1", "message": "two\nlines, \"quoted\"\r\n",
        "details": {"deep": {"list": [1, {"a.b": null}]}, "amount": -5, "text": "-5", "tab": "\tx"},
        "before": {"a": 1.50}, "after": {"a": 2},
    }))
    .await;
    acme.take(&json!({"time": "2026-02-02T00:00:00Z"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_has_every_event_as_a_search_shows_it() {
    let acme = App::shared().await.tenant("export").await;
    deeds(&acme, 60).await;
    oddities(&acme).await;
    let found = acme.search(&[("sort", "time"), ("limit", "1000")]).await;

    let ndjson = export(&acme, "").await;
    assert_eq!(ndjson.header("content-type"), Some("application/x-ndjson"));
    let name = ndjson.header("content-disposition").unwrap();
    assert!(
        name.starts_with(&format!("attachment; filename=\"trailhouse-{}-2", acme.tenant))
            && name.ends_with("Z.ndjson\""),
        "{name}"
    );
    // The same bytes: a page is these lines between commas.
    let between = ndjson.text().trim_end().replace('\n', ",");
    assert!(
        found.text().contains(&format!("\"data\":[{between}]")),
        "{}",
        ndjson.text()
    );

    let events = found.json()["data"].as_array().unwrap().clone();
    assert_eq!(events.len(), 62);
    let json = export(&acme, "format=json").await;
    assert_eq!(
        (json.json(), json.header("content-type")),
        (json!(events), Some("application/json"))
    );

    let table = records(&export(&acme, "format=csv").await.body);
    assert_eq!(table.len(), 62);
    for (row, event) in table.iter().zip(&events) {
        for (column, pointer) in [
            ("event_id", "/event_id"),
            ("time", "/time"),
            ("session_id", "/actor/session_id"),
            ("resource_id", "/resource/id"),
        ] {
            let value = event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            assert_eq!(row[column], value, "{column}");
        }
        let details = event.get("details").map(Value::to_string).unwrap_or_default();
        assert_eq!(row["details"].is_empty(), details.is_empty());
        if !details.is_empty() {
            assert_eq!(
                serde_json::from_str::<Value>(&row["details"]).unwrap(),
                event["details"]
            );
        }
    }
    let odd = &table[60];
    assert_eq!(odd["message"], "two\nlines, \"quoted\"\r\n");
    for (column, cell) in [
        ("event_type", "'=HYPERLINK(\"http://x\")"),
        ("actor_id", "'@ada"),
        ("action", "'+1"),
        ("time_offset", "'+01:00"),
    ] {
        assert_eq!(odd[column], cell, "no spreadsheet takes it for a formula");
    }

    let file = export(&acme, "format=parquet").await;
    assert_eq!(
        file.header("content-type"),
        Some("application/vnd.apache.parquet")
    );
    let reader = SerializedFileReader::new(file.body.clone()).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 62);
    for (row, event) in rows.iter().zip(&events) {
        assert_eq!(row.get_string(0).unwrap(), event["event_id"].as_str().unwrap());
    }
    assert_eq!(rows[0].get_timestamp_micros(3).unwrap(), 1_767_225_600_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_filters_and_packing_are_as_asked() {
    let acme = App::shared().await.tenant("export-chosen").await;
    deeds(&acme, 60).await;
    let chosen =
        "fields=details.amount,actor.id,details.cart&user_id=user3&q=fox%20OR%20nothing&session_id!=s2";
    let is_meant = |n: &u64| n % 5 == 3 && n % 7 != 2;
    let expected: Vec<u64> = (0..60).filter(is_meant).collect();
    let found = lines(&export(&acme, chosen).await.text());
    let first =
        json!({"actor": {"id": "user3"}, "details": {"amount": 3, "cart": {"items": [{"sku": "A3"}]}}});
    assert_eq!(found[0], first, "filters see what is not shown");
    let numbers = |found: &[Value]| {
        found
            .iter()
            .map(|event| event["details"]["amount"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&found), expected);
    // The same of a search.
    let page = acme
        .get(&format!("/api/v1/logs?{chosen}&sort=time"))
        .await
        .expect(200);
    assert_eq!(page["data"], json!(found));
    let whole = acme
        .get("/api/v1/logs?fields=event_type&limit=2")
        .await
        .expect(200);
    assert_eq!(
        whole["data"],
        json!([{"event_type": "document.delete"}, {"event_type": "document.update"}])
    );

    let table = export(&acme, &format!("format=csv&{chosen}")).await;
    let text = table.text();
    let mut written = text.split("\r\n");
    assert_eq!(written.next(), Some("details.amount,actor_id,details.cart"));
    assert_eq!(
        written.next(),
        Some("3,user3,\"{\"\"cart\"\":{\"\"items\"\":[{\"\"sku\"\":\"\"A3\"\"}]}}\"")
    );

    let plain = export(&acme, "format=csv").await.body;
    let packed = export(&acme, "format=csv&compression=gzip").await;
    assert_eq!(packed.header("content-type"), Some("application/gzip"));
    assert!(
        packed.header("content-encoding").is_none(),
        "a packed file, not a packed answer"
    );
    assert!(
        packed
            .header("content-disposition")
            .unwrap()
            .ends_with(".csv.gz\"")
    );
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&*packed.body)
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(Bytes::from(unpacked), plain);
    let zstd = acme
        .send(
            reqwest::Method::GET,
            "/api/v1/logs/export?format=csv&compression=zstd",
            &[("accept-encoding", "gzip")],
            "",
        )
        .await;
    assert!(zstd.header("content-encoding").is_none(), "not packed twice");
    assert_eq!(Bytes::from(zstd::decode_all(&*zstd.body).unwrap()), plain);

    for (query, nothing) in [
        ("format=json", "[\n]\n"),
        ("format=ndjson", ""),
        ("format=csv&fields=time", "time\r\n"),
    ] {
        assert_eq!(
            export(&acme, &format!("{query}&user_id=nobody")).await.text(),
            nothing
        );
    }
    for (query, field) in [
        ("format=xlsx", "format"),
        ("compression=brotli", "compression"),
        ("format=parquet&compression=zstd", "compression"),
        ("limit=10", "limit"),
        ("cursor=x", "cursor"),
        ("fields=nosuch", "fields"),
        ("usr_id=x", "usr_id"),
        ("from=2026-01-02&to=2026-01-01", "to"),
    ] {
        let answer = acme.get(&format!("/api/v1/logs/export?{query}")).await;
        assert_eq!(answer.fields(400), [field], "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_stays_behind_its_walls() {
    let app = App::shared().await;
    let acme = app.tenant("export-walls").await;
    deeds(&acme, 10).await;
    let eve = app.tenant("export-eve").await;
    assert_eq!(export(&eve, "").await.text(), "");
    let path = format!("/api/v1/logs/export?tenant_id={}", acme.tenant);
    eve.get(&path).await.problem(403);
    let operator = app.operator().await;
    assert_eq!(lines(&operator.get(&path).await.text()).len(), 10);
    operator
        .get("/api/v1/logs/export?tenant_id=nosuch")
        .await
        .problem(404);
    let user = app.user(&acme.tenant, &["user"]).await;
    user.take(&json!({"action": "VIEW"})).await;
    // Its own events it may read, and that is all.
    user.get("/api/v1/logs/export").await.problem(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_stretches_are_one_file_and_copies_are_left_out() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("stretches").await;
    app.sql("SYSTEM STOP MERGES events").await;
    // Six months, 13 events in each moment; then copies in two of the months, which are marked.
    let of = |replace: &str, from: u32, to: u32| {
        format!(
            "INSERT INTO events (tenant_id, time, event_id, received_at, event_type, actor_id, version) \
             SELECT '{}', toDateTime64('2025-10-01 00:00:00', 6, 'UTC') + toIntervalHour(intDiv(number, 13)), \
             toUUID(concat('00000000-0000-4000-8000-', leftPad(toString(number), 12, '0'))), now64(6, 'UTC'), 'made', {replace} \
             FROM numbers({from}, {to})",
            acme.tenant
        )
    };
    app.sql(&of("toString(number), 100", 0, 56_000)).await;
    for (month, from) in [("202511", 12_000), ("202602", 40_000)] {
        app.sql(&format!(
            "INSERT INTO dirty_months SELECT {month}, true, now64(6, 'UTC')"
        ))
        .await;
        app.sql(&of("'loses', 99", from, 1_000)).await;
        app.sql(&of("'wins', 101", from + 2_000, 1_000)).await;
    }
    let found = lines(&export(&acme, "fields=event_id,actor.id").await.text());
    assert_eq!(found.len(), 56_000);
    for (n, event) in found.iter().enumerate() {
        assert_eq!(event["event_id"], format!("00000000-0000-4000-8000-{n:012}"));
        let is_replaced = [14_000..15_000, 42_000..43_000]
            .iter()
            .any(|range| range.contains(&n));
        let actor = if is_replaced {
            "wins".to_owned()
        } else {
            n.to_string()
        };
        assert_eq!(event["actor"]["id"], actor.as_str());
    }
    let part = lines(
        &export(
            &acme,
            "fields=event_id&from=2025-11-10&to=2026-02-13T05:00:00Z&actor_id=wins",
        )
        .await
        .text(),
    );
    assert_eq!(
        part.len(),
        1_000 + 185,
        "of what was replaced, what lies before the end"
    );
    let file = export(&acme, "format=parquet&fields=event_id").await;
    let reader = SerializedFileReader::new(file.body.clone()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 56_000);
}
