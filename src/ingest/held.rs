//! Looking for copies further back than the seen window.
//!
//! A copy beyond the window can only be of an event that is old by its own time (older than [`Reach`] says), that
//! claims a time yet to come, or that has an id and no time at all. For those the table is asked; when it can't answer,
//! or is behind by more than the window itself, the record is appended all the same and says that it was not checked.
//!
//! An id without a time costs a question about all the time there is, request by request. So it is asked no sooner than it
//! must: while no partition is longer than the window, readers see every copy, and each is answered 201.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::reach::Reach;
use super::{Checked, Ingest};
use crate::auth::Principal;
use crate::event::draft::Accepted;
use crate::event::id::IdOrigin;
use crate::event::{TenantId, TimeFrom};
use crate::store::StoreError;
use crate::store::held::{Place, Standing};

/// How long taking events waits for the table; without an answer they are taken all the same.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// So many are sought by id alone: a filter of 1 in 100 lets half of the table's blocks through for 64 ids, and all of
/// them for a bulk of old events.
const BY_ID_MAX: usize = 64;
/// Clocks differ; an event further ahead than this could come again when it is no longer recent in the log.
const AHEAD: Duration = Duration::from_secs(5);

/// Whether an earlier copy may lie further back than the seen window.
fn may_be_old(accepted: &Accepted, reach: Duration) -> bool {
    let event = &accepted.event;
    match (accepted.id, event.time_from) {
        (IdOrigin::Minted, _) => false,
        (_, TimeFrom::Received) => true,
        (_, TimeFrom::Client | TimeFrom::Id) => {
            event.time < event.received_at.minus(reach) || event.time > event.received_at.plus(AHEAD)
        }
    }
}

impl Ingest {
    /// Sorts out, among what was accepted, what the table holds already.
    pub(super) async fn look_up(&self, principal: &Principal, checked: &mut [Checked]) {
        let now = self.inner.parts.clock.now();
        let reach = self.reach().age(now);
        let (mut places, mut ids) = (Vec::new(), Vec::new());
        for checked in checked.iter() {
            if let Checked::New { accepted, .. } = checked
                && may_be_old(accepted, reach)
            {
                match accepted.event.time_from {
                    TimeFrom::Received => ids.push(accepted.event.event_id),
                    _ => places.push((accepted.event.time, accepted.event.event_id)),
                }
            }
        }
        if places.is_empty() && (ids.is_empty() || self.window_holds_all()) {
            return;
        }
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.held(principal.tenant(), &places, &ids));
        let held = match asked.await {
            Ok(Ok(held)) => held,
            unanswered => {
                tracing::debug!(?unanswered, "copies can't be looked for; the records say so");
                return mark(checked, reach);
            }
        };
        for checked in checked.iter_mut() {
            settle(checked, &held, reach);
        }
        if self.is_behind().await {
            mark(checked, reach);
        }
    }

    /// What stands under these ids. A copy that states another time lies elsewhere, so the time does not narrow where it
    /// is looked for, but in a large bulk: there only those whose place holds nothing, where they are few.
    async fn held(
        &self,
        tenant: &TenantId,
        places: &[Place],
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, Standing>, StoreError> {
        let store = &self.inner.parts.store;
        let mut held = HashMap::new();
        if places.len() > BY_ID_MAX {
            held = store.held_at(tenant, places).await?;
        }
        let mut sought: Vec<Uuid> = places.iter().map(|(_, id)| *id).collect();
        sought.retain(|id| !held.contains_key(id));
        if sought.len() > BY_ID_MAX {
            sought.clear();
        }
        sought.extend(ids);
        held.extend(store.held_by_id("events", tenant, &sought).await?);
        Ok(held)
    }

    pub(super) fn reach(&self) -> MutexGuard<'_, Reach> {
        self.inner.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark(checked: &mut [Checked], reach: Duration) {
    for checked in checked {
        if let Checked::New { accepted, unchecked } = checked {
            *unchecked = may_be_old(accepted, reach);
        }
    }
}

fn settle(checked: &mut Checked, held: &HashMap<Uuid, Standing>, reach: Duration) {
    let Checked::New { accepted, .. } = checked else {
        return;
    };
    if !may_be_old(accepted, reach) {
        return;
    }
    let Some(first) = held.get(&accepted.event.event_id) else {
        return;
    };
    *checked = if first.content.agrees_with(&accepted.event.content()) {
        Checked::Held(accepted.clone())
    } else {
        Checked::Conflict(accepted.clone())
    };
}
