//! How far back in time the seen window reaches, measured by the offsets this process is given.
//!
//! The window is counted in offsets. At 5,000 events a second in a partition it holds 26 s, at 20,000 only 6 s; an
//! event older than that must be looked up in the table, whatever the usual bound says.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::log::Position;
use crate::log::seen::WINDOW;

/// The usual bound: an event this much older than its receipt is looked up.
const USUAL: Duration = Duration::from_secs(30);
/// What is counted as beyond the window before it is, for what other instances append meanwhile.
const MARGIN: i64 = WINDOW / 4;
/// How often a partition's end is noted, and for how long.
const EVERY: Duration = Duration::from_secs(1);

/// The ends of partitions over the last half minute.
#[derive(Debug, Default)]
pub(super) struct Reach {
    partitions: HashMap<i32, Trace>,
}

#[derive(Debug, Default)]
struct Trace {
    end: i64,
    /// Moments and the end at that time, oldest first.
    past: VecDeque<(Timestamp, i64)>,
}

impl Reach {
    /// A record was given this position.
    pub(super) fn note(&mut self, at: Position, now: Timestamp) {
        let trace = self.partitions.entry(at.partition).or_default();
        trace.end = trace.end.max(at.offset);
        if trace
            .past
            .back()
            .is_none_or(|(last, _)| now.since(*last) >= EVERY)
        {
            trace.past.push_back((now, trace.end));
        }
        while trace
            .past
            .front()
            .is_some_and(|(first, _)| now.since(*first) > USUAL)
        {
            trace.past.pop_front();
        }
    }

    /// The highest offset that was given, by partition.
    pub(super) fn ends(&self) -> impl Iterator<Item = (i32, i64)> {
        self.partitions
            .iter()
            .map(|(partition, trace)| (*partition, trace.end))
    }

    /// Events younger than this have all their copies within the window.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        self.partitions
            .values()
            .map(|trace| trace.age(now))
            .min()
            .unwrap_or(USUAL)
            .min(USUAL)
    }
}

impl Trace {
    fn age(&self, now: Timestamp) -> Duration {
        // The newest moment that the window no longer reaches; everything after it is within.
        let beyond = self
            .past
            .iter()
            .rev()
            .find(|(_, end)| self.end - end > WINDOW - MARGIN);
        beyond.map_or(USUAL, |(moment, _)| now.since(*moment).saturating_sub(EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(rate: i64, seconds: i64) -> Duration {
        let mut reach = Reach::default();
        for second in 0..seconds {
            let at = Position {
                partition: 0,
                offset: second * rate,
            };
            reach.note(at, Timestamp::from_millis(second * 1_000));
        }
        reach.age(Timestamp::from_millis((seconds - 1) * 1_000))
    }

    #[test]
    fn a_busy_partition_shortens_the_reach() {
        assert_eq!(after(100, 100), USUAL);
        let busy = after(20_000, 100);
        assert!(
            busy < Duration::from_secs(6) && busy >= Duration::from_secs(3),
            "{busy:?}"
        );
        assert!(after(200_000, 100) < Duration::from_secs(1));
    }

    #[test]
    fn the_busiest_partition_counts() {
        let mut reach = Reach::default();
        for second in 0..40 {
            let now = Timestamp::from_millis(second * 1_000);
            reach.note(
                Position {
                    partition: 0,
                    offset: second,
                },
                now,
            );
            reach.note(
                Position {
                    partition: 1,
                    offset: second * 50_000,
                },
                now,
            );
        }
        assert!(reach.age(Timestamp::from_millis(39_000)) < Duration::from_secs(3));
    }
}
