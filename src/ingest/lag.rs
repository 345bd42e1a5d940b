//! Whether the table may lack copies that the seen window no longer reaches: then what it does not hold was not checked.
//!
//! How far the partitions of this instance's projector have come is known here. Of those that other instances project
//! the table itself is asked, where that is not known to be enough, and at most once a second.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use super::Ingest;
use crate::clock::Timestamp;
use crate::log::seen::WINDOW;
use crate::store::row::partition_column;

/// How often the table is asked about a partition.
const EVERY: Duration = Duration::from_secs(1);

/// What is known of the partitions that other instances project.
#[derive(Debug, Default)]
pub(super) struct Others {
    partitions: HashMap<i32, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// An offset that the table holds.
    held: i64,
    asked: Option<Timestamp>,
}

impl Others {
    /// Whether the table holds something from `from` on; `None` where that is to be asked now.
    fn reached(&mut self, partition: i32, from: i64, now: Timestamp) -> Option<bool> {
        let known = self.partitions.entry(partition).or_default();
        if known.held >= from {
            return Some(true);
        }
        if known.asked.is_some_and(|asked| now.since(asked) < EVERY) {
            return Some(false);
        }
        known.asked = Some(now);
        None
    }

    fn learn(&mut self, partition: i32, held: i64) {
        let known = self.partitions.entry(partition).or_default();
        known.held = known.held.max(held);
    }
}

impl Ingest {
    /// Whether readers see every copy themselves, because no partition is longer than the window.
    pub(super) fn window_holds_all(&self) -> bool {
        let ends: HashMap<i32, i64> = self.reach().ends().collect();
        let is_short = |partition: u32| {
            let end = i32::try_from(partition)
                .ok()
                .and_then(|partition| ends.get(&partition));
            end.is_some_and(|end| *end < WINDOW)
        };
        let reached = self.inner.parts.progress.all();
        (0..self.inner.partitions).all(is_short) && reached.values().all(|next| *next < WINDOW)
    }

    /// Whether the table is behind the log by more than the window.
    pub(super) async fn is_behind(&self) -> bool {
        let reached = self.inner.parts.progress.all();
        let late = |(partition, end): &(i32, i64)| end - reached.get(partition).unwrap_or(&0) > WINDOW;
        let late: Vec<(i32, i64)> = self.reach().ends().filter(late).collect();
        for (partition, end) in late {
            if reached.contains_key(&partition) || !self.others_reached(partition, end - WINDOW).await {
                return true;
            }
        }
        false
    }

    async fn others_reached(&self, partition: i32, from: i64) -> bool {
        let parts = &self.inner.parts;
        let others = || self.inner.others.lock().unwrap_or_else(PoisonError::into_inner);
        let known = others().reached(partition, from, parts.clock.now());
        if let Some(known) = known {
            return known;
        }
        let (log_id, column) = (parts.control.log_id(), partition_column(partition));
        let asked = parts
            .store
            .last_held("events", log_id, column, from.cast_unsigned());
        match tokio::time::timeout(EVERY, asked).await {
            Ok(Ok(Some(last))) => {
                others().learn(partition, last.cast_signed());
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_asked_about_once_a_second_until_they_have_come_far_enough() {
        let mut others = Others::default();
        let at = Timestamp::from_millis;
        assert_eq!(others.reached(3, 100, at(0)), None);
        assert_eq!(others.reached(3, 100, at(999)), Some(false));
        assert_eq!(others.reached(4, 100, at(999)), None);
        assert_eq!(others.reached(3, 100, at(1_000)), None);
        others.learn(3, 250);
        assert_eq!(others.reached(3, 250, at(1_001)), Some(true));
        assert_eq!(others.reached(3, 251, at(1_001)), Some(false));
    }
}
