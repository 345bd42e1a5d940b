//! Exports that run at once: counted, not timed.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Spender, Standing, Whose};

/// Nobody knows when an export ends; asking again this often costs nothing.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How many run, by tenant and by key. Who runs none is not in it.
#[derive(Default)]
pub(super) struct Running {
    counts: Mutex<HashMap<Box<str>, u32>>,
}

/// Counts as one running export until it is dropped.
#[must_use]
pub struct Permit {
    running: Arc<Running>,
    names: [Option<Box<str>>; 2],
}

impl Running {
    /// One more, unless the key or the tenant has as many as it may.
    pub(super) fn enter(
        self: &Arc<Self>,
        spender: Spender<'_>,
        of_key: Option<NonZeroU32>,
        of_tenant: NonZeroU32,
    ) -> Result<Permit, Whose> {
        let names = names(spender);
        let mut counts = self.counts();
        let is_full = |name: &Option<Box<str>>, quota: Option<NonZeroU32>| {
            let running = name.as_ref().and_then(|name| counts.get(name)).copied();
            quota.is_some_and(|quota| running.unwrap_or(0) >= quota.get())
        };
        if is_full(&names[0], of_key) {
            return Err(Whose::Key);
        }
        if is_full(&names[1], Some(of_tenant)) {
            return Err(Whose::Tenant);
        }
        for name in names.iter().flatten() {
            *counts.entry(name.clone()).or_default() += 1;
        }
        Ok(Permit {
            running: self.clone(),
            names,
        })
    }

    pub(super) fn standing(
        &self,
        spender: Spender<'_>,
        of_key: Option<NonZeroU32>,
        of_tenant: NonZeroU32,
    ) -> Standing {
        let [key, tenant] = names(spender);
        let counts = self.counts();
        let of = |name: Option<&str>, quota: NonZeroU32| {
            let running = name.and_then(|name| counts.get(name)).copied().unwrap_or(0);
            Standing {
                quota,
                left: quota.get().saturating_sub(running),
                more_in: None,
            }
        };
        let of_tenant = of(tenant.as_deref(), of_tenant);
        let of_key = of_key.map(|quota| of(key.as_deref(), quota));
        of_key
            .filter(|of_key| of_key.left <= of_tenant.left)
            .unwrap_or(of_tenant)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Box<str>, u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.running.counts();
        for name in self.names.iter().flatten() {
            if let Some(running) = counts.get_mut(name) {
                *running = running.saturating_sub(1);
                if *running == 0 {
                    counts.remove(name);
                }
            }
        }
    }
}

/// Of the key and of the tenant. No tenant's name has a slash.
fn names(spender: Spender<'_>) -> [Option<Box<str>>; 2] {
    let key = spender.key.map(|id| format!("key/{id}").into_boxed_str());
    [key, Some(spender.tenant.as_str().into())]
}
