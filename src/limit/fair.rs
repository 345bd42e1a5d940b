//! So many at once, shared out among tenants.
//!
//! Who asks gets a free permit. Where none is free, one waits in line, and the next permit goes to the tenant that holds
//! the fewest, within it to who has waited longest: whoever asks for much gets all that nobody else wants, and no more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::event::TenantId;

/// The most that may wait of one tenant; at a few milliseconds each, they are through long before they give up.
const WAITING_MAX: usize = 256;

/// The permits. Cheap to clone.
#[derive(Clone)]
pub struct Permits {
    shares: Arc<Mutex<Shares>>,
    wait: Duration,
}

/// One of them, given back when dropped.
pub struct Permit {
    shares: Arc<Mutex<Shares>>,
    tenant: TenantId,
}

struct Shares {
    free: usize,
    /// Of those that hold permits or wait for one. While somebody waits, no permit is free.
    tenants: HashMap<TenantId, Share>,
    tickets: u64,
}

#[derive(Default)]
struct Share {
    held: usize,
    /// In order of their tickets.
    waiting: VecDeque<(u64, Asker)>,
}

type Asker = oneshot::Sender<Permit>;

impl Permits {
    /// So many, each asked for no longer than `wait`.
    pub fn new(count: usize, wait: Duration) -> Self {
        let shares = Shares {
            free: count.max(1),
            tenants: HashMap::new(),
            tickets: 0,
        };
        Self {
            shares: Arc::new(Mutex::new(shares)),
            wait,
        }
    }

    /// A permit for somebody of this tenant; `None` when none came in time.
    pub async fn take(&self, tenant: &TenantId) -> Option<Permit> {
        let permit = {
            let mut shares = held(&self.shares);
            if shares.take(tenant) {
                let (shares, tenant) = (self.shares.clone(), tenant.clone());
                return Some(Permit { shares, tenant });
            }
            shares.line_up(tenant)?
        };
        tokio::time::timeout(self.wait, permit).await.ok()?.ok()
    }
}

impl Permit {
    /// Whether somebody waits for one: who works for long may give it back on the way, and line up again.
    pub fn is_wanted(&self) -> bool {
        let shares = held(&self.shares);
        let mut waiting = shares.tenants.values().flat_map(|share| &share.waiting);
        waiting.any(|(_, asker)| !asker.is_closed())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let next = held(&self.shares).give_back(&self.tenant);
        if let Some((tenant, asker)) = next {
            let shares = self.shares.clone();
            // Where the asker is gone, the permit comes back, is dropped, and goes to the next.
            let _ = asker.send(Self { shares, tenant });
        }
    }
}

impl Shares {
    fn take(&mut self, tenant: &TenantId) -> bool {
        let free = self.free > 0;
        if free {
            self.free -= 1;
            self.tenants.entry(tenant.clone()).or_default().held += 1;
        }
        free
    }

    /// Where a permit will arrive; `None` when too many of the tenant wait already.
    fn line_up(&mut self, tenant: &TenantId) -> Option<oneshot::Receiver<Permit>> {
        let waiting = &mut self.tenants.entry(tenant.clone()).or_default().waiting;
        if waiting.len() >= WAITING_MAX {
            waiting.retain(|(_, asker)| !asker.is_closed());
        }
        (waiting.len() < WAITING_MAX).then(|| {
            let (asker, permit) = oneshot::channel();
            self.tickets += 1;
            waiting.push_back((self.tickets, asker));
            permit
        })
    }

    /// Frees a permit of this tenant; says whose it is now.
    fn give_back(&mut self, tenant: &TenantId) -> Option<(TenantId, Asker)> {
        self.free += 1;
        if let Some(share) = self.tenants.get_mut(tenant) {
            share.held = share.held.saturating_sub(1);
        }
        self.tenants.retain(|_, share| {
            share.waiting.retain(|(_, asker)| !asker.is_closed());
            share.held > 0 || !share.waiting.is_empty()
        });
        let waiting = self.tenants.iter_mut();
        let next = waiting.filter_map(|(tenant, share)| Some((share.rank()?, tenant, share)));
        let (_, tenant, share) = next.min_by_key(|(rank, ..)| *rank)?;
        let (_, asker) = share.waiting.pop_front()?;
        share.held += 1;
        self.free -= 1;
        Some((tenant.clone(), asker))
    }
}

impl Share {
    /// The lowest is served next; `None` when nobody waits.
    fn rank(&self) -> Option<(usize, u64)> {
        self.waiting.front().map(|(ticket, _)| (self.held, *ticket))
    }
}

fn held(shares: &Mutex<Shares>) -> MutexGuard<'_, Shares> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn a_free_permit_goes_to_the_tenant_that_holds_the_fewest() {
        let (permits, a, b) = (Permits::new(2, LONG), tenant("a"), tenant("b"));
        let (first, second) = (permits.take(&a).await.unwrap(), permits.take(&a).await);
        assert!(!first.is_wanted());
        let (mut third, mut other) = (pin!(permits.take(&a)), pin!(permits.take(&b)));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(other.as_mut().now_or_never().is_none());
        assert!(first.is_wanted());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none(), "a has one, b none");
        let other = other.now_or_never().expect("b's turn");
        drop(second);
        assert!(third.now_or_never().flatten().is_some(), "and now a's");
        drop(other);
        assert!(held(&permits.shares).tenants.is_empty());
    }

    #[tokio::test]
    async fn within_a_tenant_the_longest_wait_is_served_first_and_who_left_is_passed_over() {
        let (permits, a) = (Permits::new(1, LONG), tenant("a"));
        let permit = permits.take(&a).await;
        let mut left = Box::pin(permits.take(&a));
        let (mut second, mut third) = (pin!(permits.take(&a)), pin!(permits.take(&a)));
        assert!(left.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        drop(left);
        drop(permit);
        assert!(third.as_mut().now_or_never().is_none());
        let second = second.now_or_never().flatten();
        assert!(second.is_some());
        drop(second);
        assert!(third.now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn a_permit_on_its_way_to_who_has_just_left_is_not_lost() {
        let (permits, a) = (Permits::new(1, LONG), tenant("a"));
        let permit = permits.take(&a).await;
        let mut left = Box::pin(permits.take(&a));
        assert!(left.as_mut().now_or_never().is_none());
        drop(permit);
        drop(left);
        assert!(permits.take(&a).now_or_never().flatten().is_some());
    }

    #[tokio::test]
    async fn a_wait_ends_and_a_line_is_no_longer_than_it_may_be() {
        let (permits, a, b) = (Permits::new(1, Duration::ZERO), tenant("a"), tenant("b"));
        let _permit = permits.take(&a).await;
        assert!(permits.take(&b).await.is_none());
        let permits = Permits {
            wait: LONG,
            ..permits
        };
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(permits.take(&a))).collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert!(
            matches!(permits.take(&a).now_or_never(), Some(None)),
            "one too many"
        );
        assert!(
            permits.take(&b).now_or_never().is_none(),
            "b has a line of its own"
        );
        waiting.clear();
        assert!(permits.take(&a).now_or_never().is_none(), "there is room again");
    }
}
