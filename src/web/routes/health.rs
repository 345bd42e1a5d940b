//! `/healthz`: the process lives. `/readyz`: it can do its work. `/metrics`: how it does it.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::meters;
use crate::web::client::Client;
use crate::web::{ApiError, AppState, Config, Json};

pub(super) async fn live() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// 200 when the log and ClickHouse answer and the disk has room, else 503 with what is wrong.
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let log = match (state.auth.admit_write(), state.health.log.forbidden()) {
        (Ok(()), None) => json!({"ok": true}),
        (Ok(()), Some(detail)) => json!({"ok": false, "detail": detail}),
        (Err(_), _) => {
            let age = state.control.freshness().age.as_secs();
            json!({"ok": false, "detail": format!("the log has not answered for {age} s")})
        }
    };
    let clickhouse = match state.health.store.ping().await {
        Ok(()) => json!({"ok": true}),
        Err(error) => json!({"ok": false, "detail": error.to_string()}),
    };
    let disk = match state.health.disk_problem() {
        None => json!({"ok": true}),
        Some(problem) => json!({"ok": false, "detail": problem}),
    };
    let ok = [&log, &clickhouse, &disk].iter().all(|check| check["ok"] == true);
    let status = if ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "status": if ok { "ready" } else { "not ready" },
        "log_id": state.control.log_id(),
        "checks": {"log": log, "clickhouse": clickhouse, "disk": disk},
    });
    (status, Json(body)).into_response()
}

pub(super) async fn metrics(State(state): State<AppState>) -> Result<Response, ApiError> {
    let Some(handle) = &state.health.metrics else {
        return Err(ApiError::not_found("Metrics are not recorded in this process."));
    };
    metrics::gauge!(meters::CONTROL_AGE).set(state.control.freshness().age.as_secs_f64());
    let text = handle.render();
    Ok((
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response())
}

/// Metrics name tenants' habits: only this machine may read them.
pub(super) fn from_loopback(config: &Config, client: Option<Client>) -> Result<(), ApiError> {
    if !config.metrics_on_loopback.unwrap_or(!config.behind_proxy) {
        return Err(ApiError::forbidden(
            "Metrics are closed: behind a proxy anybody may seem to come from this machine. Where no proxy runs on it, set web.metrics_on_loopback.",
        ));
    }
    match client {
        Some(client) if client.is_loopback() => Ok(()),
        _ => Err(ApiError::forbidden("Metrics are answered on loopback only.")),
    }
}
