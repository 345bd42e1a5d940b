//! Which pages in browsers may ask: CORS, by origin. Credentials are those of a header that the page itself sets; cookies
//! there are none.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use confique::Config as Confique;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser need not ask again.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// What a page may send beside the plainest headers.
const SENT: [HeaderName; 11] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-request-id"),
];

/// What a page may see of an answer beside the plainest headers.
const SHOWN: [HeaderName; 8] = [
    header::CONTENT_DISPOSITION,
    header::ETAG,
    header::LINK,
    header::RETRY_AFTER,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-request-id"),
];

/// The section `web.cors` of the configuration.
#[derive(Clone, Debug, Confique)]
pub struct Config {
    /// Origins whose pages may call this server from a browser: `["https://audit.example.com"]`, or `["*"]` for all.
    #[config(default = [])]
    pub origins: Vec<String>,
}

impl Config {
    /// A sentence where an origin is none.
    pub fn problem(&self) -> Option<String> {
        let wrong = self.origins.iter().find(|origin| !is_origin(origin))?;
        Some(format!(
            "web.cors.origins has {wrong:?}; an origin is a scheme, a host and perhaps a port, as in https://audit.example.com, without a path"
        ))
    }

    /// The layer that answers browsers; `None` where no page may ask.
    pub(super) fn layer(&self) -> Option<CorsLayer> {
        let values = self
            .origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin).ok());
        let origins: Vec<HeaderValue> = values.collect();
        let origin = match origins.as_slice() {
            [] => return None,
            all if all.iter().any(|origin| origin == "*") => AllowOrigin::any(),
            _ => AllowOrigin::list(origins),
        };
        let layer = CorsLayer::new()
            .allow_origin(origin)
            .allow_methods([
                Method::GET,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers(SENT)
            .expose_headers(SHOWN)
            .max_age(REMEMBERED);
        Some(layer)
    }
}

fn is_origin(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b))
    };
    text == "*" || rest.is_some_and(is_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(origin: &str) -> Config {
        Config {
            origins: vec![origin.to_owned()],
        }
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for origin in [
            "*",
            "https://audit.example.com",
            "http://localhost:5173",
            "http://[::1]:80",
        ] {
            assert_eq!(config(origin).problem(), None, "{origin}");
            assert!(config(origin).layer().is_some());
        }
        for origin in [
            "",
            "audit.example.com",
            "https://",
            "https://a.example/",
            "https://A.example",
            "null",
        ] {
            assert!(config(origin).problem().is_some(), "{origin}");
        }
        assert!(Config { origins: vec![] }.layer().is_none());
    }
}
