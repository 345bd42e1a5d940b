//! Where bodies wait: files without a name. An `INSERT` begins only when its data are all here, so a client that
//! goes away in the middle inserts nothing, a slow one holds no connection of the engine, and memory stays flat.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A private file that is gone when dropped, even after SIGKILL: its name is removed as soon as it is open.
#[derive(Debug)]
pub(super) struct Spool(File);

impl Spool {
    /// Creates an empty one in `directory`.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!("body-{}", uuid::Uuid::new_v4().simple()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self(file))
    }

    /// Appends `head` and all of `source`, at most `limit` bytes; returns how many. `Ok(None)`: it was more.
    pub(super) fn fill(&mut self, head: &[u8], source: &mut dyn Read, limit: u64) -> io::Result<Option<u64>> {
        self.0.write_all(head)?;
        let mut written = head.len() as u64;
        let mut piece = vec![0; 256 << 10];
        loop {
            let length = match source.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            written += length as u64;
            if written > limit {
                return Ok(None);
            }
            self.0.write_all(&piece[..length])?;
        }
        self.0.rewind()?;
        Ok(Some(written))
    }

    /// The path under which the engine, in this process, opens it.
    pub(super) fn path(&self) -> String {
        descriptor_path(self.0.as_raw_fd())
    }
}

/// The path of an open descriptor of this process.
pub(super) fn descriptor_path(descriptor: RawFd) -> String {
    match cfg!(target_os = "linux") {
        true => format!("/proc/self/fd/{descriptor}"),
        false => format!("/dev/fd/{descriptor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_has_no_name_and_keeps_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(directory.path()).unwrap();
        assert_eq!(
            spool.fill(b"head", &mut &b" and body"[..], 100).unwrap(),
            Some(13)
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(std::fs::read(spool.path()).unwrap(), b"head and body");
        let mut small = Spool::create(directory.path()).unwrap();
        assert_eq!(small.fill(b"", &mut &b"too long"[..], 4).unwrap(), None);
    }
}
