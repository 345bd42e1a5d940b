//! The server's own trail: who read what, who logged in, and who changed control state, as events in the log of the
//! tenant that it concerns.
//!
//! - [`read`]: what is recorded of a read, as a pure function from who, occasion and what to an event.
//! - [`Trail::note`] writes it to the log before the read is answered. While the log is away it goes to the [`spool`],
//!   a bounded file that many reads flush together, and from there into the log when that is back, or at the next
//!   start. Ids are given once, so that a crash on the way makes copies and no second events.
//! - [`commands`]: the reader of `audit.control` that makes an event of every command, accepted or refused.

pub mod commands;
mod put;
pub mod read;
pub mod spool;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::auth::Principal;
use crate::clock::Clock;
use crate::event::{Event, schema};
use crate::ingest::Ingest;
use crate::log::LogError;

use put::Put;
pub use read::{Occasion, Reading};
use spool::Spool;

/// The file in the data directory.
pub const FILE: &str = "reads.spool";

/// How long a read waits for the log before its record goes to the spool, and those of the next ones at once.
const LOG_WITHIN: Duration = Duration::from_secs(1);
/// The pause before the log is tried again, and how often it is looked whether something waits.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// What is taken from the spool at once.
const DRAIN_BYTES: u64 = 1 << 20;
/// Reads whose records wait to be flushed together.
const WAITING_MAX: usize = 1024;

/// A read was not recorded, and so must not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reads can't be recorded now: the log is away, and the room for what waits for it is used up")]
pub struct NotRecorded;

/// Records what is done with this server. Cheap to clone.
#[derive(Clone)]
pub struct Trail {
    inner: Arc<Inner>,
}

struct Inner {
    ingest: Ingest,
    clock: Arc<dyn Clock>,
    /// Off in measurements only.
    on: bool,
    /// Something waits in the spool, or the log was away a moment ago.
    spooling: AtomicBool,
    spool: Mutex<Spool>,
    puts: mpsc::Sender<Put>,
    waiting: Mutex<Option<mpsc::Receiver<Put>>>,
}

impl Trail {
    /// Over the door; what waits for the log lies in `data_dir`, up to `bytes_max` of it. [`Trail::run`] must run.
    pub fn open(
        ingest: Ingest,
        clock: Arc<dyn Clock>,
        data_dir: &Path,
        bytes_max: u64,
        on: bool,
    ) -> std::io::Result<Self> {
        let spool = Spool::open(&data_dir.join(FILE), bytes_max)?;
        let (puts, waiting) = mpsc::channel(WAITING_MAX);
        Ok(Self {
            inner: Arc::new(Inner {
                ingest,
                clock,
                on,
                spooling: AtomicBool::new(!spool.is_empty()),
                spool: Mutex::new(spool),
                puts,
                waiting: Mutex::new(Some(waiting)),
            }),
        })
    }

    /// Records a read; when this returns, it is durable. Run it beside the read itself, and await both.
    pub async fn note(
        &self,
        principal: &Principal,
        occasion: &Occasion,
        read: Reading<'_>,
    ) -> Result<(), NotRecorded> {
        if !self.inner.on {
            return Ok(());
        }
        let (now, id) = (self.inner.clock.now(), self.inner.clock.fresh_id());
        self.keep(read.event(principal, occasion, now, id)).await
    }

    /// Records an event of the server's own.
    pub async fn keep(&self, event: Event) -> Result<(), NotRecorded> {
        let inner = &self.inner;
        if !inner.on {
            return Ok(());
        }
        if !inner.spooling.load(Ordering::Acquire) {
            let recorded = inner.ingest.record(std::slice::from_ref(&event));
            match tokio::time::timeout(LOG_WITHIN, recorded).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => tracing::warn!(%error, "records of reads go to the spool"),
                Err(_) => tracing::warn!("the log takes long; records of reads go to the spool"),
            }
            inner.spooling.store(true, Ordering::Release);
        }
        let mut bytes = Vec::with_capacity(512);
        schema::encode(&event, &mut bytes);
        put::put(&inner.puts, bytes).await
    }

    /// Flushes what is put into the spool, and drains it when the log is back, until `stop`. What is left then is
    /// drained after the next start.
    pub async fn run(&self, stop: CancellationToken) {
        let waiting = self.lock_waiting().take();
        let Some(waiting) = waiting else { return };
        let flushing = put::flush(self.clone(), waiting);
        let draining = async {
            loop {
                if self.inner.spooling.load(Ordering::Acquire) {
                    self.drain().await;
                }
                tokio::time::sleep(TRY_AGAIN).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = flushing => {}
            () = draining => {}
        }
    }

    /// Brings all that waits into the log, in order; gives up at the first failure, and begins anew the next time.
    async fn drain(&self) {
        let mut at = 0;
        loop {
            let read = self.with_spool(move |spool| spool.read(at, DRAIN_BYTES)).await;
            let (records, next) = match read {
                Ok(read) => read,
                Err(error) => return tracing::error!(%error, "the spool of reads can't be read"),
            };
            let events: Vec<Event> = records.iter().filter_map(|bytes| decoded(bytes)).collect();
            match self.inner.ingest.record(&events).await {
                Ok(()) => {}
                // The bounds of events are wider than those of reads: nobody can do anything about it.
                Err(LogError::Refused(why)) => tracing::error!(why, "the log refuses records of reads"),
                Err(error) => return tracing::debug!(%error, "the log does not take records of reads yet"),
            }
            at = next;
            let trail = self.clone();
            let ended = self
                .with_spool(move |spool| {
                    let ended = spool.end() <= at;
                    if ended {
                        spool.clear()?;
                        trail.inner.spooling.store(false, Ordering::Release);
                    }
                    Ok(ended)
                })
                .await;
            match ended {
                Ok(false) => {}
                Ok(true) => {
                    return tracing::info!(bytes = at, "the records of reads that waited are in the log");
                }
                Err(error) => return tracing::error!(%error, "the spool of reads can't be emptied"),
            }
        }
    }

    /// Works on the file beside the runtime. Where something was added, it says so.
    async fn with_spool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let trail = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut spool = trail.lock_spool();
            let before = spool.end();
            let done = work(&mut spool);
            if spool.end() > before {
                trail.inner.spooling.store(true, Ordering::Release);
            }
            done
        });
        done.await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    fn lock_spool(&self) -> MutexGuard<'_, Spool> {
        self.inner.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_waiting(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Put>>> {
        self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decoded(bytes: &[u8]) -> Option<Event> {
    schema::decode(bytes)
        .inspect_err(
            |error| tracing::error!(%error, "a record in the spool of reads is none of this version's"),
        )
        .ok()
}
