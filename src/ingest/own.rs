//! The server's own events: they come through the same door, by a way of their own, since their types are refused to
//! everybody else.

use super::Ingest;
use crate::event::{Event, schema};
use crate::log::{LogError, topics};
use crate::meters;

impl Ingest {
    /// Appends events that the server itself has made, and waits until the log has all of them. On an error some may
    /// be there all the same: the same ones may be recorded again, under their ids.
    pub async fn record(&self, events: &[Event]) -> Result<(), LogError> {
        let parts = &self.inner.parts;
        let mut batch = parts.log.append_all(topics::EVENTS);
        let mut payload = Vec::with_capacity(1024);
        for event in events {
            payload.clear();
            parts.framing.begin(&mut payload);
            schema::encode(event, &mut payload);
            batch.push(self.record_of(event, &payload, false));
        }
        let mut failed = None;
        for outcome in batch.finish().await {
            match outcome {
                Ok(position) => self.note(position),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => {
                metrics::counter!(meters::TAKEN, "source" => OWN).increment(events.len() as u64);
                Ok(())
            }
        }
    }
}

/// The kind of source of the server's own events.
pub const OWN: &str = "trailhouse";
