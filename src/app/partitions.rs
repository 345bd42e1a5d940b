//! The partitions of `audit.events`, as control state recorded them when the log began.

use crate::control::Control;
use crate::log::partitioner::{self, Partitions};

/// Events stand where they stood when the log began: partitions that were added stay empty, and without those that are
/// gone this is not the log that it was.
pub(super) fn compare(control: &Control, found: u32) -> anyhow::Result<()> {
    let recorded = control
        .state()
        .deployment()
        .map_or(found, |known| known.partitions);
    let changed = partitioner::changed(found, recorded);
    match Partitions::compare(found, recorded) {
        Partitions::AsEver => {}
        Partitions::Added => tracing::warn!("{changed}; those that were added stay empty"),
        Partitions::Gone => anyhow::bail!("{changed}: {}", partitioner::GONE_REMEDY),
    }
    Ok(())
}
