//! Stories on real engines, one file each.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a story that cannot go on ends there

mod arrows;
mod control;
