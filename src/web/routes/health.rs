//! `/healthz`: the process lives. `/readyz`: it can do its work. `/metrics`: how it does it.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Access::{Loopback, Open},
    Route, get,
};
use crate::meters;
use crate::web::client::Client;
use crate::web::doc::Doc;
use crate::web::{ApiError, AppState, Config, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/healthz", Open, live).doc(
            Doc::new("getHealth", "Server", "Whether the process lives").answers(200, "It does.", "Health"),
        ),
        get("/readyz", Open, ready).doc(
            Doc::new("getReadiness", "Server", "Whether the server can do its work")
                .text("What is wrong, and the log's id, are for those who may see the metrics.")
                .answers(200, "The log, ClickHouse and the disk are fine.", "Readiness")
                .answers(503, "One of them is not.", "Readiness"),
        ),
        get("/metrics", Loopback, metrics).doc(
            Doc::new("getMetrics", "Server", "How the server does its work").answers_as(
                200,
                "Metrics, as Prometheus reads them.",
                "text/plain; version=0.0.4; charset=utf-8",
                json!({"type": "string"}),
            ),
        ),
    ]
}

pub(super) async fn live() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// 200 when the log and ClickHouse answer and the disk has room, else 503. What is wrong with them names hosts, so it
/// is for those who may see the metrics.
pub(super) async fn ready(State(state): State<AppState>, request: Request) -> Response {
    let told = from_loopback(&state.config, Client::of_request(&state, &request)).is_ok();
    let log = state.auth.admit_write().err().map(|_| {
        let age = state.control.freshness().age.as_secs();
        format!("the log has not answered for {age} s")
    });
    let log = log.or_else(|| state.health.log.forbidden());
    let checks = [
        ("log", log),
        ("clickhouse", state.health.clickhouse_problem().await),
        ("disk", state.health.disk_problem()),
    ];
    let log_id = told.then(|| state.control.log_id());
    let (status, body) = report(&checks, log_id);
    (status, Json(body)).into_response()
}

/// What each part's problem comes to; in full where the log's identity is told.
fn report(checks: &[(&str, Option<String>)], log_id: Option<Uuid>) -> (StatusCode, Value) {
    let ready = checks.iter().all(|(_, problem)| problem.is_none());
    let check = |problem: &Option<String>| match (problem, log_id) {
        (Some(problem), Some(_)) => json!({"ok": false, "detail": problem}),
        (problem, _) => json!({"ok": problem.is_none()}),
    };
    let found: Map<String, Value> = checks
        .iter()
        .map(|(name, problem)| ((*name).to_owned(), check(problem)))
        .collect();
    let mut body = json!({"status": if ready { "ready" } else { "not ready" }, "checks": found});
    if let Some(log_id) = log_id {
        body["log_id"] = json!(log_id);
    }
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, body)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_learn_which_part_is_not_well_and_no_more() {
        let broken = [
            ("log", None),
            ("clickhouse", Some("no route to 10.0.0.7".to_owned())),
        ];
        assert_eq!(
            report(&broken, None),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({"status": "not ready", "checks": {"log": {"ok": true}, "clickhouse": {"ok": false}}})
            )
        );
        let (status, body) = report(&broken, Some(Uuid::nil()));
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["log_id"], json!(Uuid::nil()));
        assert_eq!(body["checks"]["clickhouse"]["detail"], "no route to 10.0.0.7");
        assert_eq!(report(&[("log", None)], None).0, StatusCode::OK);
    }
}
