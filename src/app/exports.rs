//! Background exports: what they need to know of this instance.

use std::sync::Arc;

use super::connections;
use crate::clock::Clock;
use crate::control::Control;
use crate::engines::{DataDir, disk};
use crate::exports::{Config, Exports, Parts};
use crate::limit::disk::Disk;
use crate::query::Queries;

/// Their files lie in the data directory.
pub(super) fn of(
    config: &Config,
    data: &DataDir,
    control: &Control,
    queries: &Queries,
    clock: &Arc<dyn Clock>,
) -> Exports {
    let dir = data.path().join("exports");
    Exports::new(Parts {
        control: control.clone(),
        queries: queries.clone(),
        clock: clock.clone(),
        disk: Disk::of(dir.clone(), disk::free_percent),
        dir,
        instance: connections::member(data.path()),
        config: config.clone(),
    })
}
