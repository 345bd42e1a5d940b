//! Questions about events: the filter language, and how its answers are read from ClickHouse.
pub mod filter;
pub mod names;
pub mod parse;
pub mod words;
pub use parse::{Search, parse};
