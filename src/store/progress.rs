//! How far the table has come, as seen by this process: who posted an event can wait until it is searchable.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::log::Position;

/// For each partition this process projects, the next offset that is not yet in the table.
#[derive(Clone)]
pub struct Progress {
    next: Arc<watch::Sender<BTreeMap<i32, i64>>>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            next: Arc::new(watch::Sender::new(BTreeMap::new())),
        }
    }
}

impl Progress {
    /// The table holds everything of the partition before `next`.
    pub fn reached(&self, partition: i32, next: i64) {
        self.next.send_modify(|all| {
            all.insert(partition, next);
        });
    }

    /// The partition went to another instance.
    pub fn forget(&self, partition: i32) {
        self.next.send_modify(|all| {
            all.remove(&partition);
        });
    }

    /// The next offset of each partition.
    pub fn all(&self) -> BTreeMap<i32, i64> {
        self.next.borrow().clone()
    }

    /// Waits until the table holds a record. `None` when another instance projects its partition, `Some(false)`
    /// when the time is over.
    pub async fn wait(&self, at: Position, within: Duration) -> Option<bool> {
        let mut next = self.next.subscribe();
        if !next.borrow().contains_key(&at.partition) {
            return None;
        }
        let reached = next.wait_for(|all| all.get(&at.partition).is_none_or(|next| *next > at.offset));
        Some(matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_))))
    }
}
