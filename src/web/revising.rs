//! Revisions under way: so many at once, and those that go on when their clients were answered.
//!
//! A client waits for its revision as long as `?wait=indexed` does. Where the table is further behind, it is answered 202,
//! and somebody must still see whether the revision counts, or lost to one that stood before it and is to be made anew.
//! That goes on here, in the place that its request had, so that there are never more of them than places.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Revisions that are under way at once: each holds an event and its history, 1 MiB at most.
const AT_ONCE: usize = 64;

/// The revisions of this process. Cheap to clone.
#[derive(Clone)]
pub struct Revising {
    places: Arc<Semaphore>,
    left: TaskTracker,
    stop: CancellationToken,
}

/// A revision that is under way.
pub type Place = OwnedSemaphorePermit;

impl Default for Revising {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            left: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }
}

impl Revising {
    /// Waits for a place; `None` where there is none in time.
    pub async fn place(&self, within: Duration) -> Option<Place> {
        let place = tokio::time::timeout(within, self.places.clone().acquire_owned());
        place.await.ok()?.ok()
    }

    /// Goes on without the client, until the work is done or the server stops.
    pub fn go_on(&self, place: Place, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.left.spawn(async move {
            stop.run_until_cancelled(work).await;
            drop(place);
        });
    }

    /// Lets go of all that goes on. What is in the log stays there; only what lost to another revision is not made anew.
    pub async fn end(&self) {
        let left = self.left.len();
        if left > 0 {
            tracing::warn!(
                left,
                "revisions were answered 202 and are not searchable yet; whether they count is not looked at any more"
            );
        }
        self.stop.cancel();
        self.left.close();
        self.left.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_are_so_many_places_and_a_stop_frees_them() {
        let revising = Revising::default();
        for _ in 0..AT_ONCE {
            let place = revising.place(Duration::ZERO).await.unwrap();
            revising.go_on(place, std::future::pending());
        }
        assert!(revising.place(Duration::ZERO).await.is_none());
        revising.end().await;
        let place = revising.place(Duration::ZERO).await.unwrap();
        // One that comes while the server stops is let go of at once.
        revising.go_on(place, std::future::pending());
        revising.end().await;
    }
}
