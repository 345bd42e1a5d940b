//! Commands that look, measure and explain: what they say of a server that is well, and of one that is not.

use serde_json::Value;

use crate::support::app::PASSWORD;
use crate::support::deeds::deeds;
use crate::support::{App, Child};

/// A server, and commands that know where it is and who asks.
async fn known() -> App {
    let app = App::start_with(&[]).await;
    app.set("TRAILHOUSE_URL", &format!("http://{}", app.at().web));
    let session = app.login("admin", PASSWORD).await;
    app.set("TRAILHOUSE_TOKEN", session["token"].as_str().unwrap());
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_a_server_well_and_says_what_is_wrong_with_one_that_is_not() {
    let app = known().await;
    let ran = app.run(&["doctor", "--json"]).await;
    assert!(ran.ok, "{ran:?}");
    let findings: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    for check in [
        "configuration",
        "data directory",
        "master keys",
        "log",
        "clickhouse",
        "server",
    ] {
        let found = findings.iter().find(|finding| finding["check"] == check);
        assert_eq!(
            found.map(|finding| &finding["health"]),
            Some(&Value::from("ok")),
            "{check}: {}",
            ran.out
        );
    }

    let held = app.hold(Child::ClickHouse);
    let ran = app.run(&["doctor"]).await;
    assert!(!ran.ok && ran.out.contains("PROBLEM  clickhouse"), "{ran:?}");
    drop(held);

    assert!(app.stop().await.success());
    let ran = app.run(&["doctor"]).await;
    assert!(!ran.ok && ran.out.contains("PROBLEM  server"), "{ran:?}");
    assert!(ran.out.contains("start `trailhouse serve`"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_without_a_password_is_told_where_it_is_looked_for() {
    let app = App::prepared(&[]).await;
    let ran = app.run(&["token"]).await;
    assert!(!ran.ok && ran.err.contains("TRAILHOUSE_PASSWORD"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bench_measures_the_server_it_is_shown() {
    let app = known().await;
    let report = app.home().join("report.md");
    let figure = |ran: &str, what: &str| {
        let report: Value = serde_json::from_str(ran).unwrap();
        let figures = report["figures"].as_array().unwrap();
        let figure = figures.iter().find(|figure| figure["what"] == what);
        figure.unwrap_or_else(|| panic!("no {what:?} in {ran}"))["value"]
            .as_f64()
            .unwrap()
    };
    for (mode, what, value) in [
        ("bulk --rate 400 --batch 50", "acknowledged, all", 400.0),
        (
            "bulk --rate 100 --batch 50 --mix cloudtrail",
            "acknowledged, all",
            100.0,
        ),
        ("single --rate 50 --connections 4", "failed requests", 0.0),
        (
            "latency --rate 100 --probes 5",
            "probes not found, or not in time",
            0.0,
        ),
    ] {
        let arguments = format!("bench {mode} --seconds 1 --json --report {}", report.display());
        let ran = app.run(&arguments.split(' ').collect::<Vec<_>>()).await;
        assert!(ran.ok, "{mode}: {ran:?}");
        assert!(
            (figure(&ran.out, what) - value).abs() < 0.5,
            "{mode}: {}",
            ran.out
        );
    }
    let ran = app
        .run(&["bench", "queries", "--fill", "1200", "--times", "5", "--json"])
        .await;
    assert!(ran.ok && figure(&ran.out, "events held") >= 1200.0, "{ran:?}");
    let report = std::fs::read_to_string(report).unwrap();
    let sections = report.lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(sections, 4, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_configuration_is_one_that_can_be_used() {
    let app = known().await;
    let printed = app.run(&["config"]).await;
    assert!(printed.ok && printed.out.contains("[clickhouse]"), "{printed:?}");
    let file = app.home().join("all.toml");
    std::fs::write(&file, printed.out.replace("#batch_rows", "batch_rows")).unwrap();
    let file = file.to_str().unwrap();
    for command in ["migrate", "doctor"] {
        let ran = app.run(&[command, "--config", file]).await;
        assert!(ran.ok, "{command}: {ran:?}");
    }
    std::fs::write(file, "[projector]\nbatch_rowz = 3\n").unwrap();
    let ran = app.run(&["migrate", "--config", file]).await;
    assert!(!ran.ok && ran.err.contains("batch_rowz"), "{ran:?}");
}

#[test]
fn a_command_whose_reader_has_gone_ends_without_a_word() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_trailhouse"))
        .arg("config")
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert!(!ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_and_written_from_the_command_line() {
    let app = known().await;
    let operator = app.operator().await;
    deeds(&operator, 30).await;
    let found = app
        .run(&[
            "search",
            "user_id=user3",
            "fox",
            "OR",
            "nothing",
            "details.amount[gte]=10",
            "--oldest",
            "--limit",
            "3",
        ])
        .await;
    assert!(found.ok, "{found:?}");
    let events: Vec<Value> = found
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let amounts: Vec<_> = events
        .iter()
        .map(|event| event["details"]["amount"].clone())
        .collect();
    assert_eq!(amounts, [13, 18, 23]);
    assert!(
        found.err.contains("3 shown, there are more: --limit N"),
        "{}",
        found.err
    );
    let chosen = app
        .run(&[
            "search",
            "request_id=r7",
            "--json",
            "--fields",
            "actor.id,details.amount",
        ])
        .await;
    assert_eq!(
        chosen.out.trim(),
        r#"{"actor":{"id":"user2"},"details":{"amount":7}}"#
    );
    assert!(chosen.err.is_empty(), "that is all there is: {}", chosen.err);
    let refused = app.run(&["search", "usr_id=ada", "severity=BAD"]).await;
    assert!(
        !refused.ok && refused.err.contains("did you mean `user_id`") && refused.err.contains("severity: "),
        "{refused:?}"
    );

    let path = app.home().join("events.csv.gz");
    let file = path.to_str().unwrap();
    let written = app
        .run(&[
            "export",
            "severity!=INFO",
            "--format",
            "csv",
            "--compression",
            "gzip",
            "--output",
            file,
        ])
        .await;
    assert!(written.ok && written.out.is_empty(), "{written:?}");
    let packed = std::fs::read(&path).unwrap();
    let table = csv::Reader::from_reader(flate2::read::GzDecoder::new(&*packed))
        .records()
        .count();
    assert_eq!(table, 22);
    let piped = app.run(&["export", "event_type=user.login"]).await;
    assert_eq!(piped.out.lines().count(), 10);
    let refused = app
        .run(&["export", "--fields", "evnt_id", "--output", file])
        .await;
    assert!(
        !refused.ok && refused.err.contains("did you mean `event_id`"),
        "{refused:?}"
    );
    assert_eq!(
        std::fs::read(&path).unwrap(),
        packed,
        "what was there is untouched"
    );
}
