//! How much anybody may do: requests by address, before anybody is known; then events written, searches, and exports at
//! once, by tenant and by API key.
//!
//! Rates are token buckets ([`buckets`]) that hold one second's worth; exports at once are counted ([`exports`]). All of
//! it is of this instance alone: n instances together let through n times as much. Each of a tenant's budgets stands for
//! itself, so that who exports much can still write.

pub mod addresses;
mod buckets;
pub mod exports;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};

use crate::control::{self, State};
use crate::event::TenantId;
use crate::meters;

use addresses::Addresses;
use buckets::Buckets;
pub use exports::Permit;
use exports::Running;

/// Rates that hold where control state says nothing else.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// Events a second that each tenant may write, on each instance.
    #[config(default = 50_000)]
    pub events_per_second: NonZeroU32,
    /// Searches a second of each tenant, on each instance: pages, single events, statistics, correlations, and the
    /// start of a stream.
    #[config(default = 50)]
    pub searches_per_second: NonZeroU32,
    /// Exports of each tenant that run at once on each instance.
    #[config(default = 4)]
    pub exports_at_once: NonZeroU32,
    /// Requests a second from one address (of IPv6, one network of 64 bits), on each instance, whoever sends them.
    /// Callers on this machine are not counted.
    #[config(default = 2_000)]
    pub requests_per_second_by_address: NonZeroU32,
}

/// What a request spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Budget {
    /// Nothing that is counted by tenant.
    Free,
    /// Events, as many as it writes.
    Writing,
    /// One search.
    Searching,
    /// One of the exports at once, for as long as its answer is being sent.
    Exporting,
}

impl Budget {
    /// Its name in headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Writing => "writing",
            Self::Searching => "searching",
            Self::Exporting => "exporting",
        }
    }
}

/// Something that was not let through. Nothing of it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// A budget is spent.
    #[error("the {whose} may {} for now: try again in {} ms", no_more(*budget), retry_after.as_millis())]
    Spent {
        /// Which.
        budget: Budget,
        /// Whose it is.
        whose: Whose,
        /// When the same would be let through, if nobody else comes.
        retry_after: Duration,
    },
    /// Too many requests come from one address.
    #[error("too many requests come from this address: try again in {} ms", retry_after.as_millis())]
    Address {
        /// When the next would be let through.
        retry_after: Duration,
    },
}

impl Limited {
    /// When to try again.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Spent { retry_after, .. } | Self::Address { retry_after } => *retry_after,
        }
    }
}

fn no_more(budget: Budget) -> &'static str {
    match budget {
        Budget::Free => "do no more",
        Budget::Writing => "write no more events",
        Budget::Searching => "search no more",
        Budget::Exporting => "run no more exports at once",
    }
}

/// Whose budget.
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

/// How much is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// All of it: a second's worth, or at once.
    pub quota: NonZeroU32,
    /// What is left now.
    pub left: u32,
    /// When there is more, where time alone brings it.
    pub more_in: Option<Duration>,
}

/// Who spends: a tenant, by one of its keys or not.
#[derive(Clone, Copy, Debug)]
pub struct Spender<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The API key it comes with.
    pub key: Option<&'a str>,
}

/// The budgets of one instance.
pub struct Limits<C: Clock = DefaultClock> {
    clock: C,
    start: C::Instant,
    config: Config,
    writing: OfWhom<C>,
    searching: OfWhom<C>,
    exporting: Arc<Running>,
    addresses: Addresses<C>,
}

/// The buckets of one budget.
struct OfWhom<C: Clock> {
    tenants: Buckets<C>,
    keys: Buckets<C>,
}

impl<C: Clock> Default for OfWhom<C> {
    fn default() -> Self {
        Self {
            tenants: Buckets::default(),
            keys: Buckets::default(),
        }
    }
}

