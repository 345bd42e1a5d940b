//! What handlers work with.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;

use super::{ApiError, Config};
use crate::auth::Auth;
use crate::clock::Clock;
use crate::control::Control;
use crate::ingest::Ingest;
use crate::log::Log;
use crate::query::Queries;
use crate::store::Store;

/// Handles on everything below. Cloned for every layer of every request, so it is one pointer.
#[derive(Clone)]
pub struct AppState(Arc<Services>);

impl Deref for AppState {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0
    }
}

impl From<Services> for AppState {
    fn from(services: Services) -> Self {
        Self(Arc::new(services))
    }
}

/// Everything below.
pub struct Services {
    /// The one door for events.
    pub ingest: Ingest,
    /// Questions about events.
    pub queries: Queries,
    /// Credentials.
    pub auth: Auth,
    /// Tenants, users and keys.
    pub control: Control,
    /// Now, and fresh ids.
    pub clock: Arc<dyn Clock>,
    /// What `/readyz` and `/metrics` ask.
    pub health: Health,
    /// This module's configuration.
    pub config: Config,
}

/// What is asked when somebody wants to know how things are.
pub struct Health {
    /// The log.
    pub log: Log,
    /// ClickHouse.
    pub store: Store,
    /// The metrics as text.
    pub metrics: Option<PrometheusHandle>,
    /// Where data is written, when that is this machine's disk.
    pub data_dir: Option<PathBuf>,
    /// Percent of that disk which is free.
    pub free_percent: fn(&std::path::Path) -> std::io::Result<f64>,
}

/// Under this much free disk nothing more is taken.
pub const FREE_PERCENT_MIN: f64 = 5.0;

impl Health {
    /// A sentence when the disk is nearly full.
    pub fn disk_problem(&self) -> Option<String> {
        let free = (self.free_percent)(self.data_dir.as_deref()?).ok()?;
        (free < FREE_PERCENT_MIN).then(|| {
            format!("{free:.1} % of the disk is free, at least {FREE_PERCENT_MIN} % is needed: make room in the data directory's file system")
        })
    }
}

impl Services {
    /// That something may be written now: control state is fresh, the log answers and the disk has room.
    pub fn admit_write(&self) -> Result<(), ApiError> {
        self.auth.admit_write().map_err(|_| {
            ApiError::unavailable(
                "log_unavailable",
                "The log can't be reached, so nothing can be taken now.",
                Duration::from_secs(2),
            )
        })?;
        match self.health.disk_problem() {
            None => Ok(()),
            Some(problem) => Err(ApiError::unavailable(
                "disk_full",
                problem,
                Duration::from_secs(30),
            )),
        }
    }
}
