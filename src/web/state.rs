//! What handlers work with.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Mutex;

use super::budget::Budgets;
use super::revising::Revising;
use super::{ApiError, Config};
use crate::auth::{Auth, AuthError, Principal};
use crate::clock::Clock;
use crate::control::Control;
use crate::exports::Exports;
use crate::ingest::Ingest;
use crate::limit::disk::{self, Disk};
use crate::log::Log;
use crate::query::Queries;
use crate::store::Store;
use crate::stream::Streams;
use crate::trail::{Occasion, Reading, Trail};

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
    /// Background exports.
    pub exports: Exports,
    /// The record of what is done with this server.
    pub trail: Trail,
    /// Events as they come.
    pub streams: Streams,
    /// Amendments and redactions under way.
    pub revising: Revising,
    /// Credentials.
    pub auth: Auth,
    /// How much anybody may do.
    pub limits: Budgets,
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
    /// What ClickHouse answered last.
    pub pulse: Pulse,
    /// The metrics as text.
    pub metrics: Option<PrometheusHandle>,
    /// Where data is written, when that is this machine's disk.
    pub disk: Option<Disk>,
}

/// An answer that is kept for a while: `/readyz` is open, and however many ask there, ClickHouse is asked by one of them
/// at a time and once a second.
pub struct Pulse {
    kept_for: Duration,
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            kept_for: Duration::from_secs(1),
            last: Mutex::default(),
        }
    }
}

impl Pulse {
    async fn or(&self, ask: impl Future<Output = Option<String>>) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < self.kept_for
        {
            return answer.clone();
        }
        let answer = ask.await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

impl Health {
    /// What is wrong with ClickHouse, as of a second ago at most.
    pub async fn clickhouse_problem(&self) -> Option<String> {
        let ask = async { self.store.ping().await.err().map(|error| error.to_string()) };
        self.pulse.or(ask).await
    }

    /// A sentence when the disk is nearly full.
    pub fn disk_problem(&self) -> Option<String> {
        self.disk.as_ref()?.problem(disk::FREE_FOR_EVENTS)
    }
}

impl Services {
    /// Whose ticket this is; it is used up by that.
    pub fn with_ticket(&self, ticket: &str) -> Result<Principal, ApiError> {
        let principal = self.streams.tickets.redeem(ticket, self.clock.now());
        let principal = principal.ok_or(AuthError::Invalid)?;
        self.auth.still_counts(&principal)?;
        Ok(principal)
    }

    /// The answer to a read, once the read is recorded as well: both are done at the same time.
    pub async fn recorded<T, E: Into<ApiError>>(
        &self,
        principal: &Principal,
        occasion: &Occasion,
        read: Reading<'_>,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ApiError> {
        let (noted, answer) = tokio::join!(self.trail.note(principal, occasion, read), answer);
        let answer = answer.map_err(Into::into)?;
        noted?;
        Ok(answer)
    }

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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn however_many_ask_one_of_them_asks_clickhouse_and_the_others_hear_the_answer() {
        let asked = AtomicUsize::new(0);
        let ask = async || {
            let n = asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Some(n.to_string())
        };
        let told = async |pulse: &Pulse| {
            let askers = (0..100).map(|_| pulse.or(ask()));
            futures_util::future::join_all(askers).await
        };
        let kept = Pulse {
            kept_for: Duration::MAX,
            ..Pulse::default()
        };
        assert_eq!(told(&kept).await, vec![Some("0".to_owned()); 100]);
        let forgotten = Pulse {
            kept_for: Duration::ZERO,
            ..Pulse::default()
        };
        assert_eq!(told(&forgotten).await[99], Some("100".to_owned()));
    }
}
