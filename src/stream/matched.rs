//! Who wants which of some events: found out before anything is handed out, so that nobody waits for a lock while large
//! events are held against long filters.

use std::collections::HashMap;
use std::sync::Arc;

use super::live::Client;
use super::passed::Passed;
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
    events: Vec<bool>,
    /// Held, so that no other client is given its name.
    _client: Arc<Client>,
}

impl Matched {
    /// Whether a client was asked.
    pub(super) fn knows(&self, client: &Arc<Client>) -> bool {
        self.0.contains_key(&name(client))
    }

    /// Whether a client that was asked wants an event.
    pub(super) fn wants(&self, client: &Arc<Client>, event: usize) -> Option<bool> {
        self.0.get(&name(client))?.events.get(event).copied()
    }

    /// Asks further clients.
    pub(super) async fn ask(&mut self, clients: Vec<Arc<Client>>, events: &[Arc<Passed>]) {
        let mut pace = Pace::default();
        let mut wanted = vec![Vec::with_capacity(events.len()); clients.len()];
        for passed in events {
            // What is worked out of an event is as large as the event: it is kept for as long as it takes to ask all.
            let facts = Facts::default();
            for (client, wanted) in clients.iter().zip(&mut wanted) {
                let is_ours = *client.scope.tenant() == passed.event.tenant_id;
                wanted.push(is_ours && client.wants_knowing(passed, &facts));
                if is_ours {
                    pace.after(passed.bytes).await;
                }
            }
        }
        let asked = clients.into_iter().zip(wanted);
        self.0.extend(asked.map(|(client, events)| {
            let wants = Wants {
                events,
                _client: client.clone(),
            };
            (name(&client), wants)
        }));
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
