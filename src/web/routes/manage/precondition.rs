//! `If-Match` and `If-None-Match` (RFC 9110, section 13): which version the caller has seen.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value};

use crate::web::ApiError;

/// What `If-Match` asks for.
pub(crate) struct Expected(Option<Vec<String>>);

impl Expected {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(tags(headers, header::IF_MATCH))
    }

    /// 412 when another version stands than the caller has seen.
    pub(crate) fn check(&self, version: u64) -> Result<(), ApiError> {
        let Some(tags) = &self.0 else {
            return Ok(());
        };
        // Ours are strong: a weak tag matches none of them here.
        let present = format!("\"{version}\"");
        if tags.iter().any(|tag| tag == "*" || *tag == present) {
            return Ok(());
        }
        let detail = format!(
            "It is at version {version}, and If-Match names another: read it again, and decide anew whether to change it."
        );
        Err(ApiError {
            more: Map::from_iter([("version".to_owned(), Value::from(version))]),
            ..ApiError::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
        })
    }
}

/// Whether `If-None-Match` says that the caller has this version.
pub(crate) fn is_known(headers: &HeaderMap, version: u64) -> bool {
    let present = format!("\"{version}\"");
    let tags = tags(headers, header::IF_NONE_MATCH).unwrap_or_default();
    tags.iter()
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == present)
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    headers.contains_key(&name).then(|| {
        let lists = headers.get_all(name).into_iter();
        lists
            .flat_map(|list| list.to_str().unwrap_or_default().split(','))
            .map(|tag| tag.trim().to_owned())
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_version_matches_its_own_tag_and_a_star() {
        let with = |name: HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        let fits = |value| Expected::of(&with(header::IF_MATCH, value)).check(3).is_ok();
        assert!(Expected::of(&HeaderMap::new()).check(3).is_ok());
        for (value, expected) in [
            ("\"3\"", true),
            ("*", true),
            ("\"2\", \"3\"", true),
            ("\"2\"", false),
            ("W/\"3\"", false),
            ("3", false),
            ("", false),
        ] {
            assert_eq!(fits(value), expected, "{value}");
        }
        for (value, expected) in [("\"3\"", true), ("W/\"3\"", true), ("\"4\"", false), ("*", true)] {
            assert_eq!(
                is_known(&with(header::IF_NONE_MATCH, value), 3),
                expected,
                "{value}"
            );
        }
        assert!(!is_known(&HeaderMap::new(), 3));
    }
}
