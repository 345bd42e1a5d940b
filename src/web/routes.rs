//! Every route, with what it asks of its caller.

mod cleanup;
mod correlate;
mod docs;
mod export;
mod exports;
mod health;
mod keys;
mod login;
mod logs;
mod manage;
mod revise;
mod schemas;
mod search;
mod searches;
mod stats;
mod stream;
mod tenants;
mod users;
mod whose;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::budget::Spent;
use super::client::Client;
use super::counted::RequestId;
use super::doc::Doc;
use super::middleware::{Bodies, reading};
use super::{ApiError, AppState};
use crate::auth::{Principal, Whence};
use crate::control::Permission;
use crate::limit::Budget;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: strangers may.
    Open,
    /// To come from this machine.
    Loopback,
    /// A credential, whatever it allows, and room in this budget.
    Known(Budget),
    /// A credential that allows this, and room in this budget.
    Needs(Permission, Budget),
    /// The same, or a ticket of somebody who has such a credential: `?ticket=`.
    NeedsOrTicket(Permission, Budget),
}

/// A method on a path.
pub struct Route {
    /// `GET`, …
    pub method: Method,
    /// As axum writes it: `/api/v1/logs/{id}`.
    pub path: &'static str,
    /// What it asks.
    pub access: Access,
    /// What is said of it; `None` for a second name of another route.
    pub doc: Option<Doc>,
    handler: MethodRouter<AppState>,
}

impl Route {
    fn new<H, T>(method: MethodFilter, name: Method, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        Self {
            method: name,
            path,
            access,
            doc: None,
            handler: on(method, handler),
        }
    }

    /// What is said of it.
    fn doc(self, doc: Doc) -> Self {
        Self {
            doc: Some(doc),
            ..self
        }
    }
}

