//! The server's own word on its API: documents that tools read, and a page that people read. What it says is held
//! against every answer of every story (`support::conformance`).

use std::process::Command;

use reqwest::Method;
use serde_json::json;

use crate::support::app::PASSWORD;
use crate::support::{App, newman, python};

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_are_valid_in_both_versions() {
    let app = App::shared().await;
    let checks =
        "import sys, json; from openapi_spec_validator import validate; validate(json.load(sys.stdin))";
    for (path, version) in [("/openapi.json", "3.1.0"), ("/openapi-3.0.json", "3.0.3")] {
        let answer = app.stranger().get(path).await;
        assert_eq!(answer.expect(200)["openapi"], version);
        let mut checked = Command::new(python());
        let checked = checked
            .args(["-c", checks])
            .stdin(std::process::Stdio::piped())
            .spawn();
        let mut checked = checked.unwrap();
        std::io::Write::write_all(&mut checked.stdin.take().unwrap(), &answer.body).unwrap();
        assert!(checked.wait().unwrap().success(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_read_without_anything_from_elsewhere() {
    let app = App::shared().await;
    let page = app.stranger().get("/docs").await;
    assert_eq!(page.status, 200);
    let html = page.text();
    for part in [
        "<b>GET</b> /api/v1/logs",
        "<b>POST</b> /login",
        "session_id",
        "curl -s -X POST &quot;$URL/login&quot;",
        "<code>too_costly</code>",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!(app.stranger().get("/").await.text(), html);
    for from_elsewhere in ["<script", "<link", "src=", "@import", "url("] {
        assert!(!html.contains(from_elsewhere), "{from_elsewhere}");
    }
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    app.stranger()
        .send(Method::POST, "/docs", &[], "")
        .await
        .problem(405);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_postman_collection_works_from_its_first_request_to_its_last() {
    let app = App::start_with(&[]).await;
    let operator = app.operator().await;
    let own =
        json!({"event_id": "rename-1", "event_type": "document.update", "message": "not the collection's"});
    operator.post("/api/v1/logs?wait=indexed", &own).await.expect(201);
    let before = operator.get("/api/v1/logs/rename-1").await.expect(200);
    let collection = app.stranger().get("/postman.json").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &collection.body).unwrap();
    let mut run = tokio::process::Command::new(newman());
    run.arg("run").arg(file.path()).args(["--color", "off"]);
    for (name, value) in [
        ("url", format!("http://{}", app.at().web)),
        ("username", "admin".to_owned()),
        ("password", PASSWORD.to_owned()),
    ] {
        run.arg("--env-var").arg(format!("{name}={value}"));
    }
    let ran = run.output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    // What was there stands as it was, and whoever was logged in still is.
    let after = operator.get("/api/v1/logs/rename-1").await.expect(200);
    assert_eq!(after, before);
}
