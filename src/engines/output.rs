//! What an engine prints goes to a file of its own, which may not fill the disk: when it has grown too large, its end
//! is kept beside it (as `….log.1`) and it begins again.
//!
//! The engine appends to the open file, also while this happens, so the file is emptied and not exchanged; a line that
//! it prints between the copy and that is lost.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

/// How much of a log is kept, twice: in the file, and beside it.
const BYTES_MAX: u64 = 10 << 20;
/// How often the size is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Puts the log aside where it is too large.
pub(super) fn bound(log: &Path) -> io::Result<()> {
    let length = match fs::metadata(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.len(),
    };
    if length <= BYTES_MAX {
        return Ok(());
    }
    let mut file = File::options().read(true).write(true).open(log)?;
    file.seek(SeekFrom::Start(length - BYTES_MAX))?;
    let mut aside = File::create(log.with_extension("log.1"))?;
    io::copy(&mut io::Read::take(&mut file, BYTES_MAX), &mut aside)?;
    file.set_len(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_grew_begins_again_with_its_end_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("broker.log");
        bound(&log).unwrap();
        let mut engine = File::options().create(true).append(true).open(&log).unwrap();
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        let mut print = |bytes: u64| (0..bytes / 100).for_each(|_| engine.write_all(&line).unwrap());
        print(BYTES_MAX / 2);
        bound(&log).unwrap();
        let length = |path: &Path| fs::metadata(path).map(|found| found.len()).ok();
        assert_eq!(length(&log), Some(BYTES_MAX / 2 / 100 * 100));
        let old = dir.path().join("broker.log.1");
        assert_eq!(length(&old), None);

        print(BYTES_MAX);
        bound(&log).unwrap();
        assert_eq!((length(&log), length(&old)), (Some(0), Some(BYTES_MAX)));
        assert!(fs::read(&old).unwrap().ends_with(b"xx\n"));
        print(100);
        assert_eq!(fs::read(&log).unwrap(), line, "it goes on at the beginning");
    }
}
