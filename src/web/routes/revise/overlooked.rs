//! Amendments that a redaction did not know of: they stood in the log before it, and not yet in the table of which it was
//! made. It counts before them all the same; so it looks for them, to be made anew of the event as amended.
//!
//! They are sought in the log, where nothing is merged away: from where the table was at least, before it was asked, up
//! to the redaction. That is what was appended within a second or so.

use std::ops::Range;

use crate::event::Event;
use crate::event::revision::HEADER;
use crate::log::decode::Decoded;
use crate::log::{LogError, Record, partitioner, topics};
use crate::projections::GROUP;
use crate::query::standing::Stands;
use crate::store::row::{REDACTED_VERSION, version_of};
use crate::web::AppState;

/// Records that are read at most: some seconds of reading. Where the table is further behind than that, an amendment that
/// came shortly before the redaction may be lost to it.
const RECORDS_MAX: i64 = 1_000_000;

/// How far the table is at least in the partition of an event: it holds everything before.
pub(super) async fn projected(state: &AppState, event: &Event) -> Result<i64, LogError> {
    let control = state.control.state();
    let partitions = control.deployment().map_or(0, |deployment| deployment.partitions);
    let partition = partitioner::partition_of(event.event_id.as_bytes(), partitions).unwrap_or(0);
    if let Some(next) = state.ingest.progress().all().get(&partition) {
        return Ok(*next);
    }
    let log = &state.health.log;
    let committed = log.committed(GROUP, topics::EVENTS, partition).await?;
    Ok(committed.unwrap_or(0))
}

/// What would count of an event if it were not redacted: the highest amendment above `base` that stands at these offsets.
pub(super) async fn amendment(
    state: &AppState,
    event: &Event,
    base: u64,
    (partition, offsets): (i32, Range<i64>),
) -> Result<Option<Stands>, LogError> {
    if offsets.is_empty() || offsets.end - offsets.start > RECORDS_MAX {
        return Ok(None);
    }
    let mut tail = state.health.log.tail(topics::EVENTS, partition, offsets.start)?;
    let mut found: Option<Stands> = None;
    loop {
        for record in tail.next().await? {
            if record.offset >= offsets.end {
                return Ok(found);
            }
            let counts = found.as_ref().map_or(base, |found| found.version);
            let above = |stands: &Stands| stands.version > counts && stands.version < REDACTED_VERSION;
            found = revision(&record, event).filter(above).or(found);
        }
    }
}

/// The revision of this event that a record is.
fn revision(record: &Record, event: &Event) -> Option<Stands> {
    let is_candidate = record.key == event.event_id.as_bytes() && record.header(HEADER).is_some();
    let decoded = is_candidate.then(|| Decoded::of(record).ok()).flatten()?;
    let version = version_of(decoded.rank(), record.offset.max(0).cast_unsigned());
    (decoded.event.tenant_id == event.tenant_id).then(|| Stands {
        version,
        event: decoded.event,
        history: decoded.history.map(|history| *history),
    })
}
