//! `If-Match` and `If-None-Match` (RFC 9110, section 13): which version the caller has seen.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::event::draft::Problem;
use crate::web::ApiError;

/// What an object's `ETag` says: which version of it stands, and of what is deleted and made again also which of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    version: u64,
    opaque: String,
}

impl Tag {
    /// Of what has each version once.
    pub(crate) fn of(version: u64) -> Self {
        Self {
            version,
            opaque: version.to_string(),
        }
    }

    /// Of what is counted from 1 again once it was deleted.
    pub(crate) fn put_at(version: u64, at: Timestamp) -> Self {
        Self {
            version,
            opaque: format!("{version}-{:x}", at.micros()),
        }
    }

    /// Of how this looked in an earlier version.
    pub(crate) fn as_of(&self, version: u64) -> Self {
        Self {
            version,
            opaque: format!("{version}.{}", self.opaque),
        }
    }
}

/// As the header has it.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.opaque)
    }
}

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

    /// Whether it holds for what stands: where nothing does, nothing matches.
    pub(crate) fn allows(&self, present: Option<&Tag>) -> bool {
        let present = present.map(Tag::to_string);
        let names = |tags: &Vec<String>| {
            let is_named = |present: &String| tags.iter().any(|tag| tag == "*" || tag == present);
            present.as_ref().is_some_and(is_named)
        };
        self.0.as_ref().is_none_or(names)
    }

    /// 412 when something else stands than the caller has seen.
    pub(crate) fn check(&self, present: Option<&Tag>) -> Result<(), ApiError> {
        if self.allows(present) {
            return Ok(());
        }
        let detail = match present {
            Some(tag) => format!(
                "It is at version {}, with the ETag {tag}, and If-Match names another: read it again, and decide anew whether to change it.",
                tag.version
            ),
            None => "There is none, and If-Match asks for one: leave it out to make the first.".to_owned(),
        };
        let version = present.map(|tag| ("version".to_owned(), Value::from(tag.version)));
        Err(ApiError {
            more: Map::from_iter(version),
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

/// Whether `If-None-Match` says that the caller has this.
pub(crate) fn is_known(headers: &HeaderMap, present: &impl fmt::Display) -> bool {
    let present = present.to_string();
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
        let expected = |value| Expected::of(&with(header::IF_MATCH, value));
        let three = Tag::of(3);
        let fits = |value| expected(value).is_ok_and(|expected| expected.allows(Some(&three)));
        let nothing = Expected::of(&HeaderMap::new()).unwrap();
        assert!(nothing.allows(Some(&three)) && nothing.allows(None));
        assert!(
            expected("*").is_ok_and(|expected| !expected.allows(None)),
            "where there is none"
        );
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
                is_known(&with(header::IF_NONE_MATCH, value), &three),
                expected,
                "{value}"
            );
        }
        assert!(!is_known(&HeaderMap::new(), &three));
    }

    #[test]
    fn what_is_made_again_has_another_tag() {
        let at = |micros| Tag::put_at(1, Timestamp::from_micros(micros));
        assert_eq!(at(255).to_string(), "\"1-ff\"");
        assert_ne!(at(255), at(256));
        assert_eq!(at(255).as_of(2).to_string(), "\"2.1-ff\"");
    }
}
