//! The last events that passed, so that who was cut off for a moment, or starts the server anew, goes on from memory.
//! And which events were revised lately, so that what they said before is no longer shown.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::passed::Passed;
use crate::event::TenantId;

/// How much memory they may take.
const BYTES_MAX: usize = 32 << 20;
/// How many revisions are remembered, the last ones: those of a seen window and more.
const REVISED_MAX: usize = 200_000;

/// The last events of all partitions, in the order in which they passed.
#[derive(Debug, Default)]
pub struct Recent {
    events: VecDeque<Arc<Passed>>,
    bytes: usize,
    most: usize,
    /// From which offset of each partition on all of them are here.
    floor: Vec<i64>,
}

impl Recent {
    /// Nothing yet, of partitions that begin there, and of so many events.
    pub fn from(floor: Vec<i64>, most: usize) -> Self {
        Self {
            most,
            floor,
            ..Self::default()
        }
    }

    /// Adds one; the oldest go.
    pub fn push(&mut self, passed: Arc<Passed>) {
        if self
            .floor
            .get(passed.partition)
            .is_none_or(|floor| passed.offset < *floor)
        {
            return;
        }
        self.bytes += passed.bytes;
        self.events.push_back(passed);
        while self.events.len() > self.most || self.bytes > BYTES_MAX {
            let Some(oldest) = self.events.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
            if let Some(floor) = self.floor.get_mut(oldest.partition) {
                *floor = oldest.offset + 1;
            }
        }
    }

    /// What stands at a place or beyond it, in order; `None` where some of it is here no more.
    pub fn since(&self, place: &[i64]) -> Option<impl Iterator<Item = &Arc<Passed>>> {
        let whole = self.floor.iter().zip(place).all(|(floor, at)| at >= floor);
        let beyond =
            |passed: &&Arc<Passed>| place.get(passed.partition).is_some_and(|at| passed.offset >= *at);
        (whole && place.len() == self.floor.len()).then(|| self.events.iter().filter(beyond))
    }
}

/// Which revision counts of each event that was revised lately, by the rule by which the table keeps one.
#[derive(Debug, Default)]
pub struct Revised {
    events: HashMap<(TenantId, Uuid), Latest>,
    /// The last revisions, by the event of each and its number among all.
    order: VecDeque<((TenantId, Uuid), u64)>,
    noted: u64,
}

/// What is known of a revised event.
#[derive(Debug, Default)]
struct Latest {
    /// The version that counts.
    counts: u64,
    /// The number of the last revision that passed, whether it counts or not.
    noted: u64,
}

impl Revised {
    /// Notes what passes, where it is a revision. One that lost to another, which two made at once, changes nothing.
    pub fn note(&mut self, passed: &Passed) {
        if !passed.is_revision() {
            return;
        }
        self.noted += 1;
        let id = (passed.event.tenant_id.clone(), passed.event.event_id);
        let latest = self.events.entry(id.clone()).or_default();
        latest.counts = latest.counts.max(passed.version);
        latest.noted = self.noted;
        self.order.push_back((id, self.noted));
        if self.order.len() > REVISED_MAX
            && let Some((oldest, noted)) = self.order.pop_front()
            && self
                .events
                .get(&oldest)
                .is_some_and(|latest| latest.noted == noted)
        {
            self.events.remove(&oldest);
        }
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether the event says something else by now.
    pub fn supersedes(&self, passed: &Passed) -> bool {
        let id = (passed.event.tenant_id.clone(), passed.event.event_id);
        self.events
            .get(&id)
            .is_some_and(|latest| latest.counts > passed.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::event::revision::Rank;

    fn passed(partition: usize, offset: i64) -> Arc<Passed> {
        Arc::new(Passed::new(
            (partition, offset),
            Event::sample(1),
            Rank::default(),
            100,
        ))
    }

    fn since(recent: &Recent, place: &[i64]) -> Option<Vec<(usize, i64)>> {
        let found = recent.since(place)?;
        Some(found.map(|passed| (passed.partition, passed.offset)).collect())
    }

    #[test]
    fn what_is_asked_for_comes_whole_or_not_at_all() {
        let mut recent = Recent::from(vec![10, 5], 50);
        for (partition, offset) in [(0, 9), (0, 10), (1, 5), (0, 12), (1, 7)] {
            recent.push(passed(partition, offset));
        }
        assert_eq!(
            since(&recent, &[10, 5]).unwrap(),
            [(0, 10), (1, 5), (0, 12), (1, 7)]
        );
        assert_eq!(since(&recent, &[11, 6]).unwrap(), [(0, 12), (1, 7)]);
        assert_eq!(since(&recent, &[50, 50]).unwrap(), []);
        assert_eq!(since(&recent, &[9, 5]), None);
        assert_eq!(since(&recent, &[10]), None);
        for offset in 13..13 + 50 {
            recent.push(passed(0, offset));
        }
        assert_eq!(since(&recent, &[12, 50]), None, "the oldest have gone");
        assert_eq!(since(&recent, &[13, 8]).unwrap().len(), 50);
    }

    #[test]
    fn what_does_not_count_any_more_is_superseded() {
        let record = |id, redacted, number, offset| {
            let rank = Rank { redacted, number };
            Passed::new((0, offset), Event::sample(id), rank, 100)
        };
        let amended = |number, offset| record(7, false, number, offset);
        let mut revised = Revised::default();
        revised.note(&amended(0, 1));
        assert!(revised.is_empty());
        revised.note(&amended(2, 5));
        revised.note(&amended(1, 4));
        assert!(revised.supersedes(&amended(0, 1)) && revised.supersedes(&amended(1, 4)));
        assert!(!revised.supersedes(&amended(2, 5)) && !revised.supersedes(&record(8, false, 0, 2)));
        // Of two who made number 2 at once, the second in the log lost, whichever passes first.
        revised.note(&amended(2, 6));
        assert!(revised.supersedes(&amended(2, 6)) && !revised.supersedes(&amended(2, 5)));
        // And whoever amends without knowing that it was redacted, whatever the number.
        revised.note(&record(7, true, 1, 7));
        for lost in [amended(2, 5), amended(3, 8)] {
            revised.note(&lost);
            assert!(revised.supersedes(&lost));
        }
        assert!(!revised.supersedes(&record(7, true, 1, 7)));
    }

    #[test]
    fn the_last_revisions_are_remembered_and_not_the_first() {
        let mut revised = Revised::default();
        let amended = Rank {
            redacted: false,
            number: 1,
        };
        let mut record = Passed::new((0, 1), Event::sample(1), amended, 100);
        let mut note = |n: usize| {
            record.event.event_id = Uuid::from_u128(n as u128);
            revised.note(&record);
        };
        // The very first event is revised once more before there are too many.
        (0..REVISED_MAX - 1).for_each(&mut note);
        note(0);
        (REVISED_MAX..REVISED_MAX + 2).for_each(&mut note);
        assert_eq!(revised.order.len(), REVISED_MAX);
        let mut original = Passed::new((0, 0), Event::sample(1), Rank::default(), 100);
        let mut is_known = |n: usize| {
            original.event.event_id = Uuid::from_u128(n as u128);
            revised.supersedes(&original)
        };
        assert!(is_known(0) && is_known(2) && is_known(REVISED_MAX + 1));
        assert!(!is_known(1));
    }
}
