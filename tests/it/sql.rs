//! SQL: views that show what the API shows, and the questions that docs/sql.md answers with them.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, Caller, until};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What `trailhouse sql` prints.
async fn sql(app: &App, arguments: &[&str]) -> String {
    let ran = app.run(&[&["sql"], arguments].concat()).await;
    assert!(ran.ok, "{arguments:?}: {}", ran.err);
    ran.out.trim_end().to_owned()
}

/// Events as the API exports them.
async fn exported(caller: &Caller) -> Vec<Value> {
    let answer = caller.get("/api/v1/logs/export?format=ndjson").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lines = answer.text();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_questions_in_the_documentation_have_these_answers() {
    let app = App::start_with(&[]).await;
    let tenant = app.key("default", &["admin"]).await;
    let samples = root().join("connectors/aws_cloudtrail/samples/invictus-ir_aws_dataset");
    let url = format!("http://{}", app.at().web);
    let token = tenant.credential.as_deref().unwrap();
    let imported = app
        .run(&[
            "import",
            samples.to_str().unwrap(),
            "--url",
            &url,
            "--token",
            token,
        ])
        .await;
    assert!(imported.ok, "{}{}", imported.out, imported.err);

    let page = std::fs::read_to_string(root().join("docs/sql.md")).unwrap();
    let mut questions = 0;
    for part in page.split("```sql\n").skip(1) {
        let (question, rest) = part.split_once("\n```\n").unwrap();
        let (answer, _) = rest
            .trim_start()
            .strip_prefix("```csv\n")
            .unwrap()
            .split_once("\n```")
            .unwrap();
        assert_eq!(
            sql(&app, &["--format", "csv", question]).await,
            answer,
            "{question}"
        );
        questions += 1;
    }
    assert_eq!(questions, 10);

    // Each of them was written down before it was answered.
    let asked = "SELECT count() FROM v1_trail WHERE event_type = 'trailhouse.sql' AND details['query.sql'] LIKE '%v1_%'";
    until("the questions are events", async || {
        sql(&app, &["--format", "csv", asked]).await != "\"count()\"\n0"
    })
    .await;
    let found = tenant
        .found(&[("event_type", "trailhouse.sql"), ("q", "tampered OR StopLogging")])
        .await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["actor"]["user_agent"], "trailhouse sql");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_show_what_an_export_shows() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("viewed").await;
    let event = |n: usize| {
        json!({"event_id": format!("v-{n}"), "event_type": "viewed", "time": format!("2026-05-{:02}T00:00:00Z", n % 28 + 1), "user_id": format!("u{}", n % 3),
            "resource_type": "doc", "resource_id": format!("d{}", n % 5), "message": format!("secret {n}"), "ip_address": "192.0.2.1", "details": {"n": n}})
    };
    let all: Vec<Value> = (0..40).map(event).collect();
    for _ in 0..2 {
        acme.post("/api/v1/logs/bulk?wait=indexed", &json!(all))
            .await
            .expect(200);
    }
    let ids: Vec<String> = exported(&acme)
        .await
        .iter()
        .map(|event| event["event_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 40);
    let patch = [("content-type", "application/json")];
    for id in &ids[..10] {
        let path = format!("/api/v1/logs/{id}");
        acme.send(
            Method::PATCH,
            &path,
            &patch,
            json!({"actor": {"id": "amended"}}).to_string(),
        )
        .await
        .expect(200);
    }
    for id in &ids[5..15] {
        let path = format!("/api/v1/logs/{id}?reason=x&field=/message");
        acme.send(Method::DELETE, &path, &[], "").await.expect(200);
    }
    let path = "/api/v1/logs/cleanup?before=2026-05-08";
    acme.send(Method::DELETE, path, &[], "").await.expect(200);

    let of_acme = format!("tenant_id = '{}'", acme.tenant);
    let mut events = exported(&acme).await;
    events.sort_by_key(|event| event["event_id"].to_string());
    assert!((20..40).contains(&events.len()), "{}", events.len());
    let columns = "toString(event_id) AS event_id, actor_id, message, ip, details['n'] AS n, revision";
    let rows = format!("SELECT {columns} FROM v1_events WHERE {of_acme} ORDER BY 1");
    for merged in [false, true] {
        if merged {
            app.sql("OPTIMIZE TABLE events FINAL").await;
        }
        let rows = sql(&app, &["--format", "json", &rows]).await;
        let rows: Vec<Value> = rows
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        assert_eq!(rows.len(), events.len());
        for (row, event) in rows.iter().zip(&events) {
            assert_eq!(row["event_id"], event["event_id"]);
            assert_eq!(row["actor_id"], event["actor"]["id"]);
            assert_eq!(
                row["message"].as_str().filter(|text| !text.is_empty()),
                event["message"].as_str()
            );
            assert_eq!(
                (&row["ip"], &row["n"]),
                (&json!("192.0.2.1"), &json!(event["details"]["n"].to_string()))
            );
            assert_eq!(
                row["revision"].as_u64().unwrap(),
                event.get("revision").map_or(0, |n| n.as_u64().unwrap())
            );
        }
        for sum in [
            "sum(events) FROM v1_daily",
            "sum(events) FROM v1_actors",
            "sum(events) FROM v1_resources",
            "count() FROM v1_events",
        ] {
            let counted = sql(
                &app,
                &["--format", "csv", &format!("SELECT {sum} WHERE {of_acme}")],
            )
            .await;
            assert_eq!(counted.lines().last().unwrap(), events.len().to_string(), "{sum}");
        }
    }

    // What it can't be asked is said, and nothing but one SELECT is run.
    for (statement, why) in [
        ("SELECT nosuch FROM v1_events", "nosuch"),
        ("DROP TABLE events", "SELECT"),
        ("SELECT * FROM file('/etc/passwd')", "the name file"),
    ] {
        let ran = app.run(&["sql", statement]).await;
        assert!(
            !ran.ok && ran.err.contains(why),
            "{statement}: {}{}",
            ran.out,
            ran.err
        );
    }
    let shown = sql(&app, &["SELECT 1 AS one"]).await;
    assert!(shown.contains("┌─one─┐"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_count_as_the_statistics_do_and_nobody_is_none() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("nobody").await;
    let events = json!([
        {"event_type": "a", "time": "2026-05-01", "resource_type": "doc", "resource_id": "1"},
        {"event_type": "a", "time": "2026-05-01", "resource_type": "doc", "resource_id": "1", "user_id": "ada"},
        {"event_type": "b", "time": "2026-05-01", "resource_type": "doc", "resource_id": "1", "user_id": "ada", "ip_address": "192.0.2.1"},
    ]);
    acme.post("/api/v1/logs/bulk?wait=indexed", &events)
        .await
        .expect(200);
    for (in_view, filter, field) in [
        ("actors FROM v1_resources", "resource_id=1", "actor.id"),
        ("addresses FROM v1_actors", "user_id=ada", "actor.ip"),
        ("sum(actors) FROM v1_daily", "event_type=a", "actor.id"),
    ] {
        let path = format!("/api/v1/logs/stats?{filter}&distinct={field}");
        let told = acme.get(&path).await.expect(200);
        assert_eq!(told["distinct"][field], 1, "{told}");
        let narrowed = if in_view.contains("daily") {
            "AND event_type = 'a'"
        } else {
            ""
        };
        let asked = format!("SELECT {in_view} WHERE tenant_id = '{}' {narrowed}", acme.tenant);
        let counted = sql(&app, &["--format", "csv", &asked]).await;
        assert_eq!(counted.lines().last().unwrap(), "1", "{in_view}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statements_for_a_server_of_ones_own_are_sql() {
    let app = App::shared().await;
    let text = std::fs::read_to_string(root().join("projections/access.sql")).unwrap();
    let mut granted = String::new();
    for statement in text.split("\n;\n") {
        let quoted = statement.replace('\\', "\\\\").replace('\'', "\\'");
        granted += &app
            .sql(&format!("SELECT formatQuerySingleLine('{quoted}')"))
            .await;
    }
    // Each tenant has every view, and the user as whom they read has every column that one of them reads.
    let views = app
        .sql("SELECT name FROM system.tables WHERE database = 'trailhouse' AND engine = 'View'")
        .await;
    assert!(views.lines().count() >= 6, "{views}");
    for view in views.lines() {
        for statement in [
            format!("GRANT SELECT ON trailhouse.{view} TO trailhouse_views"),
            format!(
                "CREATE OR REPLACE VIEW trailhouse_acme.{view} DEFINER = trailhouse_acme_views SQL SECURITY DEFINER"
            ),
        ] {
            assert!(granted.contains(&statement), "{statement}: {granted}");
        }
    }
    let read = std::fs::read_to_string(root().join("projections/0005_views.sql")).unwrap();
    let columns = read.split("events.").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap();
        &rest[..end]
    });
    let on_table = text
        .split("GRANT SELECT(")
        .find(|grant| grant.contains("trailhouse.events"))
        .unwrap();
    let granted: Vec<&str> = on_table
        .split(|c: char| !c.is_ascii_lowercase() && c != '_')
        .collect();
    let missing: Vec<&str> = columns.filter(|column| !granted.contains(column)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Readers have no table: what was redacted stands there for a while.
    for statement in text
        .split("\n;\n")
        .filter(|statement| statement.contains(" ON trailhouse."))
    {
        let to_readers = statement.contains("GRANT ") && !statement.contains("TO trailhouse_views");
        assert!(!to_readers, "{statement}");
    }
}
