//! Pages of a list, by place: a cursor names the place behind which, or before which, the page lies, so that pages hold
//! still while things are made and deleted.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::event::TenantId;
use crate::web::given::Given;
use crate::web::{ApiError, Json};

/// Entries of a page where nothing is said.
const LIMIT_DEFAULT: usize = 100;
/// The most entries of a page.
const LIMIT_MAX: usize = 1_000;

/// What the parameters of a list say.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Of this tenant alone.
    pub(crate) tenant: Option<TenantId>,
    /// Which page.
    pub(crate) paging: Paging,
}

/// Which page.
#[derive(Debug, PartialEq)]
pub(crate) struct Paging {
    limit: usize,
    from: From,
}

/// Where a page lies.
#[derive(Clone, Debug, PartialEq)]
enum From {
    Beginning,
    Behind(String),
    Before(String),
}

impl Listing {
    pub(crate) fn of(params: &[(String, String)]) -> Result<Self, ApiError> {
        let mut given = Given::of(params);
        let limit = |value: &str| {
            let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            limit.ok_or_else(|| format!("a whole number from 1 to {LIMIT_MAX}"))
        };
        let from = |value: &str| From::read(value).ok_or("not a cursor of a list");
        let listing = Self {
            tenant: given.tenant(),
            paging: Paging {
                limit: given.one("limit", limit).unwrap_or(LIMIT_DEFAULT),
                from: given.one("cursor", from).unwrap_or(From::Beginning),
            },
        };
        given.finish()?;
        Ok(listing)
    }
}

impl From {
    fn read(cursor: &str) -> Option<Self> {
        if cursor.is_empty() {
            return Some(Self::Beginning);
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let place = text.get(1..)?.to_owned();
        match text.as_bytes().first()? {
            b'>' => Some(Self::Behind(place)),
            b'<' => Some(Self::Before(place)),
            _ => None,
        }
    }

    fn written(&self) -> Option<String> {
        match self {
            Self::Beginning => None,
            Self::Behind(place) => Some(URL_SAFE_NO_PAD.encode(format!(">{place}"))),
            Self::Before(place) => Some(URL_SAFE_NO_PAD.encode(format!("<{place}"))),
        }
    }
}

impl Paging {
    /// The page of `entries`, each with its place.
    pub(crate) fn answer<T>(
        &self,
        mut entries: Vec<(String, &Arc<T>)>,
        shown: impl Fn(&T) -> Value,
    ) -> Response {
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (page, prev, next) = self.of(&entries);
        let data: Vec<Value> = page.iter().map(|(_, entity)| shown(entity)).collect();
        Json(json!({
            "data": data,
            "next_cursor": next.as_ref().and_then(From::written),
            "prev_cursor": prev.and_then(|from| from.written()),
            "has_more": next.is_some(),
        }))
        .into_response()
    }

    /// The page, and where the ones before and behind it lie, if there are any.
    fn of<'a, T>(&self, entries: &'a [(String, T)]) -> (&'a [(String, T)], Option<From>, Option<From>) {
        let (begin, end) = match &self.from {
            From::Beginning => (0, self.limit.min(entries.len())),
            From::Behind(place) => {
                let begin = entries.partition_point(|(other, _)| other <= place);
                (begin, (begin + self.limit).min(entries.len()))
            }
            From::Before(place) => {
                let end = entries.partition_point(|(other, _)| other < place);
                (end.saturating_sub(self.limit), end)
            }
        };
        let page = &entries[begin..end];
        let first = page.first().filter(|_| begin > 0);
        let last = page.last().filter(|_| end < entries.len());
        (
            page,
            first.map(|(place, _)| From::Before(place.clone())),
            last.map(|(place, _)| From::Behind(place.clone())),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paging(limit: usize, from: From) -> Paging {
        Paging { limit, from }
    }

    #[test]
    fn what_is_no_page_is_said_under_its_parameter() {
        let fields = |query: &[(&str, &str)]| {
            let params: Vec<_> = query
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let errors = Listing::of(&params).unwrap_err().errors;
            errors
                .into_iter()
                .map(|problem| problem.field)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            fields(&[("limit", "0"), ("cursor", "?"), ("a", "b")]),
            ["limit", "cursor", "a"]
        );
        assert_eq!(fields(&[("limit", "1001")]), ["limit"]);
        assert_eq!(From::read(""), Some(From::Beginning));
        assert_eq!(fields(&[("cursor", "w6Q")]), ["cursor"], "a letter of two bytes");
        assert_eq!(fields(&[("limit", "1"), ("limit", "1")]), ["limit"]);
    }

    proptest! {
        /// Forth and back, every entry is on one page and each page is met again.
        #[test]
        fn pages_hold_all_and_lead_back(
            places in prop::collection::btree_set("[a-c\u{e4}]{1,4}", 0..30),
            limit in 1usize..7,
        ) {
            let entries: Vec<_> = places.into_iter().map(|place| (place, ())).collect();
            let (mut from, mut pages) = (From::Beginning, Vec::new());
            loop {
                let (page, prev, next) = paging(limit, from).of(&entries);
                prop_assert_eq!(prev.is_some(), !pages.is_empty() && !page.is_empty());
                pages.push((page.to_vec(), prev));
                let Some(next) = next else { break };
                let next = From::read(&next.written().unwrap());
                from = next.unwrap();
            }
            let all: Vec<_> = pages.iter().flat_map(|(page, _)| page.clone()).collect();
            prop_assert_eq!(all, entries.clone());
            for (former, page) in pages.iter().zip(pages.iter().skip(1)) {
                let back = paging(limit, page.1.clone().unwrap()).of(&entries).0.to_vec();
                prop_assert_eq!(&back, &former.0);
            }
        }
    }
}
