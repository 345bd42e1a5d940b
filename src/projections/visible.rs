//! What was cleaned up is left out: control state says from when on a tenant's events are shown.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::control::{Control, State};
use crate::event::{Event, TenantId};
use crate::store::{Store, StoreError};

/// From when on a tenant's events are shown.
type Moments = dyn Fn(&TenantId) -> Option<Timestamp> + Send + Sync;

/// Tells which events are to be seen, as of now. Cheap to clone.
#[derive(Clone)]
pub struct Visible(Arc<Moments>);

impl Visible {
    /// As control state has it.
    pub fn of(control: &Control) -> Self {
        let control = control.clone();
        Self(Arc::new(move |tenant| control.state().visible_from(tenant)))
    }

    /// Everything.
    pub fn all() -> Self {
        Self(Arc::new(|_| None))
    }

    /// Whether an event was not cleaned up.
    pub fn shows(&self, event: &Event) -> bool {
        (self.0)(&event.tenant_id).is_none_or(|from| event.time >= from)
    }
}

/// Each tenant that cleaned up, and from when on its events are shown.
pub(super) fn moments(state: &State) -> Vec<(TenantId, Timestamp)> {
    let moment = |id: &TenantId| state.visible_from(id).map(|from| (id.clone(), from));
    state.tenants().filter_map(|tenant| moment(&tenant.id)).collect()
}

/// Makes the tables obey: views at once, and rows that nobody sees any more are deleted.
pub(super) async fn obey(store: &Store, moments: &[(TenantId, Timestamp)]) -> Result<(), StoreError> {
    for (tenant, from) in moments {
        store.show_from(tenant, *from).await?;
    }
    for (tenant, from) in moments {
        if store.delete_before(tenant, *from).await? {
            tracing::info!(%tenant, before = %from, "events that were cleaned up are deleted");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_events_are_shown_from_its_moment_on() {
        let ours = TenantId::default_tenant();
        let at = Timestamp::from_micros(7);
        let visible = Visible(Arc::new(move |tenant| (*tenant == ours).then_some(at)));
        let event = |micros, tenant: &str| Event {
            time: Timestamp::from_micros(micros),
            tenant_id: TenantId::parse(tenant).unwrap(),
            ..Event::sample(1)
        };
        assert!(visible.shows(&event(7, "default")));
        assert!(!visible.shows(&event(6, "default")));
        assert!(visible.shows(&event(6, "other")));
    }
}
