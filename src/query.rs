//! Questions about events: the filter language, and how its answers are read from ClickHouse.
//!
//! The path of a question: [`parse`](mod@parse) turns a request's parameters into a [`Search`], whose
//! [`Filter`](filter::Filter) knows neither SQL nor HTTP; [`scope`] fences it to what the asker may see, by tenant,
//! actor and the [`limit`] of a grant; [`sql`] compiles both into a statement with bound values; [`read`] asks it, a page
//! at a time, and turns rows into events; [`cursor`] says where the next page begins; [`fields`] says what of an event
//! is wanted, and [`show`] writes that as JSON straight from a row. [`stats`] counts, [`correlate`] tells one story,
//! [`export`] writes everything. [`matching`] holds single events against a filter, where no table is asked.

pub mod arrival;
pub mod cleanup;
pub mod correlate;
pub mod cursor;
pub mod export;
pub mod fields;
pub mod filter;
pub mod limit;
pub mod matching;
pub mod names;
mod networks;
pub mod params;
pub mod parse;
pub mod paths;
pub mod read;
mod redacted;
pub mod scope;
pub mod show;
pub mod sql;
pub mod standing;
pub mod stats;
pub mod words;

pub use parse::{Order, Search, parse};
pub use read::{Count, Page, Queries};
pub use scope::Scope;

use crate::event::problem::Problem;
use crate::store::StoreError;

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Something in it is wrong; each problem names its parameter.
    #[error("invalid search")]
    Invalid(Vec<Problem>),
    /// The asker may not.
    #[error("{0}")]
    Forbidden(String),
    /// It would cost more time or memory than one may.
    #[error("too costly")]
    TooCostly,
    /// It takes long, and others that do are before it; the same question can succeed later.
    #[error("busy")]
    Busy,
    /// ClickHouse is away; the same question can succeed later.
    #[error("search is unavailable")]
    Unavailable,
    /// A fault of ours, explained for the server's log.
    #[error("query failed: {0}")]
    Failed(String),
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::TooSlow(_) | StoreError::TooCostly(_) => Self::TooCostly,
            StoreError::Unavailable(_) => Self::Unavailable,
            error => Self::Failed(error.to_string()),
        }
    }
}
