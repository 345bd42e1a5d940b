//! What claims the id of another event is kept in `audit.rejected`, all of a request at once.

use super::{Checked, Form, Ingest, Item, Origin};
use crate::auth::Principal;
use crate::event::draft::Accepted;
use crate::log::rejected::{Reason, Rejection, reject_all};

impl Ingest {
    /// Keeps the items that are at odds with what is held.
    pub(super) async fn keep_conflicts(
        &self,
        principal: &Principal,
        origin: Origin<'_>,
        items: &[Item<'_>],
        checked: &[Checked],
    ) {
        let conflicts: Vec<(&Item<'_>, &Accepted, String)> = items
            .iter()
            .zip(checked)
            .filter_map(|(item, checked)| match checked {
                Checked::Conflict(accepted) => Some((item, &**accepted, detail(accepted))),
                _ => None,
            })
            .collect();
        if conflicts.is_empty() {
            return;
        }
        let rejections: Vec<Rejection<'_>> = conflicts
            .iter()
            .map(|(item, accepted, detail)| Rejection {
                reason: Reason::IdConflict,
                detail,
                tenant: Some(principal.tenant()),
                origin: item.place.unwrap_or(origin.kind),
                key: &[],
                payload: kept(item, accepted),
                headers: &[],
            })
            .collect();
        let outcomes = reject_all(&self.inner.parts.log, &rejections).await;
        if let Some(error) = outcomes.into_iter().find_map(Result::err) {
            // The client is told of the conflict all the same, and nothing was acknowledged.
            tracing::warn!(%error, "conflicting copies could not be kept");
        }
    }
}

fn detail(accepted: &Accepted) -> String {
    format!("event {} is held with other content", accepted.event.event_id)
}

/// An item as it came; without its secrets where a connector has taken them out.
fn kept<'a>(item: &Item<'a>, accepted: &'a Accepted) -> &'a [u8] {
    match (&item.form, &accepted.event.raw) {
        (Form::Mapped { .. }, Some(raw)) => &raw.bytes,
        _ => item.form.bytes(),
    }
}
