//! Where a request came from and what it is called, for what is recorded of it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};

use super::AppState;
use super::client::Client;
use super::counted::RequestId;
use super::trace::Trace;
use crate::trail::Occasion;

/// The longest user agent that is kept, in bytes.
const USER_AGENT_MAX: usize = 1_024;

impl FromRequestParts<AppState> for Occasion {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let client = Client::from_request_parts(parts, state).await.ok();
        let said =
            |value: Option<&HeaderValue>| value.and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let user_agent = said(parts.headers.get(header::USER_AGENT));
        Ok(Self {
            address: client.map(|client| client.address),
            user_agent: user_agent.map(|mut text| {
                text.truncate(USER_AGENT_MAX);
                text
            }),
            request_id: said(parts.extensions.get::<RequestId>().map(|RequestId(id)| id)),
            trace_id: parts.extensions.get::<Trace>().map(Trace::id),
        })
    }
}
