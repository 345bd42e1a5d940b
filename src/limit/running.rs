//! What runs at once, exports and streams: counted, not timed.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Standing, Whose};

/// Nobody knows when one ends; asking again this often costs nothing.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How many run, by tenant and by caller.
#[derive(Default)]
pub(super) struct Running {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Who runs none is not in it.
    by_name: HashMap<Box<str>, u32>,
    all: u32,
}

/// Who wants to run one more.
pub(super) struct Entry<'a> {
    /// The caller's name, where it has a quota of its own, and whose that is.
    pub(super) caller: Option<(&'a str, Whose, NonZeroU32)>,
    pub(super) tenant: (&'a str, NonZeroU32),
    /// How many all tenants together may run. The last quarter of it is for those that run none: so those who run as many
    /// as they may keep nobody from a first one.
    pub(super) of_all: Option<NonZeroU32>,
}

/// Why no further one may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Somebody runs as many as it may.
    Of(Whose),
    /// There are as many as there may be.
    All,
}

/// Counts as one that runs until it is dropped.
#[must_use]
pub struct Permit {
    running: Arc<Running>,
    names: [Option<Box<str>>; 2],
}

impl Running {
    /// One more, unless somebody has as many as may be.
    pub(super) fn enter(self: &Arc<Self>, entry: &Entry<'_>) -> Result<Permit, Full> {
        let (tenant, of_tenant) = entry.tenant;
        let mut counts = self.counts();
        let caller = entry
            .caller
            .map(|(name, whose, quota)| (caller_name(name), whose, quota));
        if let Some((name, whose, quota)) = &caller
            && counts.of(name) >= quota.get()
        {
            return Err(Full::Of(*whose));
        }
        let of_this = counts.of(tenant);
        if of_this >= of_tenant.get() {
            return Err(Full::Of(Whose::Tenant));
        }
        let all = entry.of_all.map(|all| match of_this {
            0 => all.get(),
            _ => all.get() - all.get() / 4,
        });
        if all.is_some_and(|all| counts.all >= all) {
            return Err(Full::All);
        }
        let names = [caller.map(|(name, ..)| name), Some(tenant.into())];
        for name in names.iter().flatten() {
            *counts.by_name.entry(name.clone()).or_default() += 1;
        }
        counts.all += 1;
        Ok(Permit {
            running: self.clone(),
            names,
        })
    }

    /// What is left: of the caller's own or of the tenant's, whichever is less.
    pub(super) fn standing(&self, entry: &Entry<'_>) -> Standing {
        let counts = self.counts();
        let of = |name: &str, quota: NonZeroU32| Standing {
            quota,
            left: quota.get().saturating_sub(counts.of(name)),
            window: Duration::ZERO,
            more_in: None,
        };
        let of_tenant = of(entry.tenant.0, entry.tenant.1);
        let of_caller = entry.caller.map(|(name, _, quota)| of(&caller_name(name), quota));
        of_caller
            .filter(|of_caller| of_caller.left <= of_tenant.left)
            .unwrap_or(of_tenant)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn of(&self, name: &str) -> u32 {
        self.by_name.get(name).copied().unwrap_or(0)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.running.counts();
        counts.all = counts.all.saturating_sub(1);
        for name in self.names.iter().flatten() {
            if let Some(running) = counts.by_name.get_mut(name) {
                *running = running.saturating_sub(1);
                if *running == 0 {
                    counts.by_name.remove(name);
                }
            }
        }
    }
}

/// No tenant's name has a slash.
fn caller_name(name: &str) -> Box<str> {
    format!("caller/{name}").into()
}
