//! Topics that the brokers lately did not let this user write to: whoever asks whether the log is well is told.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::LogError;
use super::queue::Outcome;

/// How long a refusal counts when nobody tries again: the permission may be there by now, and an instance that is not
/// ready may get nothing to try with.
const COUNTS_FOR: Duration = Duration::from_secs(30);

/// The last refusal of each topic that has not been written to since.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<String, Instant>>);

impl Refusals {
    /// Notes how a batch fared.
    pub(super) fn note(&self, topic: &str, outcomes: &[Outcome], now: Instant) {
        let refused = |outcome: &Outcome| matches!(outcome, Err(LogError::Misconfigured(_)));
        if outcomes.iter().any(refused) {
            self.lock().insert(topic.to_owned(), now);
        } else if outcomes.iter().any(Result::is_ok) {
            self.lock().remove(topic);
        }
    }

    /// A topic that was refused lately.
    pub(super) fn lately(&self, now: Instant) -> Option<String> {
        let counts = |at: &Instant| now.saturating_duration_since(*at) < COUNTS_FOR;
        let topics = self.lock();
        let mut lately: Vec<_> = topics.iter().filter(|(_, at)| counts(at)).collect();
        lately.sort_unstable();
        lately.first().map(|(topic, _)| (*topic).clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Position;
    use super::*;

    #[test]
    fn a_refusal_counts_until_a_record_is_taken_or_a_while_is_over() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let taken = || {
            Ok(Position {
                partition: 0,
                offset: 0,
            })
        };
        let refused = || Err(LogError::Misconfigured("no permission".into()));
        refusals.note("audit.events", &[taken(), refused()], start);
        assert_eq!(refusals.lately(after(29)).as_deref(), Some("audit.events"));
        assert_eq!(refusals.lately(after(30)), None);
        refusals.note("audit.events", &[refused()], after(40));
        refusals.note("audit.control", &[taken()], after(41));
        refusals.note("audit.events", &[Err(LogError::Full)], after(41));
        assert_eq!(refusals.lately(after(42)).as_deref(), Some("audit.events"));
        refusals.note("audit.events", &[taken()], after(43));
        assert_eq!(refusals.lately(after(43)), None);
    }
}
