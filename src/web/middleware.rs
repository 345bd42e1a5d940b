//! What every request passes: an id, a count, and a net under its handler; and, once it may use its route, a bound on
//! what its body takes.
//!
//! Room for bodies is set aside after the access check. Strangers have a room of their own: what they send is small, but
//! they may be many, and callers who are known don't wait behind them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, EXPECT};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;

use super::body::{BodyMax, too_large};
use super::counted::{Answers, numbered_and_counted};
use super::{ApiError, AppState, budget, routes};

/// Puts the layers around the routes; the outermost comes last.
pub(super) fn around(routed: Router, state: &AppState) -> Router {
    routed
        .fallback(async || ApiError::not_found("There is no such route."))
        .method_not_allowed_fallback(async || {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This route has no such method.",
            )
        })
        .layer(from_fn_with_state(state.clone(), budget::by_address))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(option_layer(state.config.cors.layer()))
        .layer(from_fn_with_state(
            Answers::of(&routes::table()),
            numbered_and_counted,
        ))
}

/// Puts around a route's handler what bounds its body. The access check goes around this.
pub(super) fn reading(handler: MethodRouter<AppState>, bodies: &Bodies) -> MethodRouter<AppState> {
    handler.layer(from_fn_with_state(bodies.clone(), bounded))
}

/// The largest body of somebody nobody knows: a name, a password, a token.
const STRANGERS_BYTES: usize = 16 * 1024;
/// Bodies that are in memory at once, in KiB: what a request may take is set aside before it is read.
const BODIES_KIB: usize = 96 * 1024;
/// The same for strangers, all together: 4,096 of their largest.
const STRANGERS_KIB: usize = 64 * 1024;
/// How long a request waits for room before it is told to come back.
const ROOM_WITHIN: Duration = Duration::from_secs(3);
/// How long a client may go on sending what was refused.
const LINGER: Duration = Duration::from_secs(5);

/// What bodies may take.
#[derive(Clone)]
pub(super) struct Bodies {
    /// Shared by all of them.
    room: Arc<Semaphore>,
    largest: usize,
}

impl Bodies {
    /// Of callers who are known, on all their routes together.
    pub(super) fn of_callers(largest: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(BODIES_KIB)),
            largest,
        }
    }

    /// Of anybody, on all open routes together.
    pub(super) fn of_strangers() -> Self {
        Self {
            room: Arc::new(Semaphore::new(STRANGERS_KIB)),
            largest: STRANGERS_BYTES,
        }
    }

    /// What a body may take: its stated length, or the most there can be when it is compressed or of no stated length.
    fn needed(&self, request: &Request) -> u32 {
        let largest_kib = self.largest.div_ceil(1024).clamp(1, BODIES_KIB) as u32;
        let is_plain = !request.headers().contains_key(CONTENT_ENCODING);
        // What the connection says of the body, not what a header does: HTTP/2 needs no header to send one.
        match request.body().size_hint().exact() {
            Some(0) => 0,
            Some(length) if is_plain => length.div_ceil(1024).min(largest_kib.into()) as u32,
            _ => largest_kib,
        }
    }
}

/// Lets a request in once there is room for its body, so that memory is bounded however many come at once.
async fn bounded(State(bodies): State<Bodies>, mut request: Request, next: Next) -> Response {
    if request.body().size_hint().lower() > bodies.largest as u64 {
        return refused_unread(request, bodies.largest);
    }
    request.extensions_mut().insert(BodyMax(bodies.largest));
    let needed = bodies.needed(&request);
    match tokio::time::timeout(ROOM_WITHIN, bodies.room.acquire_many_owned(needed)).await {
        Ok(Ok(_held)) => next.run(request).await,
        _ => ApiError::unavailable(
            "too_busy",
            "Too many requests are being read. Try again.",
            Duration::from_secs(2),
        )
        .into_response(),
    }
}

/// 413 at once. What the client sends all the same is thrown away for a moment: one whose connection is closed while it
/// sends may never see the answer. Who asked first (`Expect`) sends nothing.
fn refused_unread(request: Request, largest: usize) -> Response {
    if !request.headers().contains_key(EXPECT) {
        let rest = request.into_body().into_data_stream();
        let thrown_away = rest
            .take_while(|read| std::future::ready(read.is_ok()))
            .for_each(|_| std::future::ready(()));
        tokio::spawn(tokio::time::timeout(LINGER, thrown_away));
    }
    too_large(largest).into_response()
}

/// An error of a layer below, in the one form that clients know.
pub(super) fn as_problem(response: Response) -> Response {
    let is_problem = response
        .headers()
        .get(axum::http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if is_problem {
        return response;
    }
    let mut problem =
        ApiError::new(response.status(), "http", "The request can't be answered.").into_response();
    // `Allow` and the like stay.
    for (name, value) in response.headers() {
        if name != axum::http::header::CONTENT_LENGTH && !problem.headers().contains_key(name) {
            problem.headers_mut().insert(name, value.clone());
        }
    }
    problem
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic's own words were printed where it happened.
    tracing::error!("a handler panicked");
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "The server failed; its log says why.",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn room_is_set_aside_for_what_a_body_may_take() {
        let bodies = Bodies::of_callers(10 << 20);
        let endless = || {
            Body::from_stream(futures_util::stream::pending::<
                Result<bytes::Bytes, std::io::Error>,
            >())
        };
        for (body, encoding, kib) in [
            (Body::empty(), None, 0),
            (Body::from("x"), None, 1),
            (Body::from(vec![0; 5000]), None, 5),
            (Body::from(vec![0; 11 << 20]), None, 10 << 10),
            (Body::from("x"), Some("zstd"), 10 << 10),
            (endless(), None, 10 << 10),
        ] {
            let mut request = Request::new(body);
            if let Some(encoding) = encoding {
                let encoding = axum::http::HeaderValue::from_static(encoding);
                request.headers_mut().insert(CONTENT_ENCODING, encoding);
            }
            assert_eq!(bodies.needed(&request), kib);
        }
    }
}
