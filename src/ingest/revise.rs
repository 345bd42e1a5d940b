//! Amendments and redactions go through the door as well: whole events under the id of the one that they revise.

use super::{Ingest, ItemError};
use crate::auth::Principal;
use crate::control::Permission;
use crate::event::draft::Refusal;
use crate::event::revision::{HEADER, Revised};
use crate::event::schema;
use crate::log::{LogError, NewRecord, Position, partitioner, topics};

impl Ingest {
    /// Appends a revision, and gives where it stands: in the partition of the event that it revises, behind it. Whether
    /// it counts, or another one of its number came before it, is known when the table holds it.
    pub async fn revise(&self, principal: &Principal, revised: &Revised) -> Result<Position, ItemError> {
        let event = &revised.event;
        if !principal.can_in(&event.tenant_id, Permission::Manage) {
            let field = "/tenant_id".to_owned();
            return Err(ItemError::Refused(Refusal::OtherTenant { field }));
        }
        let mut payload = Vec::with_capacity(1024);
        self.inner.parts.framing.begin(&mut payload);
        schema::encode(event, &mut payload);
        let history = revised.history.to_json();
        let key = event.event_id.as_bytes();
        let mut batch = self.inner.parts.log.append_all(topics::EVENTS);
        batch.push(NewRecord {
            partition: partitioner::partition_of(key, self.inner.partitions),
            key,
            payload: &payload,
            headers: &[(HEADER, history.as_bytes())],
        });
        let position = batch.finish().await.pop().unwrap_or(Err(LogError::Full))?;
        self.note(position);
        Ok(position)
    }
}
