//! Token buckets by name.
//!
//! A bucket holds what its rate lets through in a second, or in some. A batch that is larger than that is taken when the bucket is full, and then
//! nothing more until all of it is paid for: so the rate holds over time whatever the batches are, and a tenant with
//! a low rate can still send a large one.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::Standing;

/// Past this number, buckets that are full again are let go: a fresh one is the same.
pub(super) const BUCKETS_MAX: usize = 4_096;
const SECOND: u64 = 1_000_000_000;

/// The buckets of one kind.
pub(super) struct Buckets<C: Clock> {
    pub(super) by_name: RwLock<HashMap<Box<str>, Arc<Bucket<C>>>>,
    /// Of how many seconds a bucket holds what its rate lets through.
    seconds: NonZeroU32,
}

impl<C: Clock + Clone> Buckets<C> {
    pub(super) fn of(seconds: NonZeroU32) -> Self {
        Self {
            by_name: RwLock::default(),
            seconds,
        }
    }

    /// Takes an amount out of a bucket, or says when. `now` is that of the clock, and in nanoseconds since the start.
    pub(super) fn take(
        &self,
        name: &str,
        rate: NonZeroU32,
        amount: NonZeroU32,
        clock: &C,
        now: (C::Instant, u64),
    ) -> Result<(), Duration> {
        let (now, since_start) = now;
        self.bucket(name, rate, clock, since_start)
            .take(amount, now, since_start)
    }

    /// What is in a bucket at `now`.
    pub(super) fn standing(&self, name: &str, rate: NonZeroU32, now: u64) -> Standing {
        let quota = rate.saturating_mul(self.seconds);
        let full = Standing {
            quota,
            left: quota.get(),
            window: Duration::from_secs(self.seconds.get().into()),
            more_in: Some(Duration::from_secs(1)),
        };
        self.found(name, rate).map_or(full, |bucket| bucket.standing(now))
    }

    fn found(&self, name: &str, rate: NonZeroU32) -> Option<Arc<Bucket<C>>> {
        let buckets = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        buckets.get(name).filter(|bucket| bucket.rate == rate).cloned()
    }

    fn bucket(&self, name: &str, rate: NonZeroU32, clock: &C, now: u64) -> Arc<Bucket<C>> {
        if let Some(bucket) = self.found(name, rate) {
            return bucket;
        }
        let mut buckets = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        match buckets.get(name).filter(|bucket| bucket.rate == rate) {
            Some(bucket) => bucket.clone(),
            None => {
                if buckets.len() >= BUCKETS_MAX {
                    buckets.retain(|_, bucket| !bucket.is_full(now));
                }
                let bucket = Arc::new(Bucket::new(rate, self.seconds, clock.clone()));
                buckets.insert(name.into(), bucket.clone());
                bucket
            }
        }
    }
}

/// One bucket. Times are nanoseconds since the buckets' start.
pub(super) struct Bucket<C: Clock> {
    rate: NonZeroU32,
    seconds: NonZeroU32,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>,
    /// When the last batch that was larger than the bucket will have been paid for.
    paid_at: AtomicU64,
    used_at: AtomicU64,
    /// What was left after the last take, and when that was: for people who ask, nothing is decided by it.
    left: AtomicU32,
    left_at: AtomicU64,
}

impl<C: Clock> Bucket<C> {
    fn new(rate: NonZeroU32, seconds: NonZeroU32, clock: C) -> Self {
        let all = rate.saturating_mul(seconds);
        let limiter = RateLimiter::direct_with_clock(Quota::per_second(rate).allow_burst(all), clock);
        Self {
            rate,
            seconds,
            limiter: limiter.with_middleware(),
            paid_at: AtomicU64::new(0),
            used_at: AtomicU64::new(0),
            left: AtomicU32::new(all.get()),
            left_at: AtomicU64::new(0),
        }
    }

    fn take(&self, amount: NonZeroU32, now: C::Instant, since_start: u64) -> Result<(), Duration> {
        self.used_at.store(since_start, Ordering::Relaxed);
        let unpaid = self.paid_at.load(Ordering::Acquire).saturating_sub(since_start);
        if unpaid > 0 {
            return Err(Duration::from_nanos(unpaid));
        }
        match self.limiter.check_n(amount.min(self.all())) {
            Ok(Ok(after)) => {
                self.left
                    .store(after.remaining_burst_capacity(), Ordering::Relaxed);
                self.left_at.store(since_start, Ordering::Relaxed);
            }
            Ok(Err(until)) => return Err(until.wait_time_from(now)),
            // Can't be: nothing larger than the bucket is asked for.
            Err(_) => return Err(Duration::from_secs(1)),
        }
        if amount > self.all() {
            let price = u64::from(amount.get()).saturating_mul(SECOND) / u64::from(self.rate.get());
            self.paid_at
                .store(since_start.saturating_add(price), Ordering::Release);
        }
        Ok(())
    }

    fn standing(&self, now: u64) -> Standing {
        let unpaid = self.paid_at.load(Ordering::Relaxed).saturating_sub(now);
        let since = now.saturating_sub(self.left_at.load(Ordering::Relaxed));
        let refilled = since.min(self.nanos()).saturating_mul(self.rate.get().into()) / SECOND;
        let left = u64::from(self.left.load(Ordering::Relaxed)) + refilled;
        Standing {
            quota: self.all(),
            left: match unpaid {
                0 => u32::try_from(left).unwrap_or(u32::MAX).min(self.all().get()),
                _ => 0,
            },
            window: Duration::from_nanos(self.nanos()),
            more_in: Some(Duration::from_nanos(unpaid.max(SECOND))),
        }
    }

    fn is_full(&self, now: u64) -> bool {
        let refilled = self.used_at.load(Ordering::Relaxed).saturating_add(self.nanos());
        now >= refilled && now >= self.paid_at.load(Ordering::Relaxed)
    }

    /// What it holds when it is full.
    fn all(&self) -> NonZeroU32 {
        self.rate.saturating_mul(self.seconds)
    }

    /// In how many it is full again.
    fn nanos(&self) -> u64 {
        u64::from(self.seconds.get()) * SECOND
    }
}