/// One function a method: `get("/api/v1/logs", Needs(Read), page)`.
macro_rules! methods {
    ($($name:ident $method:ident,)*) => {$(
        fn $name<H, T>(path: &'static str, access: Access, handler: H) -> Route
        where
            H: Handler<T, AppState>,
            T: 'static,
        {
            Route::new(MethodFilter::$method, Method::$method, path, access, handler)
        }
    )*};
}

methods! { get GET, post POST, put PUT, patch PATCH, delete DELETE, }

/// All routes, as the file of each resource lists them. A route that is in none of these lists does not exist.
pub fn table() -> Vec<Route> {
    let of_resources = [
        login::routes(),
        logs::routes(),
        revise::routes(),
        cleanup::routes(),
        search::routes(),
        stats::routes(),
        correlate::routes(),
        export::routes(),
        exports::routes(),
        stream::routes(),
        tenants::routes(),
        users::routes(),
        keys::routes(),
        searches::routes(),
        schemas::routes(),
        health::routes(),
        docs::routes(),
    ];
    of_resources.into_iter().flatten().collect()
}

/// The router of [`table`], each route behind its check, and no body read before it.
pub(super) fn router(state: &AppState) -> Router {
    let mut router = Router::new();
    let of_callers = Bodies::of_callers(state.config.body_bytes_max);
    let of_strangers = Bodies::of_strangers();
    for Route {
        path,
        access,
        handler,
        ..
    } in table()
    {
        let bodies = match access {
            Access::Needs(..) | Access::NeedsOrTicket(..) | Access::Known(_) => &of_callers,
            Access::Open | Access::Loopback => &of_strangers,
        };
        let handler = reading(handler, state, bodies);
        let gate = (state.clone(), access);
        router = router.route(path, handler.layer(from_fn_with_state(gate, check)));
    }
    router.with_state(state.clone())
}

async fn check(
    State((state, access)): State<(AppState, Access)>,
    mut request: Request,
    next: Next,
) -> Response {
    if !matches!(access, Access::Open | Access::Loopback) {
        state.auth.prepare(credential(request.headers())).await;
    }
    match enter(&state, access, &mut request) {
        Ok(None) => next.run(request).await,
        Ok(Some(spent)) => spent.answered(&state.limits, next.run(request).await),
        Err(refused) => *refused,
    }
}

/// Who may not use the route, or has spent what it costs, is answered at once.
fn enter(state: &AppState, access: Access, request: &mut Request) -> Result<Option<Spent>, Box<Response>> {
    let refused = |error: ApiError| Box::new(error.into_response());
    match access {
        Access::Open => Ok(None),
        Access::Loopback => {
            let client = Client::of_request(state, request);
            health::from_loopback(&state.config, client).map_err(refused)?;
            Ok(None)
        }
        Access::Known(budget) => entered(state, None, budget, false, request),
        Access::Needs(permission, budget) => entered(state, Some(permission), budget, false, request),
        Access::NeedsOrTicket(permission, budget) => entered(state, Some(permission), budget, true, request),
    }
}

fn entered(
    state: &AppState,
    permission: Option<Permission>,
    budget: Budget,
    tickets: bool,
    request: &mut Request,
) -> Result<Option<Spent>, Box<Response>> {
    let refused = |error: ApiError| Box::new(error.into_response());
    let principal = admit(state, permission, tickets, request).map_err(refused)?;
    let spent = state.limits.spend(&principal, budget);
    spent.map(Some).map_err(|limited| {
        let mut answer = refused(limited.into());
        state.limits.note(&principal, budget, answer.headers_mut());
        answer
    })
}

fn admit(
    state: &AppState,
    permission: Option<Permission>,
    tickets: bool,
    request: &mut Request,
) -> Result<Principal, ApiError> {
    let credential = credential(request.headers());
    let principal = match stream::ticket_of(request).filter(|_| tickets && credential.is_none()) {
        Some(ticket) => state.with_ticket(&ticket)?,
        None => state.auth.authenticate(credential)?,
    };
    if permission.is_some_and(|permission| !principal.can(permission)) {
        return Err(ApiError::forbidden("Your roles don't allow this."));
    }
    let principal = principal.coming_from(whence(state, request));
    request.extensions_mut().insert(principal.clone());
    Ok(principal)
}

/// Where a request comes from, as far as the server says.
fn whence(state: &AppState, request: &Request) -> Whence {
    let id = request.extensions().get::<RequestId>();
    Whence {
        ip: Client::of_request(state, request).map(|client| client.address),
        request_id: id.and_then(|RequestId(id)| Some(id.to_str().ok()?.to_owned())),
    }
}

/// `Authorization`, or `X-API-Key` for clients that can't set it.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let named = |name| headers.get(name).and_then(|value| value.to_str().ok());
    named(header::AUTHORIZATION.as_str()).or_else(|| named("x-api-key"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Second names of routes that are told of under their first.
    const SECOND_NAMES: [&str; 3] = ["/", "/events", "/api/v1/auth/login"];

    #[test]
    fn every_route_is_told_of_once() {
        let mut names = HashSet::new();
        for route in table() {
            let told = route.doc.as_ref().map(|doc| doc.id);
            assert_eq!(
                told.is_none(),
                SECOND_NAMES.contains(&route.path),
                "{} {}",
                route.method,
                route.path
            );
            assert!(told.is_none_or(|id| names.insert(id)), "{told:?} twice");
        }
    }

    /// Deeds with which the name of an operation begins; what it is done to follows.
    const VERBS: [&str; 20] = [
        "amend",
        "change",
        "cleanUp",
        "correlate",
        "count",
        "create",
        "delete",
        "disable",
        "export",
        "get",
        "list",
        "log",
        "put",
        "redact",
        "refresh",
        "revoke",
        "search",
        "stream",
        "update",
        "write",
    ];

    #[test]
    fn operations_are_named_by_what_they_do_to_what() {
        for doc in table().into_iter().filter_map(|route| route.doc) {
            let objects = VERBS.iter().filter_map(|verb| doc.id.strip_prefix(verb));
            let is_named = |object: &str| object.starts_with(|first: char| first.is_ascii_uppercase());
            assert!(objects.into_iter().any(is_named), "{}", doc.id);
            assert!(
                doc.id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{}",
                doc.id
            );
        }
    }

    #[test]
    fn each_route_is_listed_once_and_only_known_ones_are_open() {
        let table = table();
        let names: HashSet<_> = table
            .iter()
            .map(|route| (route.method.clone(), route.path))
            .collect();
        assert_eq!(names.len(), table.len());
        let open: Vec<_> = table
            .iter()
            .filter(|route| route.access == Access::Open)
            .map(|route| route.path)
            .collect();
        assert_eq!(
            open,
            [
                "/login",
                "/api/v1/auth/login",
                "/api/v1/auth/refresh",
                "/healthz",
                "/readyz",
                "/openapi.json",
                "/openapi-3.0.json",
                "/postman.json",
                "/",
                "/docs",
            ]
        );
    }
}
