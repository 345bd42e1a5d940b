//! Who wants which of some events: found out before anything is handed out, so that nobody waits for a lock while large
//! events are held against long filters.

use std::collections::HashMap;
use std::sync::Arc;

use super::live::Client;
use super::passed::Passed;
use crate::event::TenantId;
use crate::query::matching::Facts;

/// Bytes of events that are gone through before others on the same thread have their turn.
const AT_ONCE: usize = 256 * 1024;

/// Goes slowly enough for others.
#[derive(Default)]
pub(super) struct Pace(usize);

impl Pace {
    /// So much was gone through.
    pub(super) async fn after(&mut self, bytes: usize) {
        self.0 += bytes;
        if self.0 >= AT_ONCE {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// For each of some clients, by its name, which of the events it wants.
#[derive(Default)]
pub(super) struct Matched(HashMap<usize, Wants>);

struct Wants {
    /// By their places among the events, in order.
    events: Vec<usize>,
    /// Held, so that no other client is given its name.
    client: Arc<Client>,
}

impl Matched {
    /// Which of the events a client wants, by their places; `None` where it was not asked.
    pub(super) fn wanted(&self, client: &Arc<Client>) -> Option<&[usize]> {
        Some(&self.0.get(&name(client))?.events)
    }

    /// Asks further clients, each about the events of its tenant.
    pub(super) async fn ask(&mut self, clients: Vec<Arc<Client>>, events: &[Arc<Passed>]) {
        let mut pace = Pace::default();
        let mut by_tenant: HashMap<TenantId, Vec<Wants>> = HashMap::new();
        for client in clients {
            let of_tenant = by_tenant.entry(client.scope.tenant().clone()).or_default();
            of_tenant.push(Wants {
                events: Vec::new(),
                client,
            });
        }
        for (place, passed) in events.iter().enumerate() {
            // What is worked out of an event is as large as the event: it is kept for as long as it takes to ask all.
            let facts = Facts::default();
            let of_tenant = by_tenant.get_mut(&passed.event.tenant_id);
            for wants in of_tenant.into_iter().flatten() {
                if wants.client.wants_knowing(passed, &facts) {
                    wants.events.push(place);
                }
                pace.after(passed.bytes).await;
            }
        }
        let asked = by_tenant.into_values().flatten();
        self.0.extend(asked.map(|wants| (name(&wants.client), wants)));
    }
}

fn name(client: &Arc<Client>) -> usize {
    Arc::as_ptr(client).addr()
}

/// Those of some events that a client wants.
pub(super) async fn wanted(client: &Client, events: Vec<Arc<Passed>>) -> Vec<Arc<Passed>> {
    let (mut pace, mut wanted) = (Pace::default(), Vec::new());
    for passed in events {
        let bytes = passed.bytes;
        if client.wants(&passed) {
            wanted.push(passed);
        }
        pace.after(bytes).await;
    }
    wanted
}
