//! A bounded file of records that wait for the log. Each is flushed to disk before anybody goes on; what a crash has cut
//! off is dropped when the file is opened, for nobody was told that it was kept.
//!
//! A record is its length (4 bytes, little-endian), the XXH3 of its bytes (8) and the bytes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

const HEAD: u64 = 4 + 8;

/// The file.
#[derive(Debug)]
pub struct Spool {
    file: File,
    end: u64,
    max: u64,
}

impl Spool {
    /// Opens it, or makes it, for up to `max` bytes.
    pub fn open(path: &Path, max: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let mut spool = Self { file, end: 0, max };
        let length = spool.file.metadata()?.len();
        spool.end = spool.whole(length)?;
        if spool.end < length {
            tracing::warn!(
                bytes = length - spool.end,
                "the end of the spool of reads was never finished"
            );
            spool.file.set_len(spool.end)?;
        }
        Ok(spool)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Where the next record will stand.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds as many of the records as there is room for, from the first on; gives how many, once they are on disk.
    pub fn append(&mut self, records: &[Vec<u8>]) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let mut kept = 0;
        for record in records {
            let length = u32::try_from(record.len()).map_err(io::Error::other)?;
            if self.end + (bytes.len() + record.len()) as u64 + HEAD > self.max {
                break;
            }
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&xxh3_64(record).to_le_bytes());
            bytes.extend_from_slice(record);
            kept += 1;
        }
        if kept > 0 {
            // What a failed write has left behind is written over by the next one.
            self.file.write_all_at(&bytes, self.end)?;
            self.file.sync_data()?;
            self.end += bytes.len() as u64;
        }
        Ok(kept)
    }

    /// The records from a place on, about so many bytes of them and at least one, and where the next one stands.
    pub fn read(&mut self, from: u64, about: u64) -> io::Result<(Vec<Vec<u8>>, u64)> {
        let (mut at, mut records) = (from, Vec::new());
        while at < self.end && at - from < about {
            let Some(record) = self.record(at, self.end)? else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a record has changed on disk",
                ));
            };
            at += HEAD + record.len() as u64;
            records.push(record);
        }
        Ok((records, at))
    }

    /// Forgets all of it.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.end = 0;
        self.file.sync_data()
    }

    /// How far the file holds whole records.
    fn whole(&self, length: u64) -> io::Result<u64> {
        let mut at = 0;
        while let Some(record) = self.record(at, length)? {
            at += HEAD + record.len() as u64;
        }
        Ok(at)
    }

    /// The record at a place, where it is whole within `end`.
    fn record(&self, at: u64, end: u64) -> io::Result<Option<Vec<u8>>> {
        if at + HEAD > end {
            return Ok(None);
        }
        let (mut length, mut digest) = ([0; 4], [0; 8]);
        self.file.read_exact_at(&mut length, at)?;
        self.file.read_exact_at(&mut digest, at + 4)?;
        let length = u32::from_le_bytes(length);
        if length == 0 || at + HEAD + u64::from(length) > end {
            return Ok(None);
        }
        let mut record = vec![0; length as usize];
        self.file.read_exact_at(&mut record, at + HEAD)?;
        Ok((xxh3_64(&record) == u64::from_le_bytes(digest)).then_some(record))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(spool: &mut Spool) -> Vec<Vec<u8>> {
        let (mut at, mut all) = (0, Vec::new());
        while at < spool.end() {
            let (mut some, next) = spool.read(at, 1).unwrap();
            assert_eq!(some.len(), 1);
            all.append(&mut some);
            at = next;
        }
        all
    }

    #[test]
    fn a_full_one_takes_no_more_until_it_was_emptied() {
        let home = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(&home.path().join("s"), 3 * (HEAD + 10)).unwrap();
        let records = vec![vec![7; 10]; 5];
        assert_eq!(spool.append(&records).unwrap(), 3);
        assert_eq!(spool.append(&records[..1]).unwrap(), 0);
        assert_eq!(all(&mut spool).len(), 3);
        spool.clear().unwrap();
        assert!(spool.is_empty());
        assert_eq!(spool.append(&records[..1]).unwrap(), 1);
    }

    proptest! {
        /// Whatever of the last write has reached the disk, what was acknowledged before is there, and nothing else.
        #[test]
        fn what_was_cut_off_is_dropped_and_the_rest_stays(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 1..8),
            torn in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("s");
            let mut spool = Spool::open(&path, 1 << 20).unwrap();
            prop_assert_eq!(spool.append(&records).unwrap(), records.len());
            spool.file.write_all_at(&torn, spool.end()).unwrap();
            drop(spool);
            let mut spool = Spool::open(&path, 1 << 20).unwrap();
            prop_assert_eq!(all(&mut spool), records.clone());
            prop_assert_eq!(spool.append(&records).unwrap(), records.len());
            let twice = [records.clone(), records].concat();
            prop_assert_eq!(all(&mut Spool::open(&path, 1 << 20).unwrap()), twice);
        }
    }
}
