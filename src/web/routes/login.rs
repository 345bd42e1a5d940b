//! `POST /login`, and its longer name; `POST /api/v1/auth/refresh`.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Access::Open, Route, post};
use crate::auth::{AuthError, LoginTokens};
use crate::event::TenantId;
use crate::trail::{Occasion, read};
use crate::web::client::Client;
use crate::web::object::{FromObject, JsonBody, Object, secret, text};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/login", Open, login),
        post("/api/v1/auth/login", Open, login),
        post("/api/v1/auth/refresh", Open, refresh),
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
