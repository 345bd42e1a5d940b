//! Nothing secret is logged, printed twice, measured or told, whatever goes wrong.

use reqwest::Method;
use serde_json::json;

use crate::support::{App, unique};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_logged_or_told() {
    let app = App::start_with(&[("TRAILHOUSE_TELEMETRY__FILTER", "trace")]).await;
    let acme = app.tenant("secrets").await;
    let password = unique("pa55word");
    let user = json!({"name": "sam", "roles": ["admin"], "password": password});
    acme.post("/api/v1/users", &user).await.expect(201);
    let tokens = app.login("sam", &password).await;
    app.stranger()
        .post(
            "/login",
            &json!({"username": "sam", "password": format!("{password}x")}),
        )
        .await
        .problem(401);
    app.stranger()
        .post("/login", &json!({"username": "sam", "password": {"p": password}}))
        .await
        .problem(422);
    app.stranger()
        .send(
            Method::POST,
            "/login",
            &JSON,
            format!("{{\"password\": \"{password}\""),
        )
        .await
        .problem(422);
    let forged = format!("{}AAAA", tokens["token"].as_str().unwrap());
    acme.with(Some(&forged)).get("/api/v1/logs").await.problem(401);
    acme.take(&json!({"action": "VIEW"})).await;
    acme.found(&[("q", "view")]).await;

    let clickhouse = std::fs::read_to_string(app.data_dir().join("clickhouse.password")).unwrap();
    let keys = std::fs::read_to_string(app.data_dir().join("keys")).unwrap();
    let key = keys
        .split(|c: char| !(c.is_ascii_alphanumeric() || "+/=_-".contains(c)))
        .max_by_key(|word| word.len())
        .unwrap();
    let api_key = acme.credential.clone().unwrap();
    let secrets = [
        &password,
        tokens["token"].as_str().unwrap(),
        tokens["refresh_token"].as_str().unwrap(),
        &api_key,
        clickhouse.trim(),
        key,
        crate::support::app::PASSWORD,
    ];
    let out = std::fs::read_to_string(app.home().join("out")).unwrap();
    let logs = ["log/broker.log", "log/clickhouse.log"]
        .map(|name| std::fs::read(app.data_dir().join(name)).unwrap_or_default());
    let metrics = app.stranger().get("/metrics").await.text();
    let told = [
        app.log(),
        out,
        metrics,
        String::from_utf8_lossy(&logs.concat()).into_owned(),
    ];
    for secret in secrets {
        assert!(secret.len() >= 12, "{secret:?} is too short to be looked for");
        for (n, text) in told.iter().enumerate() {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(
                line.is_none(),
                "{n}: {}",
                line.unwrap_or_default().replace(secret, "<THE SECRET>")
            );
        }
    }
}
