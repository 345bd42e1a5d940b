//! How much anybody may do: requests by address, before anybody is known; then events written, searches, changes of
//! control state, and exports and streams at once, by tenant and by API key.
//!
//! Rates are token buckets ([`buckets`]) that hold one second's worth, of changes ten; what runs at once is counted
//! ([`running`]), what must wait its turn ([`fair`]) and memory ([`room`]) are shared out, and [`disk`] says how full the disk may be. All of it is of this
//! instance alone: n instances together let through n times as much. Each of a tenant's budgets stands for itself, so that
//! who exports much can still write.

pub mod addresses;
mod buckets;
pub mod disk;
pub mod fair;
pub mod room;
mod running;
mod spender;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};

use crate::control::{self, State};
use crate::meters;

use addresses::Addresses;
use buckets::Buckets;
pub use running::Permit;
use running::{Entry, Full, RETRY_AFTER, Running};
pub use spender::{Spender, Whose};

/// Rates that hold where control state says nothing else.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// Events a second that each tenant may write, on each instance.
    #[config(default = 50_000)]
    pub events_per_second: NonZeroU32,
    /// Searches a second of each tenant, on each instance: pages, single events, statistics, correlations, requests for
    /// files of background exports, and the start of a stream.
    #[config(default = 50)]
    pub searches_per_second: NonZeroU32,
    /// Changes a second of what each tenant manages and keeps (users, keys, searches, schemas, background exports, …), on
    /// each instance; up to ten seconds' worth may come at once. Admins' changes are counted apart from everybody
    /// else's, and one user or key has half of that.
    #[config(default = 10)]
    pub changes_per_second: NonZeroU32,
    /// Exports of each tenant that run at once on each instance.
    #[config(default = 4)]
    pub exports_at_once: NonZeroU32,
    /// Exports of all tenants together that run at once on each instance, each with some 48 MiB of memory. The last quarter
    /// is for tenants that run none.
    #[config(default = 32)]
    pub all_exports_at_once: NonZeroU32,
    /// Streams of each tenant that are open at once on each instance; one user or key has half of them.
    #[config(default = 2_000)]
    pub streams_at_once: NonZeroU32,
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
    /// One change of control state.
    Managing,
    /// One of the exports at once, for as long as its answer is being sent.
    Exporting,
    /// One of the streams at once, for as long as it is open.
    Streaming,
}

impl Budget {
    /// Its name in headers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Writing => "writing",
            Self::Searching => "searching",
            Self::Managing => "managing",
            Self::Exporting => "exporting",
            Self::Streaming => "streaming",
        }
    }
}

/// Something that was not let through. Nothing of it counts, neither for its tenant nor for its caller.
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
    /// As many run as may, of all tenants together.
    #[error("as many exports run as this server has room for: try again in {} ms", RETRY_AFTER.as_millis())]
    Full,
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
            Self::Full => RETRY_AFTER,
        }
    }
}

fn no_more(budget: Budget) -> &'static str {
    match budget {
        Budget::Free => "do no more",
        Budget::Writing => "write no more events",
        Budget::Searching => "search no more",
        Budget::Managing => "change no more",
        Budget::Exporting => "run no more exports at once",
        Budget::Streaming => "have no more streams open at once",
    }
}

/// How much is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// All of it: what a window lets through, or at once.
    pub quota: NonZeroU32,
    /// What is left now.
    pub left: u32,
    /// For how long the quota is, where time alone brings more.
    pub window: Duration,
    /// When there is more, where time alone brings it.
    pub more_in: Option<Duration>,
}

/// The budgets of one instance.
pub struct Limits<C: Clock = DefaultClock> {
    clock: C,
    start: C::Instant,
    config: Config,
    writing: OfWhom,
    searching: OfWhom,
    managing: OfWhom,
    exporting: Arc<Running>,
    streaming: Arc<Running>,
    addresses: Addresses<C>,
}

/// The buckets of one budget.
struct OfWhom {
    tenants: Buckets,
    callers: Buckets,
}

impl OfWhom {
    fn holding(seconds: NonZeroU32) -> Self {
        Self {
            tenants: Buckets::of(seconds),
            callers: Buckets::of(seconds),
        }
    }
}

