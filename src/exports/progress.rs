//! How far an export has come.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted while the file is written.
#[derive(Debug, Default)]
pub struct Progress {
    events: AtomicU64,
    bytes: AtomicU64,
    /// All there will be, and one; 0 where nobody knows.
    of: AtomicU64,
}

impl Progress {
    /// That so many more are in the file.
    pub(super) fn add(&self, events: u64, bytes: usize) {
        self.events.fetch_add(events, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many there will be.
    pub(super) fn expect(&self, events: u64) {
        self.of.store(events.saturating_add(1), Ordering::Relaxed);
    }

    /// Events in the file so far.
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Bytes of the file so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Which part of all that is; `None` where nobody knows how many there are.
    pub fn share(&self) -> Option<f64> {
        let of = self.of.load(Ordering::Relaxed).checked_sub(1)?;
        let share = match of {
            0 => 1.0,
            of => (self.events() as f64 / of as f64).min(1.0),
        };
        Some((share * 1_000.0).round() / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_known_when_the_whole_is() {
        let progress = Progress::default();
        progress.add(5, 100);
        assert_eq!(progress.share(), None);
        progress.expect(20);
        assert_eq!((progress.share(), progress.bytes()), (Some(0.25), 100));
        progress.expect(4);
        assert_eq!(progress.share(), Some(1.0), "more came than were counted");
        progress.expect(0);
        assert_eq!(progress.share(), Some(1.0));
    }
}
