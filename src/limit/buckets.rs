//! Token buckets by name.
//!
//! A bucket holds what its rate lets through in a second, or in some. A batch that is larger than that is taken when the
//! bucket is full, and then nothing more until so much of it is paid for that there is room again: so the rate holds over
//! time whatever the batches are, and a tenant with a low rate can still send a large one.
//!
//! All that is kept of a bucket is when what was taken from it will have been paid for (the generic cell rate algorithm).
//! Times are nanoseconds since the buckets' start.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::Standing;

/// Past this number, buckets that are full again are let go: a fresh one is the same.
pub(super) const BUCKETS_MAX: usize = 4_096;
const SECOND: u64 = 1_000_000_000;

/// The buckets of one kind.
pub(super) struct Buckets {
    pub(super) by_name: RwLock<HashMap<Box<str>, Arc<Bucket>>>,
    /// Of how many seconds a bucket holds what its rate lets through.
    seconds: NonZeroU32,
}

impl Buckets {
    pub(super) fn of(seconds: NonZeroU32) -> Self {
        Self {
            by_name: RwLock::default(),
            seconds,
        }
    }

    /// The bucket of this name, for as long as its rate stays the same.
    pub(super) fn bucket(&self, name: &str, rate: NonZeroU32, now: u64) -> Arc<Bucket> {
        let fits = |bucket: &&Arc<Bucket>| bucket.rate == rate;
        let buckets = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(name).filter(fits) {
            return bucket.clone();
        }
        drop(buckets);
        let mut buckets = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(name).filter(fits) {
            return bucket.clone();
        }
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| bucket.paid_at.load(Relaxed) > now);
        }
        let bucket = Arc::new(Bucket {
            rate,
            seconds: self.seconds,
            paid_at: AtomicU64::new(0),
        });
        buckets.insert(name.into(), bucket.clone());
        bucket
    }
}

/// One bucket.
pub(super) struct Bucket {
    rate: NonZeroU32,
    seconds: NonZeroU32,
    /// When all that was taken will have been paid for.
    paid_at: AtomicU64,
}

impl Bucket {
    /// Takes an amount, or says when.
    pub(super) fn take(&self, amount: NonZeroU32, now: u64) -> Result<(), Duration> {
        let price = self.price(amount);
        let room = price.min(self.nanos());
        let taken = self.paid_at.fetch_update(Relaxed, Relaxed, |paid_at| {
            let from = paid_at.max(now);
            (from - now + room <= self.nanos()).then(|| from.saturating_add(price))
        });
        let wait = |paid_at: u64| Duration::from_nanos(paid_at.saturating_sub(now) + room - self.nanos());
        taken.map(drop).map_err(wait)
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&self, amount: NonZeroU32) {
        let price = self.price(amount);
        let less = |paid_at: u64| Some(paid_at.saturating_sub(price));
        let _ = self.paid_at.fetch_update(Relaxed, Relaxed, less);
    }

    /// What is in it.
    pub(super) fn standing(&self, now: u64) -> Standing {
        let quota = self.rate.saturating_mul(self.seconds);
        let unpaid = self.paid_at.load(Relaxed).saturating_sub(now);
        let taken = u128::from(unpaid) * u128::from(self.rate.get());
        let taken = u32::try_from(taken.div_ceil(u128::from(SECOND))).unwrap_or(u32::MAX);
        Standing {
            quota,
            left: quota.get().saturating_sub(taken),
            window: Duration::from_nanos(self.nanos()),
            more_in: Some(Duration::from_nanos(
                unpaid.saturating_sub(self.nanos()).max(SECOND),
            )),
        }
    }

    /// How long it takes to pay for so much: under 5e18.
    fn price(&self, amount: NonZeroU32) -> u64 {
        u64::from(amount.get()) * SECOND / u64::from(self.rate.get())
    }

    /// In how many it is full again.
    fn nanos(&self) -> u64 {
        u64::from(self.seconds.get()) * SECOND
    }
}
