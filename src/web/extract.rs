//! What handlers ask of a request.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::ApiError;
use crate::auth::Principal;
use crate::event::draft::Problem;
use crate::query::params;

/// Who is asking: put there by the route's access check.
pub struct Caller(pub Principal);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // A route that is open to strangers has no caller, and must not ask for one.
        let found = parts.extensions.get::<Principal>().cloned();
        found
            .map(Self)
            .ok_or_else(|| crate::auth::AuthError::Missing.into())
    }
}

/// What stands in the path as `{id}`.
pub struct Id(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_| undecodable("id"))?;
        Ok(Self(id))
    }
}

/// The parameters of the URL, decoded, in order; repeated ones repeat.
pub struct Params(pub Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let params = params::pairs(parts.uri.query().unwrap_or_default())
            .map_err(|problem| ApiError::invalid(StatusCode::BAD_REQUEST, vec![problem]))?;
        Ok(Self(params))
    }
}

fn undecodable(name: &str) -> ApiError {
    let problem = Problem::new(name, "is not UTF-8 in percent-encoding");
    ApiError::invalid(StatusCode::BAD_REQUEST, vec![problem])
}

/// The key, quoted as the standard wants it (draft-ietf-httpapi-idempotency-key-header) or bare.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().ok().map(str::trim);
    let bare = |text| {
        let quoted = str::strip_prefix(text, '"').and_then(|text| text.strip_suffix('"'));
        quoted.unwrap_or(text)
    };
    let fits = |c: char| (c == ' ' || c.is_ascii_graphic()) && c != '"';
    match text.map(bare) {
        Some(key) if (1..=200).contains(&key.len()) && key.chars().all(fits) => Ok(Some(key.to_owned())),
        _ => {
            let problem = Problem::new(
                "Idempotency-Key",
                "must be 1 to 200 printable ASCII characters, without quotes among them",
            );
            Err(ApiError::invalid(StatusCode::BAD_REQUEST, vec![problem]))
        }
    }
}

/// For a parameter that a route does not have: a typo must not be taken for a wish that was granted.
pub fn unknown_parameter(name: &str) -> Problem {
    Problem::new(name, "this route has no such parameter")
}

/// The media type of the body, in lower case and without parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase(),
    )
}
