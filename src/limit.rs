//! How many events a second a tenant, or one API key, may write: token buckets, asked by whoever takes events in.
//!
//! A bucket holds one second's worth. A batch that is larger than that is taken when the bucket is full, and then
//! nothing more until all of it is paid for: so the rate holds over time whatever the batches are, and a tenant with
//! a low rate can still send a large one. Buckets are of this instance alone; n instances together let through n
//! times as much.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::control::State;
use crate::event::TenantId;
use crate::meters;

/// Rates that hold where control state says nothing else.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// Events a second that each tenant may write, on each instance.
    #[config(default = 50_000)]
    pub events_per_second: NonZeroU32,
}

/// A batch that was not let through. Nothing of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} may write no more events for now: try again in {} ms", retry_after.as_millis())]
pub struct Limited {
    /// Whose bucket was empty.
    pub what: Whose,
    /// When the same batch would be let through, if nobody else writes.
    pub retry_after: Duration,
}

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The tenant's.
    Tenant,
    /// The API key's.
    Key,
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
        })
    }
}

/// The buckets of one instance.
pub struct Limits<C: Clock = DefaultClock> {
    clock: C,
    start: C::Instant,
    default_rate: NonZeroU32,
    tenants: Buckets<C>,
    keys: Buckets<C>,
}

impl Limits {
    /// Full buckets for everybody.
    pub fn new(config: &Config) -> Self {
        Self::on_clock(config, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    /// The same on a clock of the caller's choosing.
    pub fn on_clock(config: &Config, clock: C) -> Self {
        let start = clock.now();
        let default_rate = config.events_per_second;
        Self {
            clock,
            start,
            default_rate,
            tenants: RwLock::default(),
            keys: RwLock::default(),
        }
    }

    /// Lets a batch of `events` through, or says when. A key's own rate, where it has one, is asked first, so that a
    /// key that asks for too much takes nothing from the rest of its tenant.
    pub fn admit(
        &self,
        state: &State,
        tenant: &TenantId,
        key: Option<&str>,
        events: usize,
    ) -> Result<(), Limited> {
        let key_rate = key.and_then(|id| Some((id, state.key(id)?.limits.events_per_second?)));
        if let Some((id, rate)) = key_rate {
            self.ask(&self.keys, id, rate, events)
                .map_err(|wait| limited(Whose::Key, wait))?;
        }
        let rate = state
            .tenant(tenant)
            .and_then(|tenant| tenant.limits.events_per_second);
        let rate = rate.unwrap_or(self.default_rate);
        self.ask(&self.tenants, tenant.as_str(), rate, events)
            .map_err(|wait| limited(Whose::Tenant, wait))
    }

    fn ask(&self, buckets: &Buckets<C>, name: &str, rate: NonZeroU32, events: usize) -> Result<(), Duration> {
        let Some(events) = u32::try_from(events).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        let now = self.clock.now();
        let since_start = now.duration_since(self.start).as_u64();
        self.bucket(buckets, name, rate, since_start)
            .take(events, now, since_start)
    }

    fn bucket(&self, buckets: &Buckets<C>, name: &str, rate: NonZeroU32, now: u64) -> Arc<Bucket<C>> {
        let found = buckets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned();
        if let Some(bucket) = found.filter(|bucket| bucket.rate == rate) {
            return bucket;
        }
        let mut buckets = buckets.write().unwrap_or_else(PoisonError::into_inner);
        match buckets.get(name).filter(|bucket| bucket.rate == rate) {
            Some(bucket) => bucket.clone(),
            None => {
                if buckets.len() >= BUCKETS_MAX {
                    buckets.retain(|_, bucket| !bucket.is_full(now));
                }
                let bucket = Arc::new(Bucket::new(rate, self.clock.clone()));
                buckets.insert(name.into(), bucket.clone());
                bucket
            }
        }
    }
}

/// Past this number, buckets that are full again are let go: a fresh one is the same.
const BUCKETS_MAX: usize = 4_096;
const SECOND: u64 = 1_000_000_000;

type Buckets<C> = RwLock<HashMap<Box<str>, Arc<Bucket<C>>>>;

/// One bucket. Times are nanoseconds since the buckets' start.
struct Bucket<C: Clock> {
    rate: NonZeroU32,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    /// When the last batch that was larger than the bucket will have been paid for.
    paid_at: AtomicU64,
    used_at: AtomicU64,
}

impl<C: Clock> Bucket<C> {
    fn new(rate: NonZeroU32, clock: C) -> Self {
        let limiter = RateLimiter::direct_with_clock(Quota::per_second(rate), clock);
        Self {
            rate,
            limiter,
            paid_at: AtomicU64::new(0),
            used_at: AtomicU64::new(0),
        }
    }

    fn take(&self, events: NonZeroU32, now: C::Instant, since_start: u64) -> Result<(), Duration> {
        self.used_at.store(since_start, Ordering::Relaxed);
        let unpaid = self.paid_at.load(Ordering::Acquire).saturating_sub(since_start);
        if unpaid > 0 {
            return Err(Duration::from_nanos(unpaid));
        }
        match self.limiter.check_n(events.min(self.rate)) {
            Ok(Ok(())) => {}
            Ok(Err(until)) => return Err(until.wait_time_from(now)),
            // Can't be: nothing larger than the bucket is asked for.
            Err(_) => return Err(Duration::from_secs(1)),
        }
        if events > self.rate {
            let price = u64::from(events.get()).saturating_mul(SECOND) / u64::from(self.rate.get());
            self.paid_at
                .store(since_start.saturating_add(price), Ordering::Release);
        }
        Ok(())
    }

    fn is_full(&self, now: u64) -> bool {
        let refilled = self.used_at.load(Ordering::Relaxed).saturating_add(SECOND);
        now >= refilled && now >= self.paid_at.load(Ordering::Relaxed)
    }
}

fn limited(what: Whose, retry_after: Duration) -> Limited {
    metrics::counter!(meters::LIMITED, "what" => what.to_string()).increment(1);
    Limited { what, retry_after }
}

#[cfg(test)]
mod tests;
