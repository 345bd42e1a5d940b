//! Taking over a partition: which of its records from the committed offset on stand in the table already, from an
//! insert whose offsets nobody could commit any more.
//!
//! That is a batch at most, and it is asked for at once. A group whose offsets are gone begins at offset 0 of a log of
//! which all is held, so whatever is more than a range is asked for range by range, as the reader comes to it: after
//! the first question nobody but this projector writes the partition, and it writes only behind where it reads.

use std::collections::HashSet;
use std::ops::Range;

use uuid::Uuid;

use super::writer::{Stopped, Writer, persist};
use crate::store::Store;
use crate::store::row::partition_column;

/// Offsets in a range: 4 MB of them are remembered at once.
pub const RANGE: i64 = 131_072;

/// Asks the table on behalf of a projector.
pub struct TakeOver {
    store: Store,
    log_id: Uuid,
    writer: Writer,
    range: i64,
}

/// What is known of a partition.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Held, and not yet read.
    offsets: HashSet<i64>,
    /// Not yet asked for.
    unasked: Range<i64>,
    /// Behind the last one that is held.
    end: i64,
}

impl TakeOver {
    /// Asks of the table that `writer` writes, so many offsets at once.
    pub fn new(store: Store, log_id: Uuid, writer: Writer, range: i64) -> Self {
        Self {
            store,
            log_id,
            writer,
            range,
        }
    }

    /// Ends what may still write the partition, and asks what is held from `next` on, the last range of it.
    pub async fn begin(&self, partition: i32, next: i64) -> Result<Held, Stopped> {
        let column = partition_column(partition);
        let last = || {
            self.store
                .last_held(self.writer.table(), self.log_id, column, offset(next))
        };
        let last = persist(self.writer.stop(), "asking how far a partition has come", last).await?;
        let from = last.map_or(next, |last| next.max(last as i64 + 1 - self.range));
        let held = self.writer.held(partition, from).await?;
        Ok(Held {
            offsets: held,
            unasked: next..from,
            end: last.map_or(next, |last| last.cast_signed().saturating_add(1)),
        })
    }

    /// Asks what is held from the record at `at` on, where that is not known.
    pub async fn reach(&self, partition: i32, at: i64, held: &mut Held) -> Result<(), Stopped> {
        let Some(due) = held.due(at, self.range) else {
            return Ok(());
        };
        let range = offset(due.start)..offset(due.end);
        let found = || {
            self.store.held_between(
                self.writer.table(),
                self.log_id,
                partition_column(partition),
                range.clone(),
            )
        };
        let found = persist(self.writer.stop(), "asking what a partition holds", found).await?;
        held.learn(due, found.into_iter().map(u64::cast_signed));
        Ok(())
    }
}

impl Held {
    /// Whether the record stands in the table. Each is asked for once.
    pub fn take(&mut self, offset: i64) -> bool {
        self.offsets.remove(&offset)
    }

    /// Whether this partition was written before as far as here. What is not held then was not written all the same, or
    /// has been merged away by a row that counts more.
    pub fn was_reached(&self, offset: i64) -> bool {
        offset < self.end
    }

    /// How many are known to be held.
    pub fn known(&self) -> usize {
        self.offsets.len()
    }

    /// What is to be asked for before the record at `at` is decided.
    fn due(&self, at: i64, range: i64) -> Option<Range<i64>> {
        self.unasked
            .contains(&at)
            .then(|| at..self.unasked.end.min(at.saturating_add(range)))
    }

    fn learn(&mut self, asked: Range<i64>, held: impl IntoIterator<Item = i64>) {
        self.offsets.retain(|offset| *offset >= asked.start);
        self.offsets.extend(held);
        self.unasked.start = asked.end;
    }
}

fn offset(offset: i64) -> u64 {
    offset.max(0).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Asked range by range, the answers are those of asking for all at once, and few are remembered.
        #[test]
        fn each_record_is_known_as_held_or_not(
            table in proptest::collection::btree_set(0i64..300, 0..200),
            gaps in proptest::collection::vec(1i64..6, 0..100),
            next in 0i64..100,
            range in 1i64..50,
        ) {
            let among = |asked: Range<i64>| table.range(asked).copied();
            let from = table.last().map_or(next, |last| next.max(last + 1 - range));
            let mut held = Held { offsets: among(from..i64::MAX).collect(), unasked: next..from, end: 0 };
            let mut at = next;
            for gap in gaps {
                if let Some(due) = held.due(at, range) {
                    held.learn(due.clone(), among(due));
                }
                prop_assert!(held.known() as i64 <= 2 * range);
                prop_assert_eq!(held.take(at), table.contains(&at), "offset {}", at);
                at += gap;
            }
        }
    }
}
