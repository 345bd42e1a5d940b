//! Revisions under way: so many at once, shared out among tenants, those of one event one after another, and those that go on when their clients
//! were answered.
//!
//! Each is a task of its own, so that a client that goes away takes nothing with it: what its revision passed over or
//! lost to is still seen. A client waits as long as `?wait=indexed` does; where the table is further behind, it is
//! answered 202 and the task goes on, in the room that its request had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as Turns, OwnedMutexGuard};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::event::TenantId;
use crate::limit::room::{Held, Room};

/// What revisions under way may take altogether. One that waits for its row holds an event and its history.
const BYTES_MAX: u64 = 64 << 20;
const BYTES_EACH: u64 = 1 << 20;
/// How long one waits for room.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

/// The revisions of this process. Cheap to clone.
#[derive(Clone)]
pub struct Revising {
    room: Room,
    events: Arc<Mutex<HashMap<Name, Weak<Turns<()>>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

type Name = (TenantId, Uuid);

/// Room for a revision, and, as a rule, the turn to revise this event.
pub struct Place {
    _room: Held,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Default for Revising {
    fn default() -> Self {
        Self {
            room: Room::new(BYTES_MAX, ROOM_WITHIN),
            events: Arc::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }
}

impl Revising {
    /// Waits for the turn to revise an event, half the time at most, and then for room; `None` where there is none.
    ///
    /// Those who wait for one event take no room, so they keep nobody from another one. A turn spares its holder being
    /// overtaken; without it, and beside another server, the ranks of revisions decide ([`crate::event::revision`]).
    pub async fn place(&self, tenant: &TenantId, event: Uuid, within: Duration) -> Option<Place> {
        let turns = self.turns((tenant.clone(), event));
        let turn = timeout(within / 2, turns.lock_owned()).await.ok();
        let mut room = self.room.of(tenant.as_str());
        room.grow_to(BYTES_EACH).await.then_some(Place {
            _room: room,
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn place(revising: &Revising, event: u128, within: Duration) -> Option<Place> {
        let tenant = TenantId::default_tenant();
        revising.place(&tenant, Uuid::from_u128(event), within).await
    }

    fn small() -> Revising {
        Revising {
            room: Room::new(6 * BYTES_EACH, Duration::ZERO),
            ..Revising::default()
        }
    }

    #[tokio::test]
    async fn a_tenant_has_a_share_of_the_room_and_a_stop_frees_it() {
        let revising = small();
        for n in 0..2 {
            let place = place(&revising, n, Duration::ZERO).await.unwrap();
            let going_on = revising.clone();
            revising.run(place, async move {
                going_on.go_on(std::future::pending::<()>()).await;
            });
        }
        assert!(place(&revising, 9, Duration::ZERO).await.is_none());
        let other = TenantId::parse("other").unwrap();
        let theirs = revising.place(&other, Uuid::nil(), Duration::ZERO).await;
        assert!(theirs.is_some());
        revising.end().await;
        assert!(place(&revising, 9, Duration::ZERO).await.is_some());
        assert_eq!(revising.go_on(std::future::pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn those_of_one_event_take_turns_and_wait_for_half_the_time() {
        let revising = Revising::default();
        let first = place(&revising, 1, Duration::ZERO).await.unwrap();
        assert!(first._turn.is_some());
        let elsewhere = place(&revising, 2, Duration::ZERO).await.unwrap();
        assert!(elsewhere._turn.is_some());
        let second = place(&revising, 1, Duration::from_millis(20)).await.unwrap();
        assert!(second._turn.is_none());
        let hour = Duration::from_secs(3_600);
        let (third, ()) = tokio::join!(place(&revising, 1, hour), async { drop(first) });
        assert!(third.as_ref().unwrap()._turn.is_some());
        drop((second, third, elsewhere));
        assert!(place(&revising, 3, Duration::ZERO).await.is_some());
        assert_eq!(revising.events.lock().unwrap().len(), 1);
    }
}
