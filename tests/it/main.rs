//! Stories on real engines, one file each.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a story that cannot go on ends there

mod arrows;
mod clickhouse_front;
mod control;
mod support {
    pub mod clickhouse_front;
}
