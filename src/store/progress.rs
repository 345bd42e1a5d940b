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

    /// Waits until the table holds a record. `None` when another instance projects its partition, from the beginning or
    /// from now on; `Some(false)` when the time is over.
    pub async fn wait(&self, at: Position, within: Duration) -> Option<bool> {
        let mut next = self.next.subscribe();
        let reached = next.wait_for(|all| all.get(&at.partition).is_none_or(|next| *next > at.offset));
        match tokio::time::timeout(within, reached).await {
            Ok(Ok(all)) => all.contains_key(&at.partition).then_some(true),
            _ => Some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_partition_that_goes_while_it_is_waited_for_has_not_been_reached() {
        const LONG: Duration = Duration::from_secs(60);
        let at = |offset| Position { partition: 0, offset };
        let progress = Progress::default();
        assert_eq!(progress.wait(at(5), LONG).await, None);
        progress.reached(0, 5);
        assert_eq!(progress.wait(at(4), LONG).await, Some(true));
        assert_eq!(progress.wait(at(5), Duration::ZERO).await, Some(false));
        let goes = async { progress.forget(0) };
        let (waited, ()) = tokio::join!(progress.wait(at(5), LONG), goes);
        assert_eq!(waited, None);
    }
}
