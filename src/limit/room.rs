//! Room in memory that many share, without anybody taking all of it.
//!
//! Whoever holds room may hold half of what is left free then, and no more: alone that is a third of all, and each further
//! one has a third of what those before have left. So one who takes what it can leaves most of it, and also behind several
//! of them whoever comes next finds room for what is not large (the dynamic thresholds of switches with shared memory:
//! Choudhury and Hahne, 1998). Who finds none waits in a line of its own, and nobody else stands in it. Who asks for more
//! than can become free while it waits, because those in its line hold the rest, is refused at once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Which part of the room one holder may have while nobody else has any.
pub const SHARE: u64 = 3;
/// The most that may wait for one holder.
const WAITING_MAX: usize = 256;

/// Room for so many bytes. Cheap to clone.
#[derive(Clone)]
pub struct Room {
    shares: Arc<Mutex<Shares>>,
    wait: Duration,
}

/// Some of it, given back when dropped.
pub struct Held {
    room: Room,
    holder: Arc<str>,
    bytes: u64,
}

struct Shares {
    all: u64,
    free: u64,
    /// Of those that hold room or wait for some.
    holders: HashMap<Arc<str>, Share>,
    tickets: u64,
}

#[derive(Default)]
struct Share {
    held: u64,
    /// In order of their tickets.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    ticket: u64,
    /// What it has already, and keeps while it waits.
    has: u64,
    bytes: u64,
    asker: oneshot::Sender<Held>,
}

impl Room {
    /// For so many bytes; nobody waits for some of them longer than `wait`.
    pub fn new(bytes: u64, wait: Duration) -> Self {
        let shares = Shares {
            all: bytes,
            free: bytes,
            holders: HashMap::new(),
            tickets: 0,
        };
        Self {
            shares: Arc::new(Mutex::new(shares)),
            wait,
        }
    }

    /// Nothing of it yet, in somebody's name.
    pub fn of(&self, holder: &str) -> Held {
        self.held(holder.into(), 0)
    }

    fn held(&self, holder: Arc<str>, bytes: u64) -> Held {
        Held {
            room: self.clone(),
            holder,
            bytes,
        }
    }

    /// Frees room, and serves who waits for it.
    fn give_back(&self, holder: &Arc<str>, bytes: u64) {
        let served = self.shares().give_back(holder, bytes);
        for (holder, waiting) in served {
            // Where the asker is gone, its room comes back, is dropped, and goes to the next.
            let _ = waiting.asker.send(self.held(holder, waiting.bytes));
        }
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// How much it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes as much more as makes it `bytes`; `false` when there was no room for it in time.
    pub async fn grow_to(&mut self, bytes: u64) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return true;
        };
        let arrives = {
            let mut shares = self.room.shares();
            if shares.take(&self.holder, more) {
                self.bytes += more;
                return true;
            }
            shares.line_up(&self.holder, self.bytes, more)
        };
        let Some(arrives) = arrives else { return false };
        let _leaves = Leaves(&self.room, &self.holder);
        match tokio::time::timeout(self.room.wait, arrives).await {
            Ok(Ok(mut arrived)) => {
                self.bytes += std::mem::take(&mut arrived.bytes);
                true
            }
            _ => false,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.room.give_back(&self.holder, self.bytes);
        }
    }
}

/// Somebody in a line: who leaves it, served or not, stands in the way of those behind no longer.
struct Leaves<'a>(&'a Room, &'a Arc<str>);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.give_back(self.1, 0);
    }
}

impl Shares {
    /// Nobody passes those who wait for the same holder.
    fn take(&mut self, holder: &Arc<str>, bytes: u64) -> bool {
        let share = self.holders.get_mut(holder);
        let (held, is_first) = share.map_or((0, true), |share| {
            share.waiting.retain(|one| !one.asker.is_closed());
            (share.held, share.waiting.is_empty())
        });
        let fits = is_first && fits(held, bytes, self.free);
        if fits {
            self.free -= bytes;
            self.holders.entry(holder.clone()).or_default().held += bytes;
        }
        fits
    }

