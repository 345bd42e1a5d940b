//! Files are imported: the committed CloudTrail samples, and an application's own events without ids.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::app::Ran;
use crate::support::{App, Caller, until};

/// Who is searched for: the account's owner, who did most of what the samples record.
const USER: &str = "bert-jan";

#[tokio::test(flavor = "multi_thread")]
async fn every_distinct_record_of_cloudtrail_comes_in_once() {
    let app = App::shared().await;
    let tenant = app.tenant("import").await;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/aws_cloudtrail/samples");
    let samples = samples.to_str().unwrap();
    let expected = counted(samples);
    let count = |name: &str| expected[name].as_u64().unwrap();

    let first = import(app, &tenant, &[samples]).await;
    assert!(!first.ok, "what was rejected shows in the exit code");
    // The events beside the records in `mapped` say that they are of the tenant `default`.
    assert!(
        first
            .err
            .contains("/mapped/access-denied.event.json: item 1: /tenant_id: names"),
        "{}",
        first.err
    );
    assert!(
        first.err.contains("further ones are only counted"),
        "{}",
        first.err
    );
    assert_eq!(
        summary(&first, "rejected"),
        count("without_time") + count("others"),
        "{}",
        first.out
    );
    assert_eq!(summary(&first, "skipped"), count("no_json"), "{}", first.out);
    let (taken, all) = (summary(&first, "new"), count("records"));
    until("everything is searchable", async || {
        counted_by_search(&tenant, &[]).await == all
    })
    .await;

    let second = import(app, &tenant, &[samples]).await;
    assert_eq!(
        (summary(&second, "new"), summary(&second, "held already")),
        (0, taken),
        "{}",
        second.out
    );
    assert_eq!(counted_by_search(&tenant, &[]).await, all);
    assert_eq!(
        counted_by_search(&tenant, &[("actor_name", USER)]).await,
        count("by_user")
    );

    // The table keeps the original without what the row says already; the answer has it whole, blanks and all.
    let file = Path::new(samples).join("trailscraper/events-for-smoke-test.json");
    let file = std::fs::read_to_string(file).unwrap();
    let event = tenant
        .get("/api/v1/logs/a0ed971f-389f-406a-9fcf-887c5ca6903a")
        .await
        .expect(200);
    let original = event["raw"]["text"].as_str().unwrap();
    assert!(
        original.contains("DescribeLaunchConfigurations") && file.contains(original),
        "{event}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_ids_come_in_once_and_equal_ones_stay_two() {
    let app = App::shared().await;
    let tenant = app.tenant("import").await;
    let home = tempfile::tempdir().unwrap();
    let line = r#"{"action":"VIEW","timestamp":"2026-01-02T03:04:05Z","user_id":"ada","details":{"page":7}}"#;
    let other = r#"{"action":"EDIT","user_id":"ada"}"#;
    let lines = home.path().join("app.log");
    std::fs::write(&lines, format!("{line}\n{line}\n{{\"broken\":\n{other}\n")).unwrap();
    let packed = home.path().join("array");
    let mut gzip = GzEncoder::new(std::fs::File::create(&packed).unwrap(), Compression::fast());
    gzip.write_all(format!("[{line},{line},\n {line}]").as_bytes())
        .unwrap();
    gzip.finish().unwrap();
    std::fs::write(home.path().join("NOTES.md"), "# nothing here").unwrap();

    let files = [
        lines.to_str().unwrap(),
        packed.to_str().unwrap(),
        home.path().to_str().unwrap(),
    ];
    let first = import(app, &tenant, &files).await;
    assert!(first.err.contains("app.log: item 3: not JSON"), "{}", first.err);
    assert_eq!(
        summary(&first, "rejected"),
        2,
        "once for each time the file was named: {}",
        first.out
    );
    assert!(first.out.contains("NOTES.md: it is no JSON"), "{}", first.out);
    // The array's third is new, the other two are the file's; an event without a time is held under its id as well.
    until("everything is searchable", async || {
        counted_by_search(&tenant, &[]).await == 4
    })
    .await;
    let second = import(app, &tenant, &files).await;
    assert_eq!(
        (summary(&second, "new"), summary(&second, "held already")),
        (0, 12),
        "{}",
        second.out
    );
    assert_eq!(counted_by_search(&tenant, &[("user_id", "ada")]).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_or_no_file_is_named_and_the_rest_comes_in() {
    let app = App::shared().await;
    let tenant = app.tenant("import").await;
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    for (name, text) in [
        ("package.json", r#"{"name":"x","version":"1.0.0","scripts":{}}"#),
        (
            "broken.json",
            r#"{"Records":[{"eventName":"x","eventTime":"2026-01-02T03:04:05Z"}]}"#,
        ),
        ("no-list.json", r#"{"Records":{"a":1}}"#),
        (
            "mixed.json",
            "[{\"name\":\"x\"},{\"action\":\"VIEW\"},{\"name\":\"y\"}]",
        ),
    ] {
        std::fs::write(at(name), text).unwrap();
    }
    std::os::unix::fs::symlink(at("nowhere"), at("a-link")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();

    let ran = import(app, &tenant, &[home.path().to_str().unwrap()]).await;
    for (name, of) in [
        ("new", 1),
        ("rejected", 2),
        ("read", 1),
        ("skipped", 3),
        ("failed", 2),
    ] {
        assert_eq!(summary(&ran, name), of, "{name}: {ran:?}");
    }
    for said in [
        "a-link: it can't be read: No such file",
        "pipe: it can't be read: it is no regular file",
    ] {
        assert!(ran.err.contains(said), "{said}: {}", ran.err);
    }
    for said in [
        "package.json: it is no event",
        "broken.json: it is no record of CloudTrail",
        "no-list.json: it is no event",
    ] {
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
    assert!(
        ran.err.contains("mixed.json: item 3: it is no event"),
        "{}",
        ran.err
    );
    assert!(!ran.ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_cannot_begin_says_why() {
    let app = App::shared().await;
    let tenant = app.tenant("import").await;
    let missing = import(app, &tenant, &["no/such/file"]).await;
    assert!(
        !missing.ok && missing.err.contains("no/such/file can't be read"),
        "{}",
        missing.err
    );
    let stranger = tenant.with(Some("thk_nobody"));
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("one.json");
    std::fs::write(&file, r#"{"action":"VIEW"}"#).unwrap();
    let refused = import(app, &stranger, &[file.to_str().unwrap()]).await;
    assert!(!refused.ok && refused.err.contains("401"), "{}", refused.err);
}

async fn import(app: &App, as_whom: &Caller, files: &[&str]) -> Ran {
    let url = format!("http://{}", app.at().web);
    let token = as_whom.credential.as_deref().unwrap();
    let arguments = [&["import", "--url", &url, "--token", token], files].concat();
    app.run(&arguments).await
}

/// The number before a word in the last lines.
fn summary(ran: &Ran, word: &str) -> u64 {
    let mut parts = ran.out.lines().rev().take(2).flat_map(|line| {
        line.split_once("     ")
            .map_or(line, |(_, rest)| rest)
            .split(", ")
    });
    let part = parts.find(|part| part.trim().ends_with(word));
    let number = part.and_then(|part| part.split_whitespace().find_map(|word| word.parse().ok()));
    number.unwrap_or_else(|| panic!("no {word} in {}", ran.out))
}

async fn counted_by_search(caller: &Caller, filter: &[(&str, &str)]) -> u64 {
    let answer = caller
        .search(&[filter, &[("count", "true"), ("limit", "1")]].concat())
        .await
        .expect(200);
    answer["count"].as_u64().unwrap()
}

/// What another program finds in the same files.
fn counted(folder: &str) -> Value {
    let python = crate::support::python();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/count_cloudtrail.py");
    let ran = Command::new(python)
        .arg(script)
        .args([folder, USER])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}
