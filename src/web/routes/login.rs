//! `POST /login`, and its longer name; `POST /api/v1/auth/{refresh,logout,password}`; `GET /api/v1/auth/me`.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::manage::{refuse_parameters, request_id};
use super::{
    Access::{Known, Open},
    Budget::{Free, Managing},
    Route, get, post,
};
use crate::auth::{AuthError, LoginTokens, PrincipalKind};
use crate::event::TenantId;
use crate::trail::{Occasion, read};
use crate::web::client::Client;
use crate::web::doc::{self, Doc};
use crate::web::extract::{Caller, Params};
use crate::web::object::{FromObject, JsonBody, Object, flag, new_password, secret, text};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/login", Open, login).doc(
            Doc::new("logIn", "Sessions", "Log in")
                .text("Also at `/api/v1/auth/login`. Wrong passwords are counted, by user and by address: too many, and the answer is 429 for a while.")
                .takes("Login")
                .answers(200, "You are in.", "Tokens")
                .problem(401, "User name or password is wrong."),
        ),
        post("/api/v1/auth/login", Open, login),
        post("/api/v1/auth/refresh", Open, refresh).doc(
            Doc::new("refreshTokens", "Sessions", "Get a new pair of tokens")
                .takes("Refresh")
                .answers(200, "The new pair.", "Tokens")
                .problem(401, "The refresh token does not count, or no more."),
        ),
        post("/api/v1/auth/logout", Known(Managing), logout).doc(
            Doc::new("logOut", "Sessions", "Log out")
                .text("Ends the session of the token, with all that it was refreshed to; with `everywhere`, all sessions of the user. A key has no session: 403.")
                .param(doc::idempotency_key())
                .takes("Logout")
                .body_optional()
                .answers_nothing(204, "You are out.")
                .problem(409, "The `Idempotency-Key` belongs to another request."),
        ),
        post("/api/v1/auth/password", Known(Managing), password).doc(
            Doc::new("changeOwnPassword", "Sessions", "Change one's own password")
                .text("All tokens that were before count no more.")
                .param(doc::idempotency_key())
                .takes("NewPassword")
                .answers(200, "A new pair of tokens.", "Tokens")
                .problem(409, "The `Idempotency-Key` belongs to another request."),
        ),
        get("/api/v1/auth/me", Known(Free), me).doc(
            Doc::new("getMe", "Sessions", "Who I am").answers(200, "As far as the server knows.", "Me"),
        ),
    ]
}

pub(super) struct Login {
    username: String,
    password: SecretString,
}

impl FromObject for Login {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let (username, password) = (object.needed("username", text), object.needed("password", secret));
        Some(Self {
            username: username?,
            password: password?,
        })
    }
}

pub(super) struct Refresh {
    refresh_token: SecretString,
}

impl FromObject for Refresh {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let refresh_token = object.needed("refresh_token", secret)?;
        Some(Self { refresh_token })
    }
}

pub(super) async fn login(
    State(state): State<AppState>,
    client: Client,
    occasion: Occasion,
    JsonBody(login): JsonBody<Login>,
) -> Result<Response, ApiError> {
    let tokens = state
        .auth
        .login(client.address, &login.username, login.password)
        .await;
    let tokens = tokens.inspect_err(|error| {
        // The name stays out: people type passwords there.
        tracing::info!(client = %client.address, %error, "a login was refused");
    });
    record(&state, &occasion, &login.username, &tokens).await?;
    Ok(answer(&tokens?))
}

/// Logins that succeeded, and those that were refused for what was typed.
async fn record(
    state: &AppState,
    occasion: &Occasion,
    name: &str,
    outcome: &Result<LoginTokens, AuthError>,
) -> Result<(), ApiError> {
    if !matches!(outcome, Ok(_) | Err(AuthError::WrongPassword)) {
        return Ok(());
    }
    let control = state.control.state();
    let user = control.user_named(name);
    let tenant = user.map_or_else(TenantId::default_tenant, |user| user.tenant.clone());
    let name = user.map(|user| &*user.name);
    let (now, id) = (state.clock.now(), state.clock.fresh_id());
    let event = read::login(tenant, name, outcome.is_ok(), occasion, now, id);
    Ok(state.trail.keep(event).await?)
}

pub(super) async fn refresh(
    State(state): State<AppState>,
    JsonBody(body): JsonBody<Refresh>,
) -> Result<Response, ApiError> {
    Ok(answer(&state.auth.refresh(&body.refresh_token)?))
}

pub(super) struct Logout {
    everywhere: bool,
}

impl FromObject for Logout {
    const MAY_BE_ABSENT: bool = true;

    fn of(object: &mut Object<'_>) -> Option<Self> {
        let everywhere = object.optional("everywhere", flag).unwrap_or(false);
        Some(Self { everywhere })
    }
}

/// Ends the session of the caller's token, with all that it was refreshed to; or all sessions of the user.
async fn logout(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<Logout>,
) -> Result<StatusCode, ApiError> {
    let route = "POST /api/v1/auth/logout";
    let request = request_id(&headers, &state, &principal, route, principal.tenant())?;
    state.auth.log_out(&principal, request, wanted.everywhere).await?;
    Ok(StatusCode::NO_CONTENT)
}

struct NewPassword {
    old: SecretString,
    new: SecretString,
}

impl FromObject for NewPassword {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let old = object.needed("old_password", secret);
        let new = object.needed("password", new_password);
        Some(Self { old: old?, new: new? })
    }
}

/// A new pair of tokens: all that were before count no more.
async fn password(
    State(state): State<AppState>,
    client: Client,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<NewPassword>,
) -> Result<Response, ApiError> {
    let route = "POST /api/v1/auth/password";
    let request = request_id(&headers, &state, &principal, route, principal.tenant())?;
    let passwords = (wanted.old, wanted.new);
    let changed = state
        .auth
        .change_password(&principal, request, client.address, passwords);
    Ok(answer(&changed.await?))
}

/// Who the caller is, as far as the server knows.
async fn me(Caller(principal): Caller, Params(params): Params) -> Result<Response, ApiError> {
    refuse_parameters(&params)?;
    let kind = match principal.kind() {
        PrincipalKind::User => "user",
        PrincipalKind::Key => "key",
        PrincipalKind::System => "system",
    };
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let body = json!({
        "id": principal.id(),
        "name": principal.who(),
        "kind": kind,
        "tenant_id": principal.tenant(),
        "roles": principal.roles(),
        "limit": principal.limit().map(|limit| &**limit),
        "session_id": principal.session(),
        "expires_at": principal.expires_at(),
    });
    Ok(([no_store], Json(body)).into_response())
}

fn answer(tokens: &LoginTokens) -> Response {
    let body = Json(json!({
        "token": tokens.token.expose_secret(),
        "token_type": tokens.token_type,
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token.expose_secret(),
    }));
    (
        [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        body,
    )
        .into_response()
}
