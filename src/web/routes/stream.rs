//! `GET /api/v1/logs/stream`: a WebSocket where one is asked for, else server-sent events. And
//! `POST /api/v1/logs/stream/ticket`, for browsers.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::sync::mpsc;

use super::search::with_saved;
use super::whose::existing;
use super::{Access::Needs, Access::NeedsOrTicket, Budget, Route, get, post};
use crate::control::Permission::Read;
use crate::crypto::ExposeSecret;
use crate::event::problem::Problem;
use crate::limit::Permit;
use crate::query::parse::{Asked, question};
use crate::query::{params, parse};
use crate::stream::{End, Frame, Next, Session, Start, StreamError, ticket};
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};
use crate::web::doc::{self, Doc, query};
use crate::web::extract::{Caller, Params};
use crate::web::server::Place;
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get(
            "/api/v1/logs/stream",
            NeedsOrTicket(Read, Budget::Searching),
            stream,
        )
        .doc(said_of_stream()),
        post(
            "/api/v1/logs/stream/ticket",
            Needs(Read, Budget::Searching),
            give_ticket,
        )
        .doc(said_of_ticket()),
    ]
}

fn said_of_stream() -> Doc {
    Doc::new("streamEvents", "Events", "Follow events as they come in")
        .text("A WebSocket where one is asked for, else server-sent events. Each frame has a `cursor`, with which a stream goes on where it was.")
        .params(doc::filters())
        .param(query("cursor", "Of the last frame that was taken: goes on behind it.", json!({"type": "string"})))
        .param(doc::moment("since", "Begin with what was received then or later.", "2026-11-20T09:00:00Z"))
        .param(query("ticket", "Instead of a credential, for browsers, once.", json!({"type": "string"})))
        .param(doc::header("Last-Event-ID", "As browsers say it: a cursor.", json!({"type": "string"})))
        .answers_as(200, "Events, as they come in.", "text/event-stream", json!({"type": "string"}))
        .answers_nothing(101, "A WebSocket, where one was asked for.")
        .is_stream()
}

fn said_of_ticket() -> Doc {
    Doc::new("createStreamTicket", "Events", "Get a ticket for a stream")
        .text("For browsers, which can't send a credential with a WebSocket. It is good for one connection, and stands for the caller.")
        .answers(201, "The ticket.", "Ticket")
}

/// Parameters of a stream's own, and those of a search that it has no use for.
const OWN: [&str; 3] = ["cursor", "since", "ticket"];
const REFUSED: [&str; 4] = ["sort", "limit", "count", "fields"];
/// The largest message that a client may send: it has nothing to say.
const SAID_MAX: usize = 4 * 1024;
/// Bytes that are given to a connection before it is waited for: a client that takes so many in 30 s is fast enough.
const PIECE: usize = 64 * 1024;

/// The ticket in a request's parameters.
pub(super) fn ticket_of(request: &Request) -> Option<String> {
    let params = params::pairs(request.uri().query()?).ok()?;
    params
        .into_iter()
        .find(|(name, _)| name == "ticket")
        .map(|(_, value)| value)
}

pub(super) async fn give_ticket(
    State(state): State<AppState>,
    Caller(principal): Caller,
) -> Result<Response, ApiError> {
    let ticket = state.streams.tickets.issue(principal, state.clock.now());
    let ticket = ticket.ok_or_else(|| {
        ApiError::unavailable(
            "too_busy",
            "Too many tickets wait to be used. Try again.",
            ticket::GOOD_FOR,
        )
    })?;
    let body = json!({"ticket": ticket.expose_secret(), "expires_in": ticket::GOOD_FOR.as_secs()});
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(body)).into_response())
}

pub(super) async fn stream(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    Params(params): Params,
    headers: HeaderMap,
    place: Option<Extension<Place>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let params = with_saved(&state, &principal, &params, &REFUSED)?;
    let asked = question(&params, &OWN, &REFUSED);
    let (start, asked) = start(asked, &headers)?;
    let search = asked.search;
    existing(&state, &principal, search.tenant_id.as_ref())?;
    let upgrade = match (headers.contains_key(header::UPGRADE), upgrade) {
        (false, _) => None,
        (true, Ok(upgrade)) => Some(upgrade),
        (true, Err(why)) => {
            let problem = Problem::new("Upgrade", why.body_text());
            return Err(ApiError::invalid(StatusCode::BAD_REQUEST, vec![problem]));
        }
    };
    let scope = state.queries.scope(&principal, search.tenant_id.as_ref())?;
    let permit = state.limits.stream_permit(&principal)?;
    let read = Reading::of(Kind::Stream, search.tenant_id.as_ref(), &params);
    let opened = state.streams.open(principal.clone(), scope, search.filter, start);
    let session = state.recorded(&principal, &occasion, read, opened).await?;
    Ok(match upgrade {
        Some(upgrade) => upgrade
            .max_message_size(SAID_MAX)
            .max_frame_size(SAID_MAX)
            .on_upgrade(async move |socket| {
                converse(socket, session).await;
                // The connection has its place until now, and counts as a stream.
                drop((place, permit));
            }),
        None => server_sent(session, permit, place),
    })
}