impl Limits {
    /// Full budgets for everybody.
    pub fn new(config: &Config) -> Self {
        Self::on_clock(config, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    /// The same on a clock of the caller's choosing.
    pub fn on_clock(config: &Config, clock: C) -> Self {
        Self {
            start: clock.now(),
            config: config.clone(),
            writing: OfWhom::default(),
            searching: OfWhom::default(),
            exporting: Arc::default(),
            addresses: Addresses::new(config.requests_per_second_by_address, clock.clone()),
            clock,
        }
    }

    /// Lets a request from an address through, or says when.
    pub fn request(&self, from: IpAddr) -> Result<(), Limited> {
        self.addresses.take(from).map_err(|retry_after| {
            metrics::counter!(meters::LIMITED, "what" => "address", "budget" => "requests").increment(1);
            Limited::Address { retry_after }
        })
    }

    /// Lets a batch of `events` through, or says when.
    pub fn write(&self, state: &State, spender: Spender<'_>, events: usize) -> Result<(), Limited> {
        self.spend(state, spender, Budget::Writing, events)
    }

    /// Lets a search through, or says when.
    pub fn search(&self, state: &State, spender: Spender<'_>) -> Result<(), Limited> {
        self.spend(state, spender, Budget::Searching, 1)
    }

    /// Lets an export begin. It counts as running until the permit is dropped.
    pub fn export(&self, state: &State, spender: Spender<'_>) -> Result<Permit, Limited> {
        let (key, tenant) = self.quotas(state, spender, Budget::Exporting);
        self.exporting
            .enter(spender, key, tenant)
            .map_err(|whose| refused(Budget::Exporting, whose, exports::RETRY_AFTER))
    }

    /// What is left of a budget: of the key's own or of the tenant's, whichever is closer to its end. `None` for what
    /// is free.
    pub fn standing(&self, state: &State, spender: Spender<'_>, budget: Budget) -> Option<Standing> {
        let (key, tenant) = self.quotas(state, spender, budget);
        let buckets = match budget {
            Budget::Free => return None,
            Budget::Exporting => return Some(self.exporting.standing(spender, key, tenant)),
            Budget::Writing => &self.writing,
            Budget::Searching => &self.searching,
        };
        let now = self.since_start();
        let of_tenant = buckets.tenants.standing(spender.tenant.as_str(), tenant, now);
        let of_key = key
            .zip(spender.key)
            .map(|(quota, id)| buckets.keys.standing(id, quota, now));
        Some(
            of_key
                .filter(|of_key| of_key.left <= of_tenant.left)
                .unwrap_or(of_tenant),
        )
    }

    /// A key's own rate, where it has one, is asked first, so that a key that asks for too much takes nothing from the
    /// rest of its tenant.
    fn spend(
        &self,
        state: &State,
        spender: Spender<'_>,
        budget: Budget,
        amount: usize,
    ) -> Result<(), Limited> {
        let buckets = match budget {
            Budget::Searching => &self.searching,
            _ => &self.writing,
        };
        let Some(amount) = u32::try_from(amount).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        let (key, tenant) = self.quotas(state, spender, budget);
        let now = (self.clock.now(), self.since_start());
        if let Some((rate, id)) = key.zip(spender.key) {
            let taken = buckets.keys.take(id, rate, amount, &self.clock, now);
            taken.map_err(|wait| refused(budget, Whose::Key, wait))?;
        }
        let taken = buckets
            .tenants
            .take(spender.tenant.as_str(), tenant, amount, &self.clock, now);
        taken.map_err(|wait| refused(budget, Whose::Tenant, wait))
    }

    /// How much the key may do, where that is said of it, and the tenant.
    fn quotas(
        &self,
        state: &State,
        spender: Spender<'_>,
        budget: Budget,
    ) -> (Option<NonZeroU32>, NonZeroU32) {
        let of = |limits: &control::Limits| match budget {
            Budget::Searching => limits.searches_per_second,
            Budget::Exporting => limits.exports_at_once,
            Budget::Free | Budget::Writing => limits.events_per_second,
        };
        let configured = match budget {
            Budget::Searching => self.config.searches_per_second,
            Budget::Exporting => self.config.exports_at_once,
            Budget::Free | Budget::Writing => self.config.events_per_second,
        };
        let key = spender.key.and_then(|id| of(&state.key(id)?.limits));
        let tenant = state.tenant(spender.tenant).and_then(|tenant| of(&tenant.limits));
        (key, tenant.unwrap_or(configured))
    }

    /// Nanoseconds.
    fn since_start(&self) -> u64 {
        self.clock.now().duration_since(self.start).as_u64()
    }
}

fn refused(budget: Budget, whose: Whose, retry_after: Duration) -> Limited {
    let what = whose.to_string();
    metrics::counter!(meters::LIMITED, "what" => what, "budget" => budget.as_str()).increment(1);
    Limited::Spent {
        budget,
        whose,
        retry_after,
    }
}

#[cfg(test)]
mod tests;
