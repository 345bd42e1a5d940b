//! The seen window: what makes a record a duplicate, as a function of the log alone.
//!
//! A record is a duplicate if and only if the same identity stands in the previous [`WINDOW`] offsets of its
//! partition. Every reader that keeps such a window, filled from [`WINDOW`] offsets before its position, decides
//! alike, whatever was restarted in between.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// How many offsets back a copy is recognised.
pub const WINDOW: i64 = 131_072;

/// Identity and content of one record, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// Hash of tenant and event id: 128 bits, so that no two events share one by chance.
    pub identity: u128,
    /// Hash of the content.
    pub content: u64,
    /// The time of the event, where somebody stated it: part of the content then.
    pub time: Option<i64>,
}

/// What the window says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen within the window.
    First,
    /// The same event again.
    Copy,
    /// The same identity with other content. The first copy stood at this offset.
    Conflict {
        /// Where the first copy stands.
        first: i64,
    },
}

/// The window of one partition. Records must be shown in the order of their offsets.
#[derive(Debug, Default)]
pub struct Seen {
    order: VecDeque<(i64, u128)>,
    first: HashMap<u128, Entry, BuildHasherDefault<AlreadyHashed>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The copy that was first within the window, whose content counts.
    first: i64,
    /// The newest copy: the identity is remembered for a window after it.
    last: i64,
    content: u64,
    time: Option<i64>,
}

impl Seen {
    /// Shows the window a record; it says what the record is and remembers it.
    pub fn show(&mut self, offset: i64, print: Print) -> Verdict {
        self.forget_before(offset - WINDOW);
        self.order.push_back((offset, print.identity));
        match self.first.get_mut(&print.identity) {
            None => {
                let entry = Entry {
                    first: offset,
                    last: offset,
                    content: print.content,
                    time: print.time,
                };
                self.first.insert(print.identity, entry);
                Verdict::First
            }
            Some(entry) => {
                entry.last = offset;
                let other_time = matches!((entry.time, print.time), (Some(a), Some(b)) if a != b);
                if entry.content == print.content && !other_time {
                    Verdict::Copy
                } else {
                    Verdict::Conflict { first: entry.first }
                }
            }
        }
    }

    fn forget_before(&mut self, oldest: i64) {
        while let Some(&(offset, identity)) = self.order.front() {
            if offset >= oldest {
                break;
            }
            self.order.pop_front();
            if self
                .first
                .get(&identity)
                .is_some_and(|entry| entry.last == offset)
            {
                self.first.remove(&identity);
            }
        }
    }
}

/// The keys are hashes already: taking 64 of their bits is enough.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn print(identity: u128, content: u64) -> Print {
        Print {
            identity,
            content,
            time: None,
        }
    }

    #[test]
    fn a_copy_within_the_window_is_a_copy_and_beyond_it_is_first_again() {
        let mut seen = Seen::default();
        assert_eq!(seen.show(0, print(1, 1)), Verdict::First);
        assert_eq!(seen.show(WINDOW, print(1, 1)), Verdict::Copy);
        assert_eq!(seen.show(2 * WINDOW + 1, print(1, 1)), Verdict::First);
    }

    #[test]
    fn other_content_conflicts_with_the_first_copy() {
        let mut seen = Seen::default();
        seen.show(5, print(1, 1));
        assert_eq!(seen.show(6, print(1, 2)), Verdict::Conflict { first: 5 });
        assert_eq!(seen.show(7, print(1, 1)), Verdict::Copy);
    }

    #[test]
    fn a_time_that_nobody_stated_conflicts_with_none() {
        let mut seen = Seen::default();
        seen.show(
            0,
            Print {
                time: Some(10),
                ..print(1, 1)
            },
        );
        assert_eq!(seen.show(1, print(1, 1)), Verdict::Copy);
        assert_eq!(
            seen.show(
                2,
                Print {
                    time: Some(11),
                    ..print(1, 1)
                }
            ),
            Verdict::Conflict { first: 0 }
        );
    }

    proptest! {
        /// A window that begins exactly WINDOW offsets before decides as one that saw everything.
        #[test]
        fn a_restart_decides_alike(
            gaps in proptest::collection::vec((1i64..60_000, 0u128..6), 1..60),
            cut in 0usize..60,
        ) {
            let mut offset = 0;
            let records: Vec<(i64, u128)> = gaps.iter().map(|(gap, id)| { offset += gap; (offset, *id) }).collect();
            let mut whole = Seen::default();
            let verdicts: Vec<_> = records.iter().map(|(at, id)| whole.show(*at, print(*id, 0)) == Verdict::First).collect();
            let position = records.get(cut).map_or(offset + 1, |(at, _)| *at);
            let mut restarted = Seen::default();
            for ((at, id), expected) in records.iter().zip(verdicts) {
                if *at < position - WINDOW { continue; }
                let verdict = restarted.show(*at, print(*id, 0)) == Verdict::First;
                if *at >= position { prop_assert_eq!(verdict, expected); }
            }
        }
    }
}
