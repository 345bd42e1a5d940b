//! Amendments that a redaction did not know of: they stood in the log before it, and not yet in the table of which it was
//! made. It counts before them all the same; so it looks for them, to be made anew of the event as amended.
//!
//! They are sought in the log, where nothing is merged away: from where the table was when the redaction was made, which
//! its history says, up to the redaction. That is what was appended within a second or so.

use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use crate::event::Event;
use crate::event::revision::{Entry, HEADER, History};
use crate::log::decode::Decoded;
use crate::log::{LogError, Record, partitioner, topics};
use crate::projections::GROUP;
use crate::query::standing::Stands;
use crate::store::row::version_of;
use crate::web::AppState;

/// Records that are read at most: some seconds of reading. Where the table is further behind than that, an amendment that
/// came shortly before the redaction may be lost to it.
const RECORDS_MAX: i64 = 1_000_000;
/// And how long that may take before it is tried again.
const READS_WITHIN: Duration = Duration::from_secs(30);

/// An amendment that is no part of the redaction that counts.
pub(super) struct Overlooked {
    /// The event as it would be.
    pub(super) stands: Box<Stands>,
    /// Where the redaction stands. All before it was looked through.
    pub(super) redacted_at: i64,
}

/// How far the table is at least in the partition of an event: it holds everything before.
pub(super) async fn projected(state: &AppState, event_id: Uuid) -> Result<i64, LogError> {
    let partition = partition_of(state, event_id);
    if let Some(next) = state.ingest.progress().all().get(&partition) {
        return Ok(*next);
    }
    let log = &state.health.log;
    let committed = log.committed(GROUP, topics::EVENTS, partition).await?;
    Ok(committed.unwrap_or(0))
}

/// What would count of an event if it were not for its last revision, where that is a redaction which may have passed
/// over something.
pub(super) async fn amendment(
    state: &AppState,
    event: &Event,
    redaction: &Entry,
) -> Result<Option<Overlooked>, LogError> {
    let Some(from) = redaction.made_at else {
        return Ok(None);
    };
    let found = timeout(READS_WITHIN, sought(state, event, redaction, from)).await;
    found.unwrap_or_else(|_| {
        Err(LogError::Unavailable(
            "reading back to a redaction took too long".into(),
        ))
    })
}

async fn sought(
    state: &AppState,
    event: &Event,
    redaction: &Entry,
    from: i64,
) -> Result<Option<Overlooked>, LogError> {
    let log = &state.health.log;
    let partition = partition_of(state, event.event_id);
    let (low, high) = log.bounds(topics::EVENTS, partition).await?;
    let end = high.min(from.saturating_add(RECORDS_MAX));
    // What the log's retention has removed is lost to nobody now.
    if from < low || from >= end {
        return Ok(None);
    }
    let mut tail = log.tail(topics::EVENTS, partition, from)?;
    let mut found: Option<Stands> = None;
    loop {
        for record in tail.next().await? {
            if let Some(stands) = revision(&record, event) {
                let entry = stands.history.as_ref().and_then(History::last);
                if entry.is_some_and(|entry| entry.id == redaction.id) {
                    let redacted_at = record.offset;
                    return Ok(found.map(|stands| Overlooked {
                        stands: Box::new(stands),
                        redacted_at,
                    }));
                }
                let counts = found.as_ref().map_or(0, |found| found.version);
                if could_count(&stands, redaction) && stands.version > counts {
                    found = Some(stands);
                }
            }
            if record.offset + 1 >= end {
                return Ok(None);
            }
        }
    }
}

fn could_count(stands: &Stands, redaction: &Entry) -> bool {
    let rank = stands.history.as_ref().map(History::rank);
    rank.is_some_and(|rank| !rank.redacted && rank.number >= redaction.number)
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

fn partition_of(state: &AppState, event_id: Uuid) -> i32 {
    let control = state.control.state();
    let partitions = control.deployment().map_or(0, |deployment| deployment.partitions);
    partitioner::partition_of(event_id.as_bytes(), partitions).unwrap_or(0)
}
