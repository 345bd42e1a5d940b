//! Waking: an append of this process is seen at once by its own readers, however long they meant to rest.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Wakes the readers of a topic after an append.
#[derive(Clone, Default)]
pub(super) struct Waker {
    state: Arc<(Mutex<u64>, Condvar)>,
}

impl Waker {
    pub(super) fn wake(&self) {
        let mut generation = self.lock();
        *generation += 1;
        self.state.1.notify_all();
    }

    pub(super) fn generation(&self) -> u64 {
        *self.lock()
    }

    /// Waits for a wake-up since `seen`, at most `within`; gives the generation to wait on next.
    pub(super) fn wait(&self, seen: u64, within: Duration) -> u64 {
        let generation = self.lock();
        let waited = self
            .state
            .1
            .wait_timeout_while(generation, within, |now| *now == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