/// How a budget is counted.
enum Counted<'a> {
    /// Over time.
    Taken(&'a OfWhom),
    /// At once.
    Held(&'a Arc<Running>),
}

/// Whoever sets something up makes many changes at once, and then none for long.
const CHANGES_OF: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

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
            writing: OfWhom::holding(NonZeroU32::MIN),
            searching: OfWhom::holding(NonZeroU32::MIN),
            managing: OfWhom::holding(CHANGES_OF),
            exporting: Arc::default(),
            streaming: Arc::default(),
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

    /// Lets so much through of what is counted over time (events, searches, changes), or says when.
    ///
    /// The caller's own rate, where it has one, is asked first, so that a key that asks for too much takes nothing from
    /// the rest of its tenant; what the tenant's then refuses, the caller has back.
    pub fn spend(
        &self,
        state: &State,
        spender: Spender<'_>,
        amount: usize,
        budget: Budget,
    ) -> Result<(), Limited> {
        let amount = u32::try_from(amount).ok().and_then(NonZeroU32::new);
        let (Some(Counted::Taken(buckets)), Some(amount)) = (self.counted(budget), amount) else {
            return Ok(());
        };
        let (now, (of_caller, of_tenant)) = (self.since_start(), self.quotas(state, spender, budget));
        let (caller, tenant) = spender.names(budget);
        let caller = caller.zip(of_caller);
        let caller = caller.map(|(name, rate)| buckets.callers.bucket(&name, rate, now));
        if let Some(caller) = &caller {
            let taken = caller.take(amount, now);
            taken.map_err(|wait| refused(budget, spender.caller(), wait))?;
        }
        let tenant = buckets.tenants.bucket(&tenant, of_tenant, now);
        tenant.take(amount, now).map_err(|wait| {
            caller.iter().for_each(|caller| caller.give_back(amount));
            refused(budget, Whose::Tenant, wait)
        })
    }

    /// Lets one more of what is counted at once (exports, streams) begin. It counts until the permit is dropped; there is
    /// none for what is counted over time.
    pub fn begin(
        &self,
        state: &State,
        spender: Spender<'_>,
        budget: Budget,
    ) -> Result<Option<Permit>, Limited> {
        match self.counted(budget) {
            Some(Counted::Held(running)) => self.hold(state, spender, budget, running).map(Some),
            _ => Ok(None),
        }
    }

    /// Lets a stream begin. It counts as open until the permit is dropped.
    pub fn stream(&self, state: &State, spender: Spender<'_>) -> Result<Permit, Limited> {
        self.hold(state, spender, Budget::Streaming, &self.streaming)
    }

    fn hold(
        &self,
        state: &State,
        spender: Spender<'_>,
        budget: Budget,
        running: &Arc<Running>,
    ) -> Result<Permit, Limited> {
        let begun = self.with_entry(state, spender, budget, |entry| running.enter(entry));
        begun.map_err(|full| match full {
            Full::Of(whose) => refused(budget, whose, RETRY_AFTER),
            Full::All => {
                metrics::counter!(meters::LIMITED, "what" => "all", "budget" => budget.as_str()).increment(1);
                Limited::Full
            }
        })
    }

    fn with_entry<T>(
        &self,
        state: &State,
        spender: Spender<'_>,
        budget: Budget,
        use_it: impl FnOnce(&Entry<'_>) -> T,
    ) -> T {
        let (caller, tenant) = self.quotas(state, spender, budget);
        let (caller_name, tenant_name) = spender.names(budget);
        let caller = caller_name.as_deref().zip(caller);
        use_it(&Entry {
            caller: caller.map(|(name, quota)| (name, spender.caller(), quota)),
            tenant: (&tenant_name, tenant),
            of_all: (budget == Budget::Exporting).then_some(self.config.all_exports_at_once),
        })
    }

    /// What is left of a budget: of the caller's own or of the tenant's, whichever is closer to its end. `None` for what
    /// is free.
    pub fn standing(&self, state: &State, spender: Spender<'_>, budget: Budget) -> Option<Standing> {
        let buckets = match self.counted(budget)? {
            Counted::Taken(buckets) => buckets,
            Counted::Held(running) => {
                return Some(self.with_entry(state, spender, budget, |entry| running.standing(entry)));
            }
        };
        let (now, (of_caller, of_tenant)) = (self.since_start(), self.quotas(state, spender, budget));
        let (caller, tenant) = spender.names(budget);
        let tenant = buckets.tenants.bucket(&tenant, of_tenant, now).standing(now);
        let caller = caller
            .zip(of_caller)
            .map(|(name, rate)| buckets.callers.bucket(&name, rate, now).standing(now));
        Some(
            caller
                .filter(|caller| caller.left <= tenant.left)
                .unwrap_or(tenant),
        )
    }

    /// `None`: not at all.
    fn counted(&self, budget: Budget) -> Option<Counted<'_>> {
        match budget {
            Budget::Free => None,
            Budget::Writing => Some(Counted::Taken(&self.writing)),
            Budget::Searching => Some(Counted::Taken(&self.searching)),
            Budget::Managing => Some(Counted::Taken(&self.managing)),
            Budget::Exporting => Some(Counted::Held(&self.exporting)),
            Budget::Streaming => Some(Counted::Held(&self.streaming)),
        }
    }

    /// How much the caller may do by itself, where that is bounded, and the tenant: as control state says of both, or, where
    /// it says nothing of a budget, as configured, and one caller half of it.
    fn quotas(
        &self,
        state: &State,
        spender: Spender<'_>,
        budget: Budget,
    ) -> (Option<NonZeroU32>, NonZeroU32) {
        type Said = fn(&control::Limits) -> Option<NonZeroU32>;
        let config = &self.config;
        let (configured, said): (_, Option<Said>) = match budget {
            Budget::Free | Budget::Writing => (config.events_per_second, Some(|of| of.events_per_second)),
            Budget::Searching => (config.searches_per_second, Some(|of| of.searches_per_second)),
            Budget::Exporting => (config.exports_at_once, Some(|of| of.exports_at_once)),
            Budget::Managing => (config.changes_per_second, None),
            Budget::Streaming => (config.streams_at_once, None),
        };
        let Some(said) = said else {
            return (NonZeroU32::new(configured.get().div_ceil(2)), configured);
        };
        let key = spender.key.and_then(|id| said(&state.key(id)?.limits));
        let tenant = state
            .tenant(spender.tenant)
            .and_then(|tenant| said(&tenant.limits));
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
