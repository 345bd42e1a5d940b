//! Amendments and redactions go through the door as well: whole events under the id of the one that they revise.

use super::{Ingest, ItemError};
use crate::auth::Principal;
use crate::control::Permission;
use crate::event::draft::Refusal;
use crate::event::revision::{HEADER, Kind, Revised};
use crate::event::{Event, schema};
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
        let amends = revised
            .history
            .last()
            .is_some_and(|entry| entry.kind == Kind::Amendment);
        if amends {
            self.satisfies_its_schema(event).await?;
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

    /// What is amended must be what its type's schema allows, as what is posted. What is redacted may lack what that asks for.
    async fn satisfies_its_schema(&self, event: &Event) -> Result<(), ItemError> {
        let parts = &self.inner.parts;
        let as_posted = Event {
            revision: 0,
            ..event.clone()
        };
        let state = parts.control.state();
        let violations = parts.schemas.violations(&state, &as_posted).await?;
        match violations.is_empty() {
            true => Ok(()),
            false => Err(ItemError::Refused(Refusal::Invalid(violations))),
        }
    }
}
