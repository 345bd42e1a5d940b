//! Rows on their way into the table, gathered by month: one INSERT holds one ClickHouse partition.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::event::Event;
use crate::event::revision::{HEADER, History, Rank};
use crate::ingest::UNCHECKED;
use crate::log::decode::Decoded;
use crate::log::seen::WINDOW;
use crate::log::{Position, Record};
use crate::store::row::version_of;

/// Bytes of records after which a batch is full: one is filled while another is written, and events are larger in
/// memory than in the log.
pub const BYTES: usize = 32 << 20;

/// The next offset to be processed of each partition: what is committed.
pub type Done = Vec<(i32, i64)>;

/// Rows by month, as YYYYMM.
pub type Months = BTreeMap<u32, Vec<Row>>;

/// A first copy, of an event or of a revision, and where it stands in the log.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where it stands.
    pub at: Position,
    /// What it says.
    pub event: Event,
    /// What it counts among the records of its event.
    pub rank: Rank,
    /// Size of the record.
    pub bytes: usize,
    /// The door could not look for copies further back than the seen window.
    pub unchecked: bool,
    /// It may have been in the table before, and have been merged away by what counts more.
    pub again: bool,
    /// Of a revision: what was changed, this time and before.
    pub history: Option<Box<History>>,
}

impl Row {
    /// The row of a record that says this.
    pub fn new(record: &Record, decoded: Decoded) -> Self {
        let rank = decoded.rank();
        let Decoded { event, history } = decoded;
        Self {
            at: Position {
                partition: record.partition,
                offset: record.offset,
            },
            event,
            rank,
            bytes: record.payload.len() + record.header(HEADER).map_or(0, <[u8]>::len),
            unchecked: record.header(UNCHECKED).is_some(),
            again: false,
            history,
        }
    }

    /// What its row in the table is ranked by, among those of the same event.
    pub fn version(&self) -> u64 {
        version_of(self.rank, self.at.offset.max(0).cast_unsigned())
    }

    /// Whether it takes the place of another row.
    pub fn is_revision(&self) -> bool {
        self.rank.number > 0
    }
}

/// What is written together, and the offsets that are done once it is.
#[derive(Debug, Default)]
pub struct Batch {
    months: Months,
    /// The first offset and the next one to be processed, by partition.
    offsets: BTreeMap<i32, Range<i64>>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    /// Takes a row in.
    pub fn add(&mut self, row: Row) {
        self.done(row.at);
        self.rows += 1;
        self.bytes += row.bytes;
        self.months.entry(row.event.time.month()).or_default().push(row);
    }

    /// Notes a record that needs no row: a copy, or one that was rejected.
    pub fn done(&mut self, at: Position) {
        let next = at.offset + 1;
        let offsets = self.offsets.entry(at.partition).or_insert(at.offset..next);
        offsets.end = offsets.end.max(next);
    }

    /// How many rows are waiting.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// It is to be written before more is read: it has enough rows or bytes, or spans half a seen window: what is read
    /// at once comes on top, and with a whole one a later copy of its own rows would count as a first one again.
    pub fn is_full(&self, rows: usize) -> bool {
        let is_long = |offsets: &Range<i64>| offsets.end - offsets.start >= WINDOW / 2;
        self.rows >= rows || self.bytes >= BYTES || self.offsets.values().any(is_long)
    }

    /// Nothing to write and nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Forgets partitions that went to another instance: it will do them again.
    pub fn drop_partitions(&mut self, gone: &[i32]) {
        self.offsets.retain(|partition, _| !gone.contains(partition));
        for rows in self.months.values_mut() {
            rows.retain(|row| !gone.contains(&row.at.partition));
        }
        self.months.retain(|_, rows| !rows.is_empty());
        self.rows = self.months.values().map(Vec::len).sum();
        self.bytes = self.months.values().flatten().map(|row| row.bytes).sum();
    }

    /// The rows, and what is done once they are written.
    pub fn into_parts(self) -> (Months, Done) {
        let done = self.offsets.into_iter();
        (
            self.months,
            done.map(|(partition, offsets)| (partition, offsets.end))
                .collect(),
        )
    }
}

/// Events for tests: what matters to them is where and when.
#[cfg(test)]
pub(super) mod samples {
    use super::Row;
    use crate::event::Event;
    use crate::event::revision::Rank;
    use crate::log::Position;

    /// Event `id`, of 1970, at an offset of partition 0.
    pub fn row(id: u128, offset: i64) -> Row {
        Row {
            at: Position { partition: 0, offset },
            event: Event::sample(id),
            rank: Rank::default(),
            bytes: 100,
            unchecked: false,
            again: false,
            history: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::row;
    use super::*;

    #[test]
    fn a_batch_is_full_before_a_copy_of_its_first_row_counts_as_a_first_one() {
        let mut batch = Batch::default();
        batch.add(row(1, 7));
        let copy = |offset| Position { partition: 0, offset };
        batch.done(copy(7 + WINDOW / 2 - 2));
        assert!(!batch.is_full(usize::MAX));
        batch.done(copy(7 + WINDOW / 2 - 1));
        assert!(batch.is_full(usize::MAX));
        assert_eq!(batch.into_parts().1, [(0, 7 + WINDOW / 2)]);
    }

    #[test]
    fn a_batch_is_full_of_rows_or_of_bytes() {
        let mut batch = Batch::default();
        assert!(!batch.is_full(2) && batch.is_empty());
        batch.add(row(1, 1));
        assert!(!batch.is_full(2) && batch.is_full(1));
        let large = Row {
            at: Position {
                partition: 3,
                offset: 9,
            },
            bytes: BYTES - 100,
            ..row(2, 0)
        };
        batch.add(large);
        assert!(batch.is_full(usize::MAX));
        batch.drop_partitions(&[3]);
        assert!(!batch.is_full(2) && batch.rows() == 1);
        assert_eq!(batch.into_parts().1, [(0, 2)]);
    }
}
