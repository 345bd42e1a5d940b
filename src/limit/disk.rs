//! How full the disk may be that this process writes to.

use std::io;
use std::path::{Path, PathBuf};

/// Percent of it that must be free for events to be taken.
pub const FREE_FOR_EVENTS: f64 = 5.0;
/// Under this it soon will be too little.
pub const FREE_IS_FEW: f64 = 15.0;

/// Says how many percent of a path's disk are free.
pub type FreePercent = fn(&Path) -> io::Result<f64>;

/// A disk.
#[derive(Clone, Debug)]
pub struct Disk {
    path: PathBuf,
    free_percent: FreePercent,
}

impl Disk {
    /// The one on which a path lies.
    pub fn of(path: PathBuf, free_percent: FreePercent) -> Self {
        Self { path, free_percent }
    }

    /// A sentence when too little of it is free. What can't be known is no problem.
    pub fn problem(&self, needed: f64) -> Option<String> {
        let free = (self.free_percent)(&self.path).ok()?;
        (free < needed).then(|| {
            format!("{free:.1} % of the disk is free, at least {needed} % is needed: make room in the data directory's file system")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_is_said_with_what_is_needed() {
        let disk = Disk::of("/".into(), |_| Ok(9.96));
        assert_eq!(disk.problem(FREE_FOR_EVENTS), None);
        let problem = disk.problem(FREE_IS_FEW).unwrap();
        assert!(
            problem.starts_with("10.0 % of the disk is free, at least 15 %"),
            "{problem}"
        );
        let unknown = Disk::of("/".into(), |_| Err(io::Error::other("gone")));
        assert_eq!(unknown.problem(FREE_FOR_EVENTS), None);
    }
}
