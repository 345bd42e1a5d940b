//! The seen window: what makes a record a duplicate, as a function of the log alone.
//!
//! A record is a duplicate if and only if the same identity stands in the previous [`WINDOW`] offsets of its
//! partition. Every reader that keeps such a window, filled from [`WINDOW`] offsets before its position, decides
//! alike, whatever was restarted in between.

use std::collections::VecDeque;

use hashbrown::HashTable;

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
///
/// A full one takes 9 MB: 56 bytes an offset, and 5 for each of 262,144 places in the table.
#[derive(Debug, Default)]
pub struct Seen {
    /// The records of the window, oldest first, numbered from `forgotten` on.
    shown: VecDeque<Shown>,
    /// How many records went out of the window; counts round.
    forgotten: u32,
    /// The number of the newest record of each identity.
    newest: HashTable<u32>,
}

/// A record within the window, and what is known of its identity so far.
#[derive(Debug)]
struct Shown {
    offset: i64,
    /// In halves: a whole one would be aligned to 16 bytes.
    identity: [u64; 2],
    /// The copy that was first within the window, whose content counts.
    first: i64,
    content: u64,
    time: Option<i64>,
}

impl Seen {
    /// Shows the window a record; it says what the record is and remembers it.
    pub fn show(&mut self, offset: i64, print: Print) -> Verdict {
        self.forget_before(offset - WINDOW);
        let identity = halves(print.identity);
        let mut shown = Shown {
            offset,
            identity,
            first: offset,
            content: print.content,
            time: print.time,
        };
        let number = self.forgotten.wrapping_add(self.shown.len() as u32);
        let (records, forgotten) = (&self.shown, self.forgotten);
        let is_it =
            |number: &u32| record(records, forgotten, *number).is_some_and(|it| it.identity == identity);
        let verdict = match self.newest.find_mut(hash(identity), is_it) {
            Some(newest) => {
                let before = record(records, forgotten, *newest);
                *newest = number;
                before.map_or(Verdict::First, |before| shown.follow(before))
            }
            None => {
                let hash_of =
                    |number: &u32| record(records, forgotten, *number).map_or(0, |it| hash(it.identity));
                self.newest.insert_unique(hash(identity), number, hash_of);
                Verdict::First
            }
        };
        self.make_room();
        self.shown.push_back(shown);
        verdict
    }

    fn forget_before(&mut self, oldest: i64) {
        while let Some(front) = self.shown.pop_front_if(|front| front.offset < oldest) {
            // Where a later copy came, the identity is remembered for a window after that one.
            let number = self.forgotten;
            if let Ok(newest) = self
                .newest
                .find_entry(hash(front.identity), |newest| *newest == number)
            {
                newest.remove();
            }
            self.forgotten = number.wrapping_add(1);
        }
    }

    /// Grows by doubling, but not past a window and the record that is shown.
    fn make_room(&mut self) {
        let held = self.shown.len();
        if held == self.shown.capacity() {
            let most = (WINDOW as usize + 1).saturating_sub(held);
            self.shown.reserve_exact(held.clamp(64, most.max(64)));
        }
    }
}

impl Shown {
    /// Takes over what is known from the copy before it.
    fn follow(&mut self, before: &Self) -> Verdict {
        let other_time = matches!((before.time, self.time), (Some(a), Some(b)) if a != b);
        let same = before.content == self.content && !other_time;
        (self.first, self.content, self.time) = (before.first, before.content, before.time);
        if same {
            Verdict::Copy
        } else {
            Verdict::Conflict { first: before.first }
        }
    }
}

fn record(records: &VecDeque<Shown>, forgotten: u32, number: u32) -> Option<&Shown> {
    records.get(number.wrapping_sub(forgotten) as usize)
}

fn halves(identity: u128) -> [u64; 2] {
    [identity as u64, (identity >> 64) as u64]
}

/// Identities are hashes already: taking 64 of their bits is enough.
fn hash([low, _]: [u64; 2]) -> u64 {
    low
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

    /// The window as its rule says it: everything is kept, and looked through.
    #[derive(Default)]
    struct Plain(Vec<(i64, Print, i64, Print)>);

    impl Plain {
        fn show(&mut self, offset: i64, print: Print) -> Verdict {
            let before = self
                .0
                .iter()
                .rev()
                .find(|(_, known, ..)| known.identity == print.identity);
            let before = before.filter(|(at, ..)| *at >= offset - WINDOW).copied();
            let (_, _, first, content) = before.unwrap_or((offset, print, offset, print));
            self.0.push((offset, print, first, content));
            let other_time = matches!((content.time, print.time), (Some(a), Some(b)) if a != b);
            match before {
                None => Verdict::First,
                Some(_) if content.content == print.content && !other_time => Verdict::Copy,
                Some(_) => Verdict::Conflict { first },
            }
        }
    }

    proptest! {
        #[test]
        fn it_decides_as_its_rule_says(
            // Identities that share the half that is hashed, too.
            records in proptest::collection::vec((1i64..30_000, 0u128..5, 0u128..2, 0u64..2, proptest::option::of(0i64..2)), 1..120),
        ) {
            let (mut seen, mut plain, mut offset) = (Seen::default(), Plain::default(), 0);
            for (gap, low, high, content, time) in records {
                offset += gap;
                let print = Print { identity: high << 64 | low, content, time };
                prop_assert_eq!(seen.show(offset, print), plain.show(offset, print));
            }
        }
    }

    #[test]
    fn a_full_window_takes_its_9_mb_and_no_more() {
        let mut seen = Seen::default();
        for offset in 0..3 * WINDOW {
            let identity = u128::from(xxhash_rust::xxh3::xxh3_64(&offset.to_le_bytes()));
            assert_eq!(seen.show(offset, print(identity, 0)), Verdict::First);
        }
        let records = seen.shown.capacity() * size_of::<Shown>();
        let bytes = records + seen.newest.allocation_size();
        assert!(bytes < 9_000_000, "{bytes} bytes");
    }
}
