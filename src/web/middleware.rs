//! What every request passes: an id, a count, and a net under its handler; and, once it may use its route, a bound on
//! what its body takes.
//!
//! Bodies get their room after the access check, each tenant's within what it may hold of all. Strangers have a room of
//! their own, shared by where they come from: what they send is small, but they may be many, and callers who are known
//! don't wait behind them.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::EXPECT;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use futures_util::StreamExt;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;

use super::body::{Allowed, too_large};
use super::client::Client;
use super::counted::{Answers, numbered_and_counted};
use super::{ApiError, AppState, budget, routes};
use crate::auth::Principal;
use crate::limit::addresses::network;
use crate::limit::room::{Room, SHARE};

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
pub(super) fn reading(
    handler: MethodRouter<AppState>,
    state: &AppState,
    bodies: &Bodies,
) -> MethodRouter<AppState> {
    handler.layer(from_fn_with_state((state.clone(), bodies.clone()), bounded))
}

/// The largest body of somebody nobody knows: a name, a password, a token.
const STRANGERS_BYTES: usize = 16 << 10;
/// Bodies that are in memory at once; more where the largest one that is taken would not be let in otherwise.
const BODIES_BYTES: u64 = 96 << 20;
/// The same for strangers, all together: 4,096 of their largest.
const ALL_STRANGERS_BYTES: u64 = 64 << 20;
/// How long a request waits for room before it is told to come back.
const ROOM_WITHIN: Duration = Duration::from_secs(3);
/// How long a client may go on sending what was refused.
const LINGER: Duration = Duration::from_secs(5);

/// What bodies may take.
#[derive(Clone)]
pub(super) struct Bodies {
    /// Shared by all of them.
    room: Room,
    largest: usize,
}

impl Bodies {
    /// Of callers who are known, on all their routes together.
    pub(super) fn of_callers(largest: usize) -> Self {
        let bytes = BODIES_BYTES.max((largest as u64).saturating_mul(SHARE));
        Self {
            room: Room::new(bytes, ROOM_WITHIN),
            largest,
        }
    }

    /// Of anybody, on all open routes together.
    pub(super) fn of_strangers() -> Self {
        Self {
            room: Room::new(ALL_STRANGERS_BYTES, ROOM_WITHIN),
            largest: STRANGERS_BYTES,
        }
    }
}

/// Lets a request's body have room, as much as has arrived of it, until it is answered: so that memory is bounded however
/// many come at once, and nobody holds room for what it has yet to send.
async fn bounded(
    State((state, bodies)): State<(AppState, Bodies)>,
    mut request: Request,
    next: Next,
) -> Response {
    if request.body().size_hint().lower() > bodies.largest as u64 {
        return refused_unread(request, bodies.largest);
    }
    let held = bodies.room.of(&holder(&state, &request));
    let allowed = Allowed::new(bodies.largest, held);
    request.extensions_mut().insert(allowed.clone());
    let answer = next.run(request).await;
    allowed.end();
    answer
}

/// In whose name a body has its room: its tenant's, or, for strangers, that of where they come from.
fn holder(state: &AppState, request: &Request) -> String {
    match request.extensions().get::<Principal>() {
        Some(principal) => principal.tenant().to_string(),
        None => Client::of_request(state, request)
            .map(|client| network(client.address).to_string())
            .unwrap_or_default(),
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
