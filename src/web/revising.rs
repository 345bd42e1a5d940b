//! Revisions under way: so many at once, those of one event one after another, and those that go on when their clients
//! were answered.
//!
//! Each is a task of its own, so that a client that goes away takes nothing with it: what its revision passed over or
//! lost to is still seen. A client waits as long as `?wait=indexed` does; where the table is further behind, it is
//! answered 202 and the task goes on in its place, so that there are never more of them than places.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as Turns, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::event::TenantId;

/// Revisions that are under way at once: each holds an event and its history, 1 MiB at most.
const AT_ONCE: usize = 64;

/// The revisions of this process. Cheap to clone.
#[derive(Clone)]
pub struct Revising {
    places: Arc<Semaphore>,
    events: Arc<Mutex<HashMap<Name, Weak<Turns<()>>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A tenant and the name that an event goes by, in one spelling.
type Name = (TenantId, String);

/// One of the places, and, as a rule, the turn to revise this event.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Default for Revising {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            events: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }
}

impl Revising {
    /// Waits for the turn to revise an event, half the time at most, and then for a place; `None` where there is none.
    ///
    /// Those who wait for one event take no place, so they keep nobody from another one. A turn spares its holder being
    /// overtaken; without it, and beside another server, the ranks of revisions decide ([`crate::event::revision`]).
    pub async fn place(&self, tenant: &TenantId, event: &str, within: Duration) -> Option<Place> {
        let turns = self.turns((tenant.clone(), spelled(event)));
        let turn = timeout(within / 2, turns.lock_owned()).await.ok();
        let permit = timeout(within / 2, self.places.clone().acquire_owned()).await;
        Some(Place {
            _permit: permit.ok()?.ok()?,
            _turn: turn,
        })
    }

    fn turns(&self, name: Name) -> Arc<Turns<()>> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.retain(|_, turns| turns.strong_count() > 0);
        if let Some(turns) = events.get(&name).and_then(Weak::upgrade) {
            return turns;
        }
        let turns = Arc::default();
        events.insert(name, Arc::downgrade(&turns));
        turns
    }

    /// Runs what is to be done in a place, whether or not anybody waits for it.
    pub fn run(&self, place: Place, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            work.await;
            drop(place);
        });
    }

    /// Goes on without a client, until the work is done or the server stops (`None`).
    pub async fn go_on<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(work).await
    }

    /// Waits for those that clients wait for, and lets go of all others. What is in the log stays there; only what lost
    /// to another revision is not made anew.
    pub async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn spelled(event: &str) -> String {
    Uuid::try_parse(event).map_or_else(|_| event.to_owned(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn place(revising: &Revising, event: &str, within: Duration) -> Option<Place> {
        revising.place(&TenantId::default_tenant(), event, within).await
    }

    #[tokio::test]
    async fn there_are_so_many_places_and_a_stop_frees_them() {
        let revising = Revising::default();
        for n in 0..AT_ONCE {
            let place = place(&revising, &n.to_string(), Duration::ZERO).await.unwrap();
            let going_on = revising.clone();
            revising.run(place, async move {
                going_on.go_on(std::future::pending::<()>()).await;
            });
        }
        assert!(place(&revising, "more", Duration::ZERO).await.is_none());
        revising.end().await;
        assert!(place(&revising, "more", Duration::ZERO).await.is_some());
        assert_eq!(revising.go_on(std::future::pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn those_of_one_event_take_turns_and_wait_for_half_the_time() {
        let (revising, id) = (Revising::default(), Uuid::from_u128(0xAB).to_string());
        let first = place(&revising, &id, Duration::ZERO).await.unwrap();
        assert!(first._turn.is_some());
        let elsewhere = place(&revising, "another", Duration::ZERO).await.unwrap();
        assert!(elsewhere._turn.is_some());
        let spelled_so = id.to_uppercase();
        let second = place(&revising, &spelled_so, Duration::from_millis(20))
            .await
            .unwrap();
        assert!(second._turn.is_none());
        let hour = Duration::from_secs(3_600);
        let (third, ()) = tokio::join!(place(&revising, &spelled_so, hour), async { drop(first) });
        assert!(third.as_ref().unwrap()._turn.is_some());
        drop((second, third, elsewhere));
        assert!(place(&revising, "new", Duration::ZERO).await.is_some());
        assert_eq!(revising.events.lock().unwrap().len(), 1);
    }
}
