//! Stories on real engines, one file each.

mod arrows;
mod clickhouse_fence;
mod clickhouse_front;
mod support {
    pub mod clickhouse_front;
}
