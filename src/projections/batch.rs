//! Rows on their way into the table, gathered by month: one INSERT holds one ClickHouse partition.

use std::collections::BTreeMap;

use crate::event::Event;
use crate::log::Position;

/// The next offset to be processed of each partition: what is committed.
pub type Done = Vec<(i32, i64)>;

/// Rows by month, as YYYYMM.
pub type Months = BTreeMap<u32, Vec<Row>>;

/// A first copy and where it stands in the log.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where it stands.
    pub at: Position,
    /// What it says.
    pub event: Event,
}

/// What is written together, and the offsets that are done once it is.
#[derive(Debug, Default)]
pub struct Batch {
    months: Months,
    next: BTreeMap<i32, i64>,
    rows: usize,
}

impl Batch {
    /// Takes a row in.
    pub fn add(&mut self, row: Row) {
        self.done(row.at);
        self.rows += 1;
        self.months.entry(row.event.time.month()).or_default().push(row);
    }

    /// Notes a record that needs no row: a copy, or one that was rejected.
    pub fn done(&mut self, at: Position) {
        let next = self.next.entry(at.partition).or_default();
        *next = (*next).max(at.offset + 1);
    }

    /// How many rows are waiting.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Nothing to write and nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    /// Forgets partitions that went to another instance: it will do them again.
    pub fn drop_partitions(&mut self, gone: &[i32]) {
        self.next.retain(|partition, _| !gone.contains(partition));
        for rows in self.months.values_mut() {
            rows.retain(|row| !gone.contains(&row.at.partition));
        }
        self.months.retain(|_, rows| !rows.is_empty());
        self.rows = self.months.values().map(Vec::len).sum();
    }

    /// The rows, and what is done once they are written.
    pub fn into_parts(self) -> (Months, Done) {
        (self.months, self.next.into_iter().collect())
    }
}
