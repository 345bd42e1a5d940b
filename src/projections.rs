//! The projector: reads `audit.events` and keeps the ClickHouse table in step with it.
//!
//! A record passes four stations. `log::decode` turns its bytes into an event and its print. The seen window
//! (`log::seen`) says whether it is a first copy; a later one goes no further, and to `audit.rejected` when its
//! content differs. [`batch`] gathers rows by ClickHouse month (pure). [`writer`] inserts month by month and knows
//! what to do when its outcome is unknown, [`bisect`] who is to blame when it is refused (pure). Only when all months
//! of a batch are in are its offsets committed, so that a crash at any point repeats work and loses none; repeated
//! rows are found by asking the table which offsets it holds ([`takeover`]).

pub mod batch;
pub mod bisect;
mod earlier;
pub mod maintenance;
pub mod migrate;
pub mod projector;
pub mod rebuild;
mod reject;
pub mod replay;
pub mod takeover;
pub mod verify;
pub mod visible;
pub mod writer;
mod writing;

use confique::Config as Confique;

/// What ClickHouse can be given in one insert of a month without cutting it into parts.
const ROWS_MAX: usize = 500_000;

/// The consumer group of all projectors.
pub const GROUP: &str = "trailhouse-projector";

/// When a batch is written.
#[derive(Clone, Debug, Confique)]
pub struct Config {
    /// Rows after which a batch is written at once, 1 to 500000; it is also written at 32 MiB, or after 65,536
    /// offsets of a partition.
    #[config(default = 20000)]
    pub batch_rows: usize,
    /// Milliseconds between two batches while events keep coming. Fewer and larger inserts cost ClickHouse less;
    /// an event after a quiet moment is written at once.
    #[config(default = 300)]
    pub batch_every_ms: u64,
}

impl Config {
    /// A sentence when no projector can work with these settings.
    pub fn problem(&self) -> Option<String> {
        (!(1..=ROWS_MAX).contains(&self.batch_rows)).then(|| {
            format!(
                "projector.batch_rows is {}; it must be from 1 to {ROWS_MAX}",
                self.batch_rows
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_rows_and_not_too_many() {
        let mut config = Config::builder().load().unwrap();
        assert_eq!(config.problem(), None);
        for (rows, fits) in [(0, false), (1, true), (500_000, true), (500_001, false)] {
            config.batch_rows = rows;
            assert_eq!(config.problem().is_none(), fits, "{rows}");
        }
    }
}
