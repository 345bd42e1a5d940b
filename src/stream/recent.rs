//! The last events that passed, so that who was cut off for a moment, or starts the server anew, goes on from memory.
//! And which events were revised lately, so that what they said before is no longer shown.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::passed::Passed;
use crate::event::{Event, TenantId};

/// How much memory they may take.
const BYTES_MAX: usize = 32 << 20;
/// How many revised events are remembered: those of a seen window and more.
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

/// The highest revision of each event that was revised lately.
#[derive(Debug, Default)]
pub struct Revised {
    latest: HashMap<(TenantId, Uuid), u32>,
    order: VecDeque<(TenantId, Uuid)>,
}

impl Revised {
    /// Notes what an event is now.
    pub fn note(&mut self, event: &Event) {
        if event.revision == 0 {
            return;
        }
        let id = (event.tenant_id.clone(), event.event_id);
        let latest = self.latest.entry(id.clone()).or_insert_with(|| {
            self.order.push_back(id);
            0
        });
        *latest = (*latest).max(event.revision);
        if self.order.len() > REVISED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.latest.remove(&oldest);
        }
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// Whether the event says something else by now.
    pub fn supersedes(&self, event: &Event) -> bool {
        let latest = self.latest.get(&(event.tenant_id.clone(), event.event_id));
        latest.is_some_and(|latest| *latest > event.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(partition: usize, offset: i64) -> Arc<Passed> {
        Arc::new(Passed::new(partition, offset, Event::sample(1), 100))
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
    fn only_what_was_said_before_a_revision_is_superseded() {
        let revision = |revision| Event {
            revision,
            ..Event::sample(7)
        };
        let mut revised = Revised::default();
        revised.note(&revision(0));
        assert!(revised.is_empty());
        revised.note(&revision(2));
        revised.note(&revision(1));
        assert!(revised.supersedes(&revision(0)) && revised.supersedes(&revision(1)));
        assert!(!revised.supersedes(&revision(2)) && !revised.supersedes(&Event::sample(8)));
    }
}
