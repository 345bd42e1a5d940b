//! What every request passes: an id, a count, decompression, a bound on its size, and a net under its handler.

use std::any::Any;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::decompression::RequestDecompressionLayer;
use uuid::Uuid;

use super::{ApiError, AppState};
use crate::meters;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts the layers around the routes; the outermost comes last.
pub(super) fn around(routes: Router, state: &AppState) -> Router {
    routes
        .fallback(async || ApiError::not_found("There is no such route."))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This route has no such method.")
        })
        .layer(DefaultBodyLimit::max(state.config.body_bytes_max))
        .layer(RequestDecompressionLayer::new())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(numbered_and_counted))
}

/// Gives the answer an `x-request-id`, the caller's where it sent a sensible one, and counts it.
async fn numbered_and_counted(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .filter(|id| id.len() <= 128 && id.as_bytes().iter().all(u8::is_ascii_graphic))
        .cloned()
        .or_else(|| HeaderValue::from_str(&Uuid::now_v7().to_string()).ok());
    let method = request.method().as_str().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".into(), |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    // Layers below answer in plain text, axum's way; clients get one kind of error.
    if response.status().is_client_error() || response.status().is_server_error() {
        response = as_problem(response);
    }
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let status = response.status().as_u16().to_string();
    metrics::counter!(meters::HTTP_REQUESTS, "method" => method.clone(), "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!(meters::HTTP_SECONDS, "method" => method, "route" => route)
        .record(started.elapsed().as_secs_f64());
    response
}

fn as_problem(response: Response) -> Response {
    let is_problem = response
        .headers()
        .get(axum::http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if is_problem {
        return response;
    }
    match response.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "This content-encoding is not known: send the body as it is, or as gzip or zstd.",
        )
        .into_response(),
        status => {
            let mut problem = ApiError::new(status, "http", "The request can't be answered.").into_response();
            // `Allow` and the like stay.
            for (name, value) in response.headers() {
                if name != axum::http::header::CONTENT_LENGTH && !problem.headers().contains_key(name) {
                    problem.headers_mut().insert(name, value.clone());
                }
            }
            problem
        }
    }
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic's own words were printed where it happened.
    tracing::error!("a handler panicked");
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed; its log says why.").into_response()
}
