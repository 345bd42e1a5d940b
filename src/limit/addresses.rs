//! Requests by address, before anybody is known.
//!
//! Anybody may come from very many addresses, so nothing is kept by address: each falls by its hash, under a seed of
//! this process, into one of a fixed number of buckets. Two that share one share a rate that neither should come near.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

/// 512 KiB of them.
const BUCKETS: usize = 65_536;

/// The buckets of all addresses.
pub(super) struct Addresses<C: Clock> {
    limiter: RateLimiter<IpAddr, Slots, C, NoOpMiddleware<C::Instant>>,
    clock: C,
}

impl<C: Clock + Clone> Addresses<C> {
    pub(super) fn new(rate: NonZeroU32, clock: C) -> Self {
        let limiter = RateLimiter::new(Quota::per_second(rate), Slots::default(), clock.clone());
        Self { limiter, clock }
    }

    pub(super) fn take(&self, from: IpAddr) -> Result<(), Duration> {
        let taken = self.limiter.check_key(&network(from));
        taken.map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

/// What one caller has at hand: an address, or an IPv6 network of 64 bits.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

struct Slots {
    seed: RandomState,
    slots: Box<[InMemoryState]>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            seed: RandomState::new(),
            slots: (0..BUCKETS).map(|_| InMemoryState::default()).collect(),
        }
    }
}

impl StateStore for Slots {
    type Key = IpAddr;

    fn measure_and_replace<T, F, E>(&self, key: &IpAddr, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let slot = self.seed.hash_one(key) as usize % BUCKETS;
        self.slots[slot].measure_and_replace(&NotKeyed::NonKey, f)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn an_address_has_its_rate_and_an_ipv6_network_is_one_address() {
        let clock = FakeRelativeClock::default();
        let addresses = Addresses::new(NonZeroU32::new(2).unwrap(), clock.clone());
        let take = |text: &str| addresses.take(text.parse().unwrap());
        for same in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(take(same), Ok(()));
        }
        assert_eq!(take("192.0.2.1"), Err(Duration::from_millis(500)));
        for same in ["2001:db8::1", "2001:db8::2:3:4:5"] {
            assert_eq!(take(same), Ok(()));
        }
        assert!(take("2001:db8::6").is_err());
        clock.advance(Duration::from_secs(1));
        assert_eq!(take("192.0.2.1"), Ok(()));
        assert_eq!(
            network("2001:db8:0:1::7".parse().unwrap()).to_string(),
            "2001:db8:0:1::"
        );
    }
}
