//! What an operator does without a server's leave: a new password, new master keys.

use serde_json::json;

use crate::support::App;
use crate::support::app::PASSWORD;
use crate::support::wait::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_password_ends_every_session_and_rotated_keys_read_what_the_old_ones_wrote() {
    let app = App::start_with(&[]).await;
    let sam = json!({"name": "sam", "password": PASSWORD, "roles": ["admin"]});
    app.operator().await.post("/api/v1/users", &sam).await.expect(201);
    let login = app.login("sam", PASSWORD).await;
    let before = app.stranger().with(login["token"].as_str());
    before.get("/api/v1/users").await.expect(200);

    let unknown = app.run(&["user", "reset-password", "tom"]).await;
    assert!(
        !unknown.ok && unknown.err.contains("there is no user tom"),
        "{unknown:?}"
    );
    let reset = app.run(&["user", "reset-password", "Sam"]).await;
    assert!(reset.ok, "{reset:?}");
    let (_, rest) = reset.out.split_once("password  ").expect("a password is printed");
    let generated = rest.split_whitespace().next().unwrap();
    until("the old session ends", async || {
        before.get("/api/v1/users").await.status == 401
    })
    .await;
    let login = app.login("sam", generated).await;
    let before = app.stranger().with(login["token"].as_str());
    app.set("TRAILHOUSE_NEW_PASSWORD", "short");
    let short = app.run(&["user", "reset-password", "sam"]).await;
    assert!(
        !short.ok && short.err.contains("at least 8 characters"),
        "{short:?}"
    );
    app.set("TRAILHOUSE_NEW_PASSWORD", "chosen-by-an-operator");
    let chosen = app.run(&["user", "reset-password", "sam"]).await;
    assert!(
        chosen.ok && !chosen.out.contains("chosen-by-an-operator"),
        "{chosen:?}"
    );

    until("that session ends as well", async || {
        before.get("/api/v1/users").await.status == 401
    })
    .await;

    let session = app.login("sam", "chosen-by-an-operator").await;
    let session = app.stranger().with(session["token"].as_str());
    let rotated = app.run(&["keys", "rotate"]).await;
    assert!(rotated.ok && rotated.out.lines().count() == 3, "{rotated:?}");
    assert!(app.stop().await.success());
    app.start().await;
    session.get("/api/v1/users").await.expect(200);
    app.login("sam", "chosen-by-an-operator").await;
    let tom = json!({"name": "tom", "password": PASSWORD, "roles": ["auditor"]});
    session.post("/api/v1/users", &tom).await.expect(201);
    app.login("tom", PASSWORD).await;
}
