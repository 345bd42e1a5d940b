//! `If-Match` and `If-None-Match` (RFC 9110, section 13): which version the caller has seen.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value};

use crate::event::draft::Problem;
use crate::web::ApiError;

/// What `If-Match` asks for: one of these tags, or anything at all (`*`); `None`: nothing.
pub(crate) struct Expected(Option<Vec<String>>);

impl Expected {
    /// 400 for what is no list of tags: `3` for `"3"` would be a condition that nobody meant.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let tags = tags(headers, header::IF_MATCH);
        match tags.iter().flatten().all(|tag| is_tag(tag)) {
            true => Ok(Self(tags)),
            false => {
                let detail =
                    "expected an ETag in its quotes, as \"3\", several with commas between them, or *";
                let problem = Problem::new("If-Match", detail);
                Err(ApiError::invalid(StatusCode::BAD_REQUEST, vec![problem]))
            }
        }
    }

    /// Whether it holds for this version.
    pub(crate) fn allows(&self, version: u64) -> bool {
        let present = format!("\"{version}\"");
        let names = |tags: &Vec<String>| tags.iter().any(|tag| tag == "*" || *tag == present);
        self.0.as_ref().is_none_or(names)
    }

    /// 412 when another version stands than the caller has seen.
    pub(crate) fn check(&self, version: u64) -> Result<(), ApiError> {
        if self.allows(version) {
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

/// A weak one is a tag as well, which matches none of ours (RFC 9110, section 13.1.1).
fn is_tag(tag: &str) -> bool {
    let opaque = tag
        .strip_prefix("W/")
        .unwrap_or(tag)
        .strip_prefix('"')
        .and_then(|tag| tag.strip_suffix('"'));
    let fits = |c: char| c.is_ascii_graphic() && c != '"';
    tag == "*" || opaque.is_some_and(|opaque| opaque.chars().all(fits))
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
        let fits =
            |value| Expected::of(&with(header::IF_MATCH, value)).is_ok_and(|expected| expected.allows(3));
        assert!(Expected::of(&HeaderMap::new()).is_ok_and(|expected| expected.allows(3)));
        for no_tag in ["3", "", "\"3", "W/3", "\"3\",", "\"\"\""] {
            assert!(Expected::of(&with(header::IF_MATCH, no_tag)).is_err(), "{no_tag}");
        }
        for (value, expected) in [
            ("\"3\"", true),
            ("*", true),
            ("\"2\", \"3\"", true),
            ("W/\"3\"", false),
            ("\"2\"", false),
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
