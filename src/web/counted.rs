//! The outermost layer: every answer has an id and a trace, one kind of error, and is counted.
//!
//! Ten thousand small posts a second pass here. So nothing is allocated that a request does not need, and each counter
//! is looked up in the metrics' registry once, not at every request.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Counter, Histogram};
use tracing::Instrument as _;
use uuid::Uuid;

use super::middleware::as_problem;
use super::routes::Route;
use super::trace::{TRACEPARENT, Trace};
use crate::meters;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a path that is no route counts as.
const NO_ROUTE: &str = "none";

/// Counters of answers, by route.
pub(super) struct Answers {
    routes: HashMap<&'static str, OfRoute>,
    elsewhere: OfRoute,
}

impl Answers {
    /// For these routes; whatever else is asked for counts as one.
    pub(super) fn of(routes: &[Route]) -> Arc<Self> {
        let paths = routes.iter().map(|route| (route.path, OfRoute::new(route.path)));
        Arc::new(Self {
            routes: paths.collect(),
            elsewhere: OfRoute::new(NO_ROUTE),
        })
    }

    fn note(&self, route: Option<&MatchedPath>, method: &'static str, status: u16, started: Instant) {
        let route = route
            .and_then(|path| self.routes.get(path.as_str()))
            .unwrap_or(&self.elsewhere);
        route.note(method, status, started.elapsed().as_secs_f64());
    }
}

/// The counters of one route: a few, made when they are first needed.
struct OfRoute {
    path: &'static str,
    met: RwLock<Vec<Met>>,
}

/// Answers of one kind.
struct Met {
    method: &'static str,
    status: u16,
    answers: Counter,
    seconds: Histogram,
}

impl OfRoute {
    fn new(path: &'static str) -> Self {
        Self {
            path,
            met: RwLock::default(),
        }
    }

    fn note(&self, method: &'static str, status: u16, seconds: f64) {
        let is_it = |met: &&Met| met.method == method && met.status == status;
        if let Some(met) = self
            .met
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find(is_it)
        {
            return met.note(seconds);
        }
        let met = self.meet(method, status);
        met.note(seconds);
        self.met.write().unwrap_or_else(PoisonError::into_inner).push(met);
    }

    fn meet(&self, method: &'static str, status: u16) -> Met {
        let path = self.path;
        Met {
            method,
            status,
            answers: metrics::counter!(meters::HTTP_REQUESTS, "method" => method, "route" => path, "status" => status.to_string()),
            seconds: metrics::histogram!(meters::HTTP_SECONDS, "method" => method, "route" => path),
        }
    }
}

impl Met {
    fn note(&self, seconds: f64) {
        self.answers.increment(1);
        self.seconds.record(seconds);
    }
}

/// The `x-request-id` that the answer will have, for whoever writes down where something came from.
#[derive(Clone, Debug)]
pub struct RequestId(pub HeaderValue);

/// Gives the answer an `x-request-id` and a `traceparent`, the caller's where it sent sensible ones, and counts it.
pub(super) async fn numbered_and_counted(
    State(answers): State<Arc<Answers>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let (id, trace) = (id_of(&request), Trace::of(request.headers()));
    let span = tracing::info_span!("request", trace_id = tracing::field::Empty);
    if !span.is_disabled() {
        span.record("trace_id", trace.id());
    }
    request.extensions_mut().insert(trace);
    if let Some(id) = &id {
        request.extensions_mut().insert(RequestId(id.clone()));
    }
    let method = name_of(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).instrument(span).await;
    // Layers below answer in plain text, axum's way; clients get one kind of error.
    if response.status().is_client_error() || response.status().is_server_error() {
        response = as_problem(response);
    }
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(trace) = trace.header() {
        response.headers_mut().insert(TRACEPARENT, trace);
    }
    answers.note(route.as_ref(), method, response.status().as_u16(), started);
    response
}

fn id_of(request: &Request) -> Option<HeaderValue> {
    let sensible = |id: &&HeaderValue| id.len() <= 128 && id.as_bytes().iter().all(u8::is_ascii_graphic);
    match request.headers().get(&REQUEST_ID).filter(sensible) {
        Some(id) => Some(id.clone()),
        None => {
            let mut text = Uuid::encode_buffer();
            HeaderValue::from_str(Uuid::now_v7().hyphenated().encode_lower(&mut text)).ok()
        }
    }
}

/// The methods that are answered have names; anybody may make up others.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_answer_is_met_once() {
        let route = OfRoute::new("/x");
        for (method, status) in [
            ("GET", 200),
            ("GET", 404),
            ("GET", 200),
            ("POST", 200),
            ("GET", 404),
        ] {
            route.note(method, status, 0.1);
        }
        assert_eq!(route.met.read().unwrap().len(), 3);
    }

    #[test]
    fn a_caller_s_sensible_id_is_kept() {
        let with = |id: &'static str| {
            let mut request = Request::default();
            request
                .headers_mut()
                .insert(REQUEST_ID, HeaderValue::from_static(id));
            id_of(&request).unwrap()
        };
        assert_eq!(with("mine-7"), "mine-7");
        for other in [with("has a blank"), id_of(&Request::default()).unwrap()] {
            assert!(Uuid::parse_str(other.to_str().unwrap()).is_ok(), "{other:?}");
        }
    }

    #[test]
    fn methods_that_callers_make_up_share_a_name() {
        assert_eq!(name_of(&Method::PATCH), "PATCH");
        assert_eq!(name_of(&Method::from_bytes(b"MADE-UP").unwrap()), "other");
    }
}
