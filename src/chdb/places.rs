//! How many statements there may be: as many run at once as there are lanes, some wait, and the next is told to come
//! again. And each has an id that no other has at the time.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::engine;
use super::exception::Exception;

/// As many statements run at once as there are lanes; as many wait as `queue` says, and for so long.
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    wait: Duration,
}

impl Places {
    pub(super) fn new(lanes: NonZeroUsize, queue: usize, wait: Duration) -> Self {
        Self {
            free: Arc::new(Semaphore::new(lanes.get())),
            waiting: AtomicUsize::new(0),
            queue,
            wait,
        }
    }

    /// Waits for a place; it is given back when the permit is dropped.
    pub(super) async fn take(&self) -> Result<OwnedSemaphorePermit, Exception> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = Waiting(&self.waiting, self.waiting.fetch_add(1, Ordering::Relaxed));
        if waiting.1 >= self.queue {
            return Err(overloaded("too many queries wait"));
        }
        match tokio::time::timeout(self.wait, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(engine::stopping()),
            Err(_) => Err(overloaded("no query ended in time")),
        }
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.free.close();
    }
}

struct Waiting<'a>(&'a AtomicUsize, usize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn overloaded(why: &str) -> Exception {
    let text = format!("Too many simultaneous queries: {why}. Try again in a moment");
    Exception {
        overloaded: true,
        ..Exception::new(202, "TOO_MANY_SIMULTANEOUS_QUERIES", text)
    }
}

/// The ids of statements under way.
#[derive(Clone, Default)]
pub(super) struct QueryIds(Arc<Mutex<HashSet<String>>>);

impl QueryIds {
    /// Enters one.
    pub(super) fn enter(&self, query_id: &str) -> Result<Running, Exception> {
        let new = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(query_id.to_owned());
        match new {
            true => Ok(Running {
                ids: self.clone(),
                query_id: query_id.to_owned(),
            }),
            false => Err(Exception::new(
                216,
                "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
                format!("Query with id = {query_id} is already running"),
            )),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

/// An id in use, until this is dropped.
pub(super) struct Running {
    ids: QueryIds,
    query_id: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ids
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.query_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(queue: usize, wait: Duration) -> Places {
        Places::new(NonZeroUsize::MIN, queue, wait)
    }

    #[tokio::test]
    async fn one_runs_one_waits_and_the_next_comes_again() {
        let places = places(1, Duration::from_millis(50));
        let held = places.take().await.ok();
        assert!(held.is_some());
        let (waited, refused) = tokio::join!(places.take(), places.take());
        let [waited, refused] = [waited, refused].map(|taken| taken.err().map(|exception| exception.message));
        assert!(waited.is_some_and(|message| message.contains("no query ended in time")));
        assert!(refused.is_some_and(|message| message.contains("too many queries wait")));
        let (next, ()) = tokio::join!(places.take(), async { drop(held) });
        assert!(next.is_ok());
    }

    #[tokio::test]
    async fn a_refusal_says_503() {
        let places = places(0, Duration::ZERO);
        let _held = places.take().await.ok();
        assert_eq!(
            places
                .take()
                .await
                .err()
                .map(|exception| exception.status().as_u16()),
            Some(503)
        );
        places.close();
        assert_eq!(
            places.take().await.err().map(|exception| exception.code),
            Some(202)
        );
    }

    #[test]
    fn an_id_is_free_again_when_its_query_ended() {
        let ids = QueryIds::default();
        let running = ids.enter("a").ok();
        assert_eq!(ids.enter("a").err().map(|exception| exception.code), Some(216));
        drop(running);
        assert!(ids.enter("a").is_ok());
    }
}
