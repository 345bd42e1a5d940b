//! Background exports: what they need to know of this instance.

use std::sync::Arc;

use super::connections;
use crate::clock::Clock;
use crate::control::Control;
use crate::engines::{DataDir, disk};
use crate::exports::{Config, Exports, Parts};
use crate::query::Queries;

/// Their files lie in the data directory.
pub(super) fn of(
    config: &Config,
    data: &DataDir,
    control: &Control,
    queries: &Queries,
    clock: &Arc<dyn Clock>,
) -> Exports {
    Exports::new(Parts {
        control: control.clone(),
        queries: queries.clone(),
        clock: clock.clone(),
        dir: data.path().join("exports"),
        instance: connections::member(data.path()),
        free_percent: disk::free_percent,
        config: config.clone(),
    })
}
