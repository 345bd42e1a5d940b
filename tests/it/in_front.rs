//! What stands between a server and its callers: TLS, whose certificate may change, and proxies that speak for others.

use std::path::{Path, PathBuf};

use reqwest::{Certificate, Method, StatusCode};
use serde_json::json;

use crate::support::App;
use crate::support::app::PASSWORD;
use crate::support::caller::Caller;
use crate::support::wait::until;

/// Where an administrator keeps certificate and key.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }
}

/// A certificate for this machine that vouches for itself, and its key.
fn made() -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn put(at: &Path, text: &str) {
    std::fs::write(at, text).unwrap();
}

/// A stranger who trusts this certificate alone, on connections of its own.
fn trusting(app: &App, certificate: &str) -> Caller {
    let root = Certificate::from_pem(certificate.as_bytes()).unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .no_gzip()
        .tls_certs_only([root])
        .build()
        .unwrap();
    Caller::through(http, &format!("https://{}", app.at().web), "", None)
}

async fn lives(caller: &Caller) -> bool {
    let answer = caller.try_send(Method::GET, "/healthz", &[], "").await;
    answer.is_ok_and(|answer| answer.status == StatusCode::OK)
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_and_a_new_certificate_needs_no_restart() {
    let files = Files::new();
    let (first, key) = made();
    put(&files.at("cert.pem"), &first);
    put(&files.at("key.pem"), &key);
    let app = App::start_with(&[
        ("TRAILHOUSE_WEB__TLS__CERT", &files.text("cert.pem")),
        ("TRAILHOUSE_WEB__TLS__KEY", &files.text("key.pem")),
    ])
    .await;
    assert!(lives(&trusting(&app, &first)).await);
    assert!(!lives(&app.stranger()).await, "in the clear it answers nothing");

    // Commands trust what the system trusts, or what this variable names.
    app.set("TRAILHOUSE_URL", &format!("https://{}", app.at().web));
    app.set("TRAILHOUSE_PASSWORD", PASSWORD);
    let refused = app.run(&["token"]).await;
    assert!(
        !refused.ok && refused.err.contains("no Trailhouse answers"),
        "{refused:?}"
    );
    app.set("SSL_CERT_FILE", &files.text("cert.pem"));
    let token = app.run(&["token"]).await;
    assert!(token.ok && token.out.starts_with("ey"), "{token:?}");

    // The new certificate is there before its key: the old pair goes on, and the log says why.
    let (second, key) = made();
    put(&files.at("cert.pem"), &second);
    let mismatch = format!("{} is not the key of the certificate", files.text("key.pem"));
    until("the half pair is reported", async || {
        app.log().contains(&mismatch)
    })
    .await;
    assert!(lives(&trusting(&app, &first)).await && !lives(&trusting(&app, &second)).await);
    put(&files.at("key.pem"), &key);
    until("the new pair serves", async || {
        lives(&trusting(&app, &second)).await
    })
    .await;
    assert!(!lives(&trusting(&app, &first)).await);
    assert_eq!(app.log().matches(&mismatch).count(), 1, "once is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_speaks_for_its_callers_and_nobody_becomes_this_machine() {
    let app = App::start_with(&[("TRAILHOUSE_WEB__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]")]).await;
    let stranger = app.stranger();
    let metrics = async |headers: &[(&str, &str)]| {
        let answer = stranger.send(Method::GET, "/metrics", headers, "").await;
        answer.status.as_u16()
    };
    assert_eq!(metrics(&[]).await, 200);
    for forwarded in ["203.0.113.7", "127.0.0.1", "::1", "what?"] {
        assert_eq!(
            metrics(&[("x-forwarded-for", forwarded)]).await,
            403,
            "{forwarded}"
        );
    }
    for passed_on in [
        ("forwarded", "for=203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
        ("via", "1.1 proxy"),
    ] {
        assert_eq!(metrics(&[passed_on]).await, 403, "{passed_on:?}");
    }
    let ready = async |headers: &[(&str, &str)]| {
        stranger
            .send(Method::GET, "/readyz", headers, "")
            .await
            .expect(200)
    };
    assert!(ready(&[]).await["log_id"].is_string());
    assert!(ready(&[("via", "1.1 proxy")]).await.get("log_id").is_none());
    let told = ready(&[("x-forwarded-for", "203.0.113.7")]).await;
    let well = json!({"log": {"ok": true}, "clickhouse": {"ok": true}, "disk": {"ok": true}});
    assert_eq!(told, json!({"status": "ready", "checks": well}));

    let wrong = json!({"username": "admin", "password": "not the password"}).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-for", "198.51.100.1, 203.0.113.7"),
    ];
    stranger
        .send(Method::POST, "/login", &headers, wrong)
        .await
        .problem(401);
    let log = app.log();
    let refused = log.lines().find(|line| line.contains("a login was refused"));
    assert!(
        refused.is_some_and(|line| line.contains("203.0.113.7")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_metrics_are_closed_until_loopback_is_said_to_be_safe() {
    let app = App::start_with(&[("TRAILHOUSE_WEB__BEHIND_PROXY", "true")]).await;
    assert!(
        app.log().contains("web.trusted_proxies names no proxy"),
        "{}",
        app.log()
    );
    let refused = app.stranger().get("/metrics").await.problem(403);
    let said = refused["detail"].as_str().unwrap();
    assert!(said.contains("web.metrics_on_loopback"), "{said}");
    assert!(app.stop().await.success());
    app.set("TRAILHOUSE_WEB__METRICS_ON_LOOPBACK", "true");
    app.start().await;
    assert_eq!(app.stranger().get("/metrics").await.status, StatusCode::OK);
}
