//! The data directory: one server at a time, and room left on its disk.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a start waits for the lock: the last server may just be dying.
const LOCK_WITHIN: Duration = Duration::from_secs(2);

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another server uses it.
    #[error(
        "another trailhouse{holder} is using the data directory {}; stop it, or give this one its own with --data-dir",
        .path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// ` (process 4711)` where the lock says so.
        holder: String,
    },
    /// The system refused.
    #[error("cannot use the data directory {}: {source}", .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A data directory that this process holds. The lock goes with the value, and with the process however it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory (mode 0700) where there is none, and takes its lock.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Io {
            path: path.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let lock = take_lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory inside it, made with mode 0700 where there is none.
    pub fn inside(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Ok(path)
    }
}

fn take_lock(dir: &Path) -> Result<File, DataDirError> {
    let failed = |source| DataDirError::Io {
        path: dir.to_owned(),
        source,
    };
    let open = File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join("lock"));
    let mut lock = open.map_err(failed)?;
    let until = Instant::now() + LOCK_WITHIN;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::InUse {
                    path: dir.to_owned(),
                    holder: holder(&mut lock),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    // The number is for the message above only; the lock is the flock, which no crash leaves behind.
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(lock)
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.rewind().and_then(|()| lock.read_to_string(&mut text));
    let pid = read.ok().and_then(|_| text.trim().parse::<u32>().ok());
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// How much of the disk under `path` an ordinary user can still fill, in percent.
pub fn free_percent(path: &Path) -> io::Result<f64> {
    let disk = nix::sys::statvfs::statvfs(path)?;
    let total = disk.blocks() as f64;
    Ok(if total == 0.0 {
        100.0
    } else {
        disk.blocks_available() as f64 / total * 100.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_server_is_refused_and_the_next_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/data");
        let first = DataDir::open(&path).unwrap();
        let refused = DataDir::open(&path).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        assert!(refused.contains("--data-dir"), "{refused}");
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn nobody_else_may_look_inside() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&root.path().join("data")).unwrap();
        for path in [dir.path().to_owned(), dir.inside("log").unwrap()] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_path_that_is_no_directory_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataDir::open(file.path()).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }

    #[test]
    fn free_space_is_a_share() {
        let free = free_percent(Path::new("/")).unwrap();
        assert!((0.0..=100.0).contains(&free), "{free}");
        assert!(free_percent(Path::new("/no/such/place")).is_err());
    }
}