/// Where it begins; of all that is wrong with the question, everything is said.
fn start(mut asked: Asked, headers: &HeaderMap) -> Result<(Start, Asked), ApiError> {
    let (cursor, since) = (asked.one("cursor"), asked.one("since"));
    let _ = asked.one("ticket");
    // A browser that connects again asks with what its first request said, and says how far it came.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last = last.filter(|last| !last.is_empty()).map(str::to_owned);
    let start = match (last, cursor, since) {
        (None, Some(_), Some(_)) => {
            let problem = Problem::new("since", "a stream begins at a cursor or at a time, not at both");
            asked.problems.push(problem);
            Start::Now
        }
        (Some(cursor), ..) | (None, Some(cursor), None) => Start::Cursor(cursor),
        (None, None, Some(since)) => match parse(&[("received_from".to_owned(), since)]) {
            Ok(search) => search.filter.received.from.map_or(Start::Now, Start::Since),
            Err(problems) => {
                let named = problems
                    .into_iter()
                    .map(|problem| Problem::new("since", problem.detail));
                asked.problems.extend(named);
                Start::Now
            }
        },
        (None, None, None) => Start::Now,
    };
    match asked.problems.is_empty() {
        true => Ok((start, asked)),
        false => Err(ApiError::invalid(StatusCode::BAD_REQUEST, asked.problems)),
    }
}

impl From<StreamError> for ApiError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Cursor => {
                let detail = "not a cursor of this stream: leave it out, or repeat the filters and the tenant it came with";
                Self::invalid(StatusCode::BAD_REQUEST, vec![Problem::new("cursor", detail)])
            }
            StreamError::Busy => Self::unavailable(
                "too_busy",
                "Too many streams look for where they begin. Come back later, or begin with a cursor.",
                Duration::from_secs(5),
            ),
            StreamError::Log(error) => {
                tracing::warn!(%error, "a stream can't find where it begins");
                Self::unavailable(
                    "log_unavailable",
                    "The log can't be reached, so it is not known where that is.",
                    Duration::from_secs(2),
                )
            }
        }
    }
}

/// What the client is told at the end.
fn last_words(end: End) -> Frame {
    let problem = match end {
        End::Auth(error) => ApiError::from(error),
        End::Stopping => ApiError::unavailable(
            "stopping",
            "The server stops. Connect again, with the cursor of the last frame.",
            Duration::from_secs(1),
        ),
    };
    Frame::Error(problem.to_value())
}

/// Server-sent events. What comes is given out by a task of its own: over HTTP/2 nobody asks for an answer's next piece
/// while the client has no room for it, so a client that takes nothing would keep its stream for ever.
fn server_sent(session: Session, permit: Permit, place: Option<Extension<Place>>) -> Response {
    let (to, pieces) = mpsc::channel(1);
    tokio::spawn(async move {
        if tell(session, to).await.is_none() {
            tracing::info!("a stream is cut: its client takes nothing of what it is given");
            if let Some(Extension(place)) = place {
                place.cut.cancel();
            }
        }
        drop(permit);
    });
    let pieces = futures_util::stream::unfold(pieces, async |mut pieces| {
        Some((Ok::<_, Infallible>(pieces.recv().await??), pieces))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies such as nginx gather answers otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// Gives a client what comes, and `None` at the end, until it has taken all of it or is gone; `None` where it takes nothing.
async fn tell(mut session: Session, to: mpsc::Sender<Option<Bytes>>) -> Option<()> {
    loop {
        let next = tokio::select! {
            next = session.next() => next,
            () = to.closed() => return Some(()),
        };
        let mut text = String::new();
        let is_last = matches!(next, Next::End(..));
        match next {
            Next::Frames(frames) => {
                for (frame, cursor) in &frames {
                    frame.write_sse(cursor, &mut text);
                }
            }
            Next::End(end, cursor) => last_words(end).write_sse(&cursor, &mut text),
        }
        let mut bytes = Bytes::from(text);
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            if session.taken(to.send(Some(piece))).await?.is_err() {
                return Some(());
            }
        }
        if is_last {
            // The answer is dropped when there was room for the last of it.
            let _ = session.taken(to.send(None)).await?;
            return session.taken(to.closed()).await;
        }
    }
}

async fn converse(socket: WebSocket, mut session: Session) {
    let (mut sink, mut said) = socket.split();
    loop {
        let next = tokio::select! {
            next = session.next() => next,
            // A client has nothing to say but that it goes; pings are answered with what is sent next.
            said = said.next() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    if !matches!(session.taken(sink.flush()).await, Some(Ok(()))) {
                        return;
                    }
                    continue;
                }
            },
        };
        let (frames, end) = match next {
            Next::Frames(frames) => (frames, None),
            Next::End(end, cursor) => {
                let code = match end {
                    End::Auth(_) => close_code::POLICY,
                    End::Stopping => close_code::AWAY,
                };
                (vec![(last_words(end), cursor)], Some(code))
            }
        };
        if send(&mut session, &mut sink, &frames).await.is_none() {
            return;
        }
        if let Some(code) = end {
            let close = Message::Close(Some(CloseFrame {
                code,
                reason: "the last frame says why".into(),
            }));
            // It may have gone.
            let _ = session.taken(sink.send(close)).await;
            return;
        }
    }
}

/// Gives a client frames, flushed together as far as they are small; `None` where it takes nothing or is gone.
async fn send(
    session: &mut Session,
    sink: &mut SplitSink<WebSocket, Message>,
    frames: &[(Frame, String)],
) -> Option<()> {
    let mut unflushed = 0;
    for (frame, cursor) in frames {
        let mut text = String::with_capacity(1024);
        frame.write(cursor, &mut text);
        unflushed += text.len();
        session.taken(sink.feed(Message::Text(text.into()))).await?.ok()?;
        if unflushed >= PIECE {
            session.taken(sink.flush()).await?.ok()?;
            unflushed = 0;
        }
    }
    session.taken(sink.flush()).await?.ok()
}
