//! Background exports: asked for, written to a file on this instance, fetched, and gone after a while.
//!
//! That an export was asked for, who works on it and where it stands is control state, so every instance can tell. The
//! file lies where it was made. [`order`] is what was asked for, with what its asker may see; [`work`] begins what is to
//! be done, by tenants' turns (`turns`), and takes away what is over; `job` writes one file; [`progress`] is how far each
//! has come.

mod job;
pub mod order;
pub mod progress;
mod turns;
mod work;

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::control::Control;
use crate::event::TenantId;
use crate::limit::disk::Disk;
use crate::query::Queries;
use progress::Progress;
use turns::Turns;

/// The section `exports` of the configuration.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// Hours for which the file of a background export can be fetched.
    #[config(default = 72)]
    pub keep_hours: NonZeroU32,

    /// Background exports that each instance writes at once, of one tenant half of them (rounded up); further ones wait.
    #[config(default = 2)]
    pub at_once: NonZeroUsize,

    /// Percent of the disk that must be free for background exports to be written: more than events need (5), so that
    /// files are not what stops events from being taken.
    #[config(default = 15.0)]
    pub free_percent: f64,
}

/// The exports of this instance. Cheap to clone.
#[derive(Clone)]
pub struct Exports(Arc<Inner>);

/// What it works with.
pub struct Parts {
    /// Who asked for what.
    pub control: Control,
    /// The events.
    pub queries: Queries,
    /// Now, and fresh ids.
    pub clock: Arc<dyn Clock>,
    /// Where the files lie.
    pub dir: PathBuf,
    /// The name of this instance, the same after a restart.
    pub instance: String,
    /// What they lie on.
    pub disk: Disk,
    /// This module's configuration.
    pub config: Config,
}

struct Inner {
    parts: Parts,
    running: Mutex<HashMap<Arc<str>, Running>>,
    turns: Mutex<Turns>,
}

/// An export that is being written.
#[derive(Clone)]
struct Running {
    tenant: TenantId,
    progress: Arc<Progress>,
    ends: CancellationToken,
}

impl Exports {
    /// Nothing is done until [`Exports::run`].
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            running: Mutex::default(),
            turns: Mutex::default(),
        }))
    }

    /// The name of this instance.
    pub fn instance(&self) -> &str {
        &self.0.parts.instance
    }

    /// Hours for which a file is kept.
    pub fn keep_hours(&self) -> u32 {
        self.0.parts.config.keep_hours.get()
    }

    /// How far an export has come that is being written here.
    pub fn progress(&self, id: &str) -> Option<Arc<Progress>> {
        self.running().get(id).map(|running| running.progress.clone())
    }

    /// Where the file of an export lies, when it was made here.
    pub fn file(&self, id: &str) -> PathBuf {
        self.0.parts.dir.join(id)
    }

    /// A sentence when there is no room for further files.
    pub fn disk_problem(&self) -> Option<String> {
        let parts = &self.0.parts;
        parts.disk.problem(parts.config.free_percent)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Arc<str>, Running>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
