//! The limit of a grant: a filter that everything its holder reads must satisfy as well.
//!
//! It is kept as the query of a URL, in the words of a search. It is read once and kept; one that can't be read lets
//! nothing through.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::filter::Filter;
use super::{params, parse};
use crate::event::problem::Problem;

/// How many are kept read. There are as many as there are different limits of users and keys.
const KEPT_MAX: usize = 256;

/// Limits by their text; `None` for one that can't be read.
type Read = HashMap<Arc<str>, Option<Arc<Filter>>>;

/// A limit that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    text: Arc<str>,
    filter: Arc<Filter>,
}

impl Limit {
    /// The filter.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// As it was written: equal texts are equal limits.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads a limit, or finds it among those that were read. `None` when it can't be read.
    pub fn of(text: &Arc<str>) -> Option<Self> {
        static READ: LazyLock<Mutex<Read>> = LazyLock::new(Mutex::default);
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        if read.len() >= KEPT_MAX && !read.contains_key(text) {
            read.clear();
        }
        let filter = read.entry(text.clone()).or_insert_with(|| {
            let filter = filter(text);
            if let Err(problems) = &filter {
                tracing::error!(limit = %text, ?problems, "the limit of a grant can't be read: its holder reads nothing");
            }
            filter.ok().map(Arc::new)
        });
        Some(Self {
            text: text.clone(),
            filter: filter.clone()?,
        })
    }
}

/// Reads the text of a limit: filters of a search, at least one, and nothing that steers the search.
pub fn filter(text: &str) -> Result<Filter, Vec<Problem>> {
    let is_bare = |pair: &&str| !pair.is_empty() && !pair.contains('=');
    if let Some(bare) = text.split('&').find(is_bare) {
        let detail = "a filter is written `name=value`; `name=` finds what has none";
        return Err(vec![Problem::new(bare, detail)]);
    }
    let params = params::pairs(text).map_err(|problem| vec![problem])?;
    let search = parse::filters(&params, "limits nothing: a limit is made of filters alone")?;
    match search == Filter::default() {
        true => Err(vec![Problem::new("", "the limit has no filter")]),
        false => Ok(search),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_made_of_filters_alone() {
        for good in [
            "resource_type=invoice",
            "details.team=a&details.team=b",
            "q=x",
            "from=2026-01-01",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "limit=5",
            "cursor=x",
            "tenant_id=acme",
            "sort=time",
            "fields=time",
            "usr_id=x",
            "a=%ff",
            "event_type=x&saved=y",
            "nonsense",
            "event_type=x&nonsense",
        ] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_that_cannot_be_read_is_none_however_often_it_is_asked_for() {
        let (good, bad): (Arc<str>, Arc<str>) = ("user_id=a".into(), "usr_id=a".into());
        for _ in 0..2 {
            assert_eq!(Limit::of(&good).unwrap().filter(), &filter("user_id=a").unwrap());
            assert_eq!(Limit::of(&bad), None);
        }
    }
}
