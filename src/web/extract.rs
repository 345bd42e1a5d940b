//! What handlers ask of a request.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::{ApiError, AppState};
use crate::auth::Principal;
use crate::event::draft::Problem;

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

/// The largest body that this request may have, in bytes: put there by the layer that bounds bodies.
#[derive(Clone, Copy)]
pub(super) struct BodyMax(pub(super) usize);

/// The slowest client that is waited for, in bytes a second, after a moment for the way.
const SLOWEST: u64 = 64 * 1024;
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// How long a body of up to so many bytes may take as a whole, however steadily it drips.
fn within(bytes: usize) -> Duration {
    ON_ITS_WAY + Duration::from_secs(bytes as u64 / SLOWEST)
}

/// The body's bytes, decompressed, in time and within the limit.
pub struct Body(pub Bytes);

impl FromRequest<AppState> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, ApiError> {
        let max = request.extensions().get().map_or(0, |BodyMax(max)| *max);
        read(request, max, within(max)).await.map(Self)
    }
}

async fn read(request: Request, max: usize, within: Duration) -> Result<Bytes, ApiError> {
    let Ok(read) = tokio::time::timeout(within, Bytes::from_request(request, &())).await else {
        return Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            "The body came too slowly. Send it in smaller parts.",
        ));
    };
    read.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(inner) if inner.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!(
                    "The body is larger than {}, after decompression. Send it in parts.",
                    size(max)
                ),
            )
        }
        other => ApiError::new(
            StatusCode::BAD_REQUEST,
            "unreadable_body",
            format!("The body can't be read: {other}."),
        ),
    })
}

/// A number of bytes, in the largest unit of which it is a whole number.
fn size(bytes: usize) -> String {
    const MIB: usize = 1 << 20;
    const KIB: usize = 1 << 10;
    match bytes {
        _ if bytes > 0 && bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        _ if bytes > 0 && bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} bytes"),
    }
}

/// A JSON body of a known shape. Fields that are unknown are problems, so that a typo is seen.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let Body(bytes) = Body::from_request(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let detail = format!("The body is not what this route takes: {error}.");
            if error.is_data() {
                ApiError::invalid(StatusCode::UNPROCESSABLE_ENTITY, vec![Problem::new("", detail)])
            } else {
                ApiError::new(StatusCode::BAD_REQUEST, "unreadable_body", detail)
            }
        })
    }
}

/// The parameters of the URL, decoded, in order; repeated ones repeat.
pub struct Params(pub Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let mut params = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).ok_or_else(|| undecodable(name))?;
            let value = decoded(value).ok_or_else(|| undecodable(&name))?;
            if name.contains('\0') || value.contains('\0') {
                let problem = Problem::new(
                    name.replace('\0', "?"),
                    "a NUL character can't be part of a parameter",
                );
                return Err(ApiError::invalid(StatusCode::BAD_REQUEST, vec![problem]));
            }
            params.push((name, value));
        }
        Ok(Self(params))
    }
}

fn undecodable(name: &str) -> ApiError {
    let problem = Problem::new(name, "is not UTF-8 in percent-encoding");
    ApiError::invalid(StatusCode::BAD_REQUEST, vec![problem])
}

/// Percent-decoding of a query's part, with `+` for a space.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex = |digit: u8| char::from(digit).to_digit(16);
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The media type of the body, in lower case and without parameters.
pub fn media_type(headers: &axum::http::HeaderMap) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_said_as_it_was_meant() {
        for (bytes, said) in [
            (10 << 20, "10 MiB"),
            (1536, "1536 bytes"),
            (64 << 10, "64 KiB"),
            (0, "0 bytes"),
        ] {
            assert_eq!(size(bytes), said);
        }
    }

    #[tokio::test]
    async fn a_body_that_drips_for_ever_is_given_up() {
        let drops = futures_util::stream::unfold((), async |()| {
            tokio::task::yield_now().await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
        });
        let mut request = Request::new(axum::body::Body::from_stream(drops));
        axum::extract::DefaultBodyLimit::disable().apply(&mut request);
        let refused = read(request, 1, Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.kind),
            (StatusCode::REQUEST_TIMEOUT, "body_too_slow")
        );
    }

    #[test]
    fn a_body_has_the_time_that_its_largest_size_needs() {
        assert_eq!(within(16 << 10), ON_ITS_WAY);
        assert_eq!(within(10 << 20), ON_ITS_WAY + Duration::from_secs(160));
    }

    #[test]
    fn parameters_are_decoded_once() {
        assert_eq!(decoded("a+b%2Bc%C3%A4").as_deref(), Some("a b+cä"));
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
