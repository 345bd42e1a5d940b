//! The projector: reads `audit.events` and keeps the ClickHouse table in step with it.
//!
//! A record passes four stations. [`decode`] turns its bytes into an event and its print (pure). The seen window
//! (`log::seen`) says whether it is a first copy; a later one goes no further, and to `audit.rejected` when its
//! content differs. [`batch`] gathers rows by ClickHouse month (pure). [`writer`] inserts month by month and knows
//! what to do when an insert is refused or its outcome unknown. Only when all months of a batch are in are its
//! offsets committed, so that a crash at any point repeats work and loses none; repeated rows are found by asking
//! the table which offsets it holds.

pub mod batch;
pub mod decode;
pub mod maintenance;
pub mod migrate;
pub mod projector;
pub mod rebuild;
pub mod replay;
pub mod verify;
pub mod writer;

use confique::Config as Confique;

/// The consumer group of all projectors.
pub const GROUP: &str = "trailhouse-projector";

/// When a batch is written.
#[derive(Clone, Debug, Confique)]
pub struct Config {
    /// Rows after which a batch is written at once, at most 500000.
    #[config(default = 20000)]
    pub batch_rows: usize,
    /// Milliseconds between two batches while events keep coming. Fewer and larger inserts cost ClickHouse less;
    /// an event after a quiet moment is written at once.
    #[config(default = 300)]
    pub batch_every_ms: u64,
}