    /// Where room will arrive; `None` when too many wait for this holder already, or so much is held by those who wait
    /// that the first of them would have no room if all else were free.
    fn line_up(&mut self, holder: &Arc<str>, has: u64, bytes: u64) -> Option<oneshot::Receiver<Held>> {
        let waiting = &mut self.holders.entry(holder.clone()).or_default().waiting;
        let kept = waiting.iter().map(|one| one.has).sum::<u64>() + has;
        let first = waiting.front().map_or(bytes, |one| one.bytes);
        let may_be = fits(kept, first, self.all.saturating_sub(kept));
        (may_be && waiting.len() < WAITING_MAX).then(|| {
            let (asker, arrives) = oneshot::channel();
            self.tickets += 1;
            waiting.push_back(Waiting {
                ticket: self.tickets,
                has,
                bytes,
                asker,
            });
            arrives
        })
    }

    /// Frees room; says who has it now.
    fn give_back(&mut self, holder: &Arc<str>, bytes: u64) -> Vec<(Arc<str>, Waiting)> {
        self.free += bytes;
        if let Some(share) = self.holders.get_mut(holder) {
            share.held = share.held.saturating_sub(bytes);
        }
        self.holders.retain(|_, share| {
            share.waiting.retain(|one| !one.asker.is_closed());
            share.held > 0 || !share.waiting.is_empty()
        });
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Serves, of those whose turn it is and who have room, the one that holds the least; the longest wait among equals.
    fn next(&mut self) -> Option<(Arc<str>, Waiting)> {
        let free = self.free;
        let ready = self.holders.iter_mut().filter_map(|(holder, share)| {
            let first = share.waiting.front()?;
            let rank = (share.held, first.ticket);
            fits(share.held, first.bytes, free).then_some((rank, holder, share))
        });
        let (_, holder, share) = ready.min_by_key(|(rank, ..)| *rank)?;
        let served = share.waiting.pop_front()?;
        share.held += served.bytes;
        self.free -= served.bytes;
        Some((holder.clone(), served))
    }
}

/// Whether somebody who holds so much may have more: all of it at most half of what is free afterwards.
fn fits(held: u64, more: u64, free: u64) -> bool {
    let left = free.checked_sub(more);
    left.is_some_and(|left| held.saturating_add(more) <= left / (SHARE - 1))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn takes(held: &mut Held, bytes: u64) -> Option<bool> {
        held.grow_to(bytes).now_or_never()
    }

    #[tokio::test]
    async fn one_has_a_third_and_whoever_comes_next_still_finds_room() {
        let room = Room::new(1_200, LONG);
        let mut a = room.of("a");
        assert_eq!(takes(&mut a, 400), Some(true));
        assert_eq!(takes(&mut a, 400), Some(true), "it has that");
        assert_eq!(takes(&mut a, 401), Some(false), "nobody ever has more");
        let mut b = room.of("b");
        assert_eq!(takes(&mut b, 266), Some(true));
        assert_eq!(takes(&mut b, 270), None);
        assert_eq!(takes(&mut room.of("c"), 100), Some(true), "given back at once");
        drop((a, b));
        assert!(room.shares().holders.is_empty());
        assert_eq!(room.shares().free, 1_200);
    }

    #[tokio::test]
    async fn who_waits_keeps_nobody_else_from_room_and_who_holds_least_is_served_first() {
        let room = Room::new(1_200, LONG);
        let (mut first, mut second) = (room.of("a"), room.of("a"));
        assert_eq!(takes(&mut first, 300), Some(true));
        let mut waits = Box::pin(second.grow_to(200));
        assert!(waits.as_mut().now_or_never().is_none());
        let mut small = room.of("a");
        let mut behind = pin!(small.grow_to(10));
        assert!(
            behind.as_mut().now_or_never().is_none(),
            "nobody passes within a line"
        );
        let mut other = room.of("b");
        assert_eq!(takes(&mut other, 10), Some(true));
        drop(first);
        assert_eq!(waits.as_mut().now_or_never(), Some(true));
        assert_eq!(behind.now_or_never(), Some(true));
        drop(waits);
        assert_eq!(room.shares().free, 980, "and it is kept");
    }

    #[tokio::test]
    async fn room_on_its_way_to_who_has_just_left_is_not_lost() {
        let room = Room::new(300, LONG);
        let (mut a, mut b) = (room.of("a"), room.of("a"));
        assert_eq!(takes(&mut a, 100), Some(true));
        let mut left = Box::pin(b.grow_to(100));
        assert!(left.as_mut().now_or_never().is_none());
        drop(a);
        drop(left);
        assert_eq!(takes(&mut room.of("a"), 100), Some(true));
    }

    #[tokio::test]
    async fn who_leaves_the_head_of_a_line_lets_those_behind_have_what_there_is() {
        let room = Room::new(300, LONG);
        let mut a = room.of("a");
        assert_eq!(takes(&mut a, 80), Some(true));
        for patience in [Duration::from_millis(1), LONG] {
            let (mut large, mut small) = (room.of("a"), room.of("a"));
            large.room.wait = patience;
            let mut head = Box::pin(large.grow_to(90));
            assert!(head.as_mut().now_or_never().is_none());
            let mut behind = pin!(small.grow_to(10));
            assert!(behind.as_mut().now_or_never().is_none());
            // It gives up, or goes away.
            assert!(patience == LONG || !head.as_mut().await);
            drop(head);
            assert_eq!(behind.now_or_never(), Some(true));
        }
    }

    #[tokio::test]
    async fn those_who_hold_some_and_want_more_do_not_wait_for_one_another() {
        let room = Room::new(960, LONG);
        let mut four = [(); 4].map(|()| room.of("a"));
        for held in &mut four {
            assert_eq!(takes(held, 80), Some(true));
        }
        let [first, second, third, fourth] = &mut four;
        let mut waits = [first, second, third].map(|held| Box::pin(held.grow_to(100)));
        for one in &mut waits {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(takes(fourth, 100), Some(false), "all would wait for ever");
        drop(std::mem::replace(fourth, room.of("a")));
        for one in waits {
            assert_eq!(one.now_or_never(), Some(true));
        }
    }

    #[tokio::test]
    async fn a_wait_ends_and_a_line_is_no_longer_than_it_may_be() {
        let room = Room::new(300, Duration::ZERO);
        let mut a = room.of("a");
        assert!(a.grow_to(100).await);
        assert!(!room.of("a").grow_to(1).await);
        let room = Room { wait: LONG, ..room };
        let mut waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let mut held = room.of("a");
                Box::pin(async move { held.grow_to(1).await })
            })
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(takes(&mut room.of("a"), 1), Some(false), "one too many");
        assert_eq!(takes(&mut room.of("b"), 1), Some(true));
    }

    proptest! {
        /// Whatever some take: it is never more than there is, and somebody new finds room.
        #[test]
        fn there_is_always_some_left(wanted in prop::collection::vec((0..5u8, 1..400u64), 1..200)) {
            let room = Room::new(1_000, LONG);
            let mut held = Vec::new();
            for (holder, bytes) in wanted {
                let holder: Arc<str> = holder.to_string().into();
                if room.shares().take(&holder, bytes) {
                    held.push(room.held(holder, bytes));
                }
            }
            let taken: u64 = held.iter().map(|one| one.bytes).sum();
            prop_assert_eq!(room.shares().free, 1_000 - taken);
            // Two thirds of two thirds of …
            prop_assert!(room.shares().free >= 131);
            prop_assert_eq!(takes(&mut room.of("new"), 25), Some(true));
        }
    }
}
