//! Stories on real engines, one file each.

mod arrows;
mod control;
