//! What the gate waits for is said at once and then once a minute, however often it tries.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);

/// When something was last complained of, and of what.
#[derive(Default)]
pub(super) struct Complaint(Mutex<Option<(String, Instant)>>);

impl Complaint {
    /// Says it, unless the same was said a moment ago.
    pub(super) fn say(&self, error: &impl Display, what: &str) {
        if self.is_due(&format!("{what}: {error}"), Instant::now()) {
            tracing::warn!(%error, "{what}");
        }
    }

    fn is_due(&self, text: &str, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = last
            .as_ref()
            .is_some_and(|(said, at)| said == text && now.saturating_duration_since(*at) < EVERY);
        if !said {
            *last = Some((text.to_owned(), now));
        }
        !said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_complaint_is_made_once_a_minute() {
        let complaint = Complaint::default();
        let start = Instant::now();
        let due = |text, seconds| complaint.is_due(text, start + Duration::from_secs(seconds));
        assert!(due("no leader", 0));
        assert!(!due("no leader", 59));
        assert!(due("no leader", 60));
        assert!(due("no permission", 61), "another one is news");
        assert!(!due("no permission", 62));
    }
}
