//! schemathesis makes requests up from the OpenAPI document, right ones and wrong ones, and holds the server to it: what
//! the document allows is taken, what it does not allow is refused, and every answer is as documented. What it has to know
//! beside the document stands in `tests/schemathesis`.

use std::path::Path;
use std::time::Duration;

use crate::support::{App, python};

/// It takes a minute or three; a machine that does more at once may need longer.
const WITHIN: Duration = Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread")]
async fn the_server_does_what_the_document_says_and_nothing_else() {
    // A 429 would hide what it is about.
    let app = App::start_with(&[
        ("TRAILHOUSE_LIMITS__EVENTS_PER_SECOND", "1000000"),
        ("TRAILHOUSE_LIMITS__EXPORTS_AT_ONCE", "1000"),
        ("TRAILHOUSE_LIMITS__REQUESTS_PER_SECOND_BY_ADDRESS", "1000000"),
    ])
    .await;
    let operator = app.operator().await;
    let own = operator.get("/api/v1/auth/me").await.expect(200);
    // It may log out and change passwords: as a key, which has neither session nor password.
    let key = app.key("default", &["admin"]).await;
    let report = app.home().join("schemathesis");
    let mut run = tokio::process::Command::new(python().with_file_name("schemathesis"));
    run.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis"))
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(format!("http://{}/openapi.json", app.at().web))
        .args(["--checks", "all", "--no-color"])
        .env("TRAILHOUSE_TOKEN", operator.credential.unwrap())
        .env("TRAILHOUSE_KEY", key.credential.unwrap())
        .env("TRAILHOUSE_SELF", own["id"].as_str().unwrap())
        // It leaves nothing in the repository.
        .env("HYPOTHESIS_STORAGE_DIRECTORY", app.home().join("hypothesis"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(std::fs::File::create(&report).unwrap())
        .kill_on_drop(true);
    let ran = tokio::time::timeout(WITHIN, run.status()).await;
    let told = std::fs::read_to_string(&report).unwrap();
    let failures = told.split("=== FAILURES ===").last().unwrap();
    let shown: String = failures.chars().take(20_000).collect();
    let ran = ran.unwrap_or_else(|_| panic!("schemathesis does not end: {shown}"));
    assert!(ran.unwrap().success(), "{shown}");
}
