//! Sessions: what ends them, on every instance, and on one that is cut off.

use std::sync::Arc;

use confique::Config as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trailhouse::auth::{self, Auth, AuthError};
use trailhouse::clock::SystemClock;
use trailhouse::control::Control;
use trailhouse::keyring;
use trailhouse::log::{self, Log};

use crate::support::app::PASSWORD;
use crate::support::shape::expect_shape;
use crate::support::{App, Caller, Child, unique, until};

/// A user, and its name.
async fn user(app: &App, acme: &Caller, roles: &[&str]) -> String {
    let name = unique("grace");
    let wanted = json!({"name": name, "roles": roles, "password": PASSWORD, "tenant_id": acme.tenant});
    app.operator()
        .await
        .post("/api/v1/users", &wanted)
        .await
        .expect(201);
    name
}

async fn session(app: &App, name: &str) -> (Caller, Value) {
    let tokens = app.login(name, PASSWORD).await;
    (app.stranger().with(tokens["token"].as_str()), tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_one_session_or_all() {
    let app = App::shared().await;
    let acme = app.tenant("logout").await;
    let name = user(app, &acme, &["admin"]).await;
    let (one, tokens) = session(app, &name).await;
    let (two, _) = session(app, &name).await;
    expect_shape(&tokens, "logIn");
    let me = one.get("/api/v1/auth/me").await.expect(200);
    expect_shape(&me, "getMe");
    assert_eq!(
        (&me["name"], &me["tenant_id"], &me["kind"]),
        (&json!(name), &json!(acme.tenant), &json!("user"))
    );

    // A refreshed token belongs to the same session.
    let refresh = json!({"refresh_token": tokens["refresh_token"]});
    let next = app
        .stranger()
        .post("/api/v1/auth/refresh", &refresh)
        .await
        .expect(200);
    let refreshed = app.stranger().with(next["token"].as_str());
    assert_eq!(
        refreshed.get("/api/v1/auth/me").await.expect(200)["session_id"],
        me["session_id"]
    );
    let before = two.get("/api/v1/auth/me").await.expect(200);
    let version = version_of(&two, &me).await;
    assert_eq!(
        one.send(Method::POST, "/api/v1/auth/logout", &[], "")
            .await
            .status,
        204
    );
    for ended in [&one, &refreshed] {
        ended.get("/api/v1/auth/me").await.problem(401);
    }
    for token in [&tokens, &next] {
        let refresh = json!({"refresh_token": token["refresh_token"]});
        app.stranger()
            .post("/api/v1/auth/refresh", &refresh)
            .await
            .problem(401);
    }
    assert_eq!(
        two.get("/api/v1/auth/me").await.expect(200),
        before,
        "another session goes on"
    );
    assert_eq!(version_of(&two, &me).await, version, "the user is as it was");

    let (three, _) = session(app, &name).await;
    assert_eq!(
        three
            .post("/api/v1/auth/logout", &json!({"everywhere": true}))
            .await
            .status,
        204
    );
    for ended in [&two, &three] {
        ended.get("/api/v1/auth/me").await.problem(401);
    }
    assert_eq!(
        acme.post("/api/v1/auth/logout", &json!({"everywhere": 1}))
            .await
            .fields(422),
        ["/everywhere"]
    );
    let key = acme.post("/api/v1/auth/logout", &json!({})).await.problem(403);
    assert!(key["detail"].as_str().unwrap().contains("API key"), "{key}");
}

async fn version_of(caller: &Caller, me: &Value) -> Value {
    let path = format!("/api/v1/users/{}", me["id"].as_str().unwrap());
    caller.get(&path).await.expect(200)["version"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_asks_for_the_old_one_and_ends_the_other_sessions() {
    let app = App::shared().await;
    let acme = app.tenant("passwords").await;
    let name = user(app, &acme, &["auditor"]).await;
    let (one, _) = session(app, &name).await;
    let (two, _) = session(app, &name).await;
    let change = |old: &str, new: &str| json!({"old_password": old, "password": new});
    let path = "/api/v1/auth/password";
    let wrong = one
        .post(path, &change("not-the-password", "another-password"))
        .await;
    assert_eq!(wrong.fields(422), ["/old_password"]);
    assert_eq!(
        one.post(path, &change(PASSWORD, "short")).await.fields(422),
        ["/password"]
    );
    assert_eq!(
        one.post(path, &json!({})).await.fields(422),
        ["/old_password", "/password"]
    );
    one.get("/api/v1/auth/me").await.expect(200);

    let tokens = one
        .post(path, &change(PASSWORD, "another-password"))
        .await
        .expect(200);
    expect_shape(&tokens, "logIn");
    let fresh = app.stranger().with(tokens["token"].as_str());
    fresh.get("/api/v1/auth/me").await.expect(200);
    for ended in [&one, &two] {
        ended.get("/api/v1/auth/me").await.problem(401);
    }
    let old = json!({"username": name, "password": PASSWORD});
    app.stranger().post("/login", &old).await.problem(401);
    app.login(&name, "another-password").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_request_is_good_for_one_change_of_a_password() {
    let app = App::shared().await;
    let acme = app.tenant("passwords-again").await;
    let name = user(app, &acme, &["auditor"]).await;
    let key = unique("change");
    let change = async |caller: &Caller, old: &str, new: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
        let body = json!({"old_password": old, "password": new}).to_string();
        caller
            .send(Method::POST, "/api/v1/auth/password", &headers, body)
            .await
    };
    // Two at once want different ones: one of them gets its own, and the other one is told that it does not.
    let (one, _) = session(app, &name).await;
    let (two, _) = session(app, &name).await;
    let (first, second) = tokio::join!(
        change(&one, PASSWORD, "the-first-password"),
        change(&two, PASSWORD, "the-second-password")
    );
    let (tokens, password) = match first.status.as_u16() {
        200 => (first.json(), "the-first-password"),
        _ => (second.expect(200), "the-second-password"),
    };
    let refused = [first.status.as_u16(), second.status.as_u16()];
    assert!(
        refused.iter().any(|status| matches!(status, 401 | 409 | 422)),
        "{refused:?}"
    );
    app.login(&name, password).await;

    let fresh = app.stranger().with(tokens["token"].as_str());
    change(&fresh, password, "yet-another-password")
        .await
        .problem(409);
    fresh.get("/api/v1/auth/me").await.expect(200);
    app.login(&name, password).await;
}

/// A second instance's control state and credentials on the same log, under the same keys.
async fn second_instance(app: &App, stop: &CancellationToken, stale_reads_for: u64) -> Auth {
    let mut config = log::Config::builder().load().unwrap();
    config.brokers = app.at().kafka;
    config.prefix = app.topic("");
    let log = Arc::new(Log::new(&config, &unique("second")).unwrap());
    let keyring = keyring::find(&app.data_dir().join(keyring::FILE), None)
        .unwrap()
        .unwrap();
    let clock = Arc::new(SystemClock);
    let control = Control::start(log, keyring.clone(), clock.clone(), 1, stop.child_token())
        .await
        .unwrap();
    let config = auth::Config {
        stale_reads_for,
        ..auth::Config::builder().load().unwrap()
    };
    Auth::new(control, &keyring, clock, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_on_one_instance_is_revoked_on_the_others() {
    let app = App::shared().await;
    let acme = app.tenant("instances").await;
    let stop = CancellationToken::new();
    let other = second_instance(app, &stop, 300).await;
    let name = user(app, &acme, &["auditor"]).await;
    let (one, tokens) = session(app, &name).await;
    let made = acme
        .post("/api/v1/keys", &json!({"name": "k", "roles": ["ingest"]}))
        .await
        .expect(201);
    let (token, key) = (tokens["token"].as_str().unwrap(), made["key"].as_str().unwrap());
    let mut held = Vec::new();
    for credential in [token, key] {
        until("the other instance knows it", async || {
            other.authenticate(Some(credential)).is_ok()
        })
        .await;
        held.push(other.authenticate(Some(credential)).unwrap());
    }
    assert_eq!(
        one.send(Method::POST, "/api/v1/auth/logout", &[], "")
            .await
            .status,
        204
    );
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(acme.send(Method::DELETE, &path, &[], "").await.status, 204);
    for (credential, principal) in [token, key].into_iter().zip(&held) {
        // Within 2 s, or it lets nobody write: an instance that is behind knows that it is.
        until("it counts no more there", async || {
            other.authenticate(Some(credential)).err() == Some(AuthError::Invalid)
        })
        .await;
        assert_eq!(
            other.still_counts(principal),
            Err(AuthError::Invalid),
            "a connection that is open ends"
        );
    }
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_cut_off_stops_writing_and_then_reading() {
    let app = App::start_with_own_broker(&[("TRAILHOUSE_AUTH__STALE_READS_FOR", "4")]).await;
    let acme = app.tenant("cut-off").await;
    let path = "/api/v1/searches";
    acme.post(path, &json!({"name": "before", "query": ""}))
        .await
        .expect(201);
    let held = app.hold(Child::Broker);
    until("nothing is taken any more", async || {
        let answer = acme.post("/api/v1/logs", &json!({"action": "VIEW"})).await;
        answer.status == 503
            && answer.problem(503)["type"]
                .as_str()
                .unwrap()
                .ends_with("log_unavailable")
    })
    .await;
    // Who may still do what, nobody here can know by now.
    until("nobody is let in any more", async || {
        let answer = acme.get(path).await;
        answer.status == 503
            && answer.problem(503)["type"]
                .as_str()
                .unwrap()
                .ends_with("auth_unavailable")
    })
    .await;
    drop(held);
    until("it is one of them again", async || {
        acme.get(path).await.status == 200
    })
    .await;
    until("and writes", async || {
        acme.post(path, &json!({"name": "after", "query": ""}))
            .await
            .status
            == 201
    })
    .await;
}
