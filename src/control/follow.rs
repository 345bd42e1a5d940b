//! Following the control topic: folding what comes, publishing the state, and knowing how fresh it is.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fold::Fold;
use super::journal::{Entry, Journal, JournalError};
use super::record::{self, Skip};
use super::state::State;
use crate::clock::Clock;
use crate::keyring::Keyring;
use crate::meters;

/// How often the log is asked how far it goes. Twice a second costs an idle instance nothing to speak of, and keeps
/// the age of a healthy fold well below the second that its freshness promises.
pub const POLL: Duration = Duration::from_millis(500);
/// How long the fold may take to reach an end it was told of, before the end is asked anew. A reader that slept may
/// need half a second to notice what another instance wrote.
const REACH_WITHIN: Duration = Duration::from_secs(2);
/// How long to wait before trying the log again.
const RETRY: Duration = Duration::from_secs(1);

/// What was folded so far, as others see it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The state.
    pub state: Arc<State>,
    /// The offset of the next record to be folded.
    pub position: i64,
}

/// How current the fold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// How long ago the fold was known to have reached the log's end.
    pub age: Duration,
}

/// What was skipped so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Records that count for nothing.
    pub count: u64,
    /// Master keys that records name and this instance does not hold: either forged, or this instance lacks a key
    /// and knows less than the others. At most eight are kept.
    pub unknown_keys: BTreeSet<String>,
}

/// The fold of one instance, shared by the tasks that feed it and everybody who asks.
pub struct Follower {
    journal: Arc<dyn Journal>,
    keyring: Keyring,
    fold: Mutex<Fold>,
    skipped: Mutex<Skipped>,
    view: watch::Sender<View>,
    clock: Arc<dyn Clock>,
    /// The clock's uptime in milliseconds when the log was last asked for an end that the fold has since reached.
    fresh_at: AtomicU64,
}

impl Follower {
    /// A fold that has seen nothing.
    pub fn new(journal: Arc<dyn Journal>, keyring: Keyring, clock: Arc<dyn Clock>) -> Self {
        // Nothing is known yet, so the fold is as old as this.
        let began = millis(clock.uptime());
        Self {
            journal,
            keyring,
            fold: Mutex::default(),
            skipped: Mutex::default(),
            view: watch::Sender::new(View::default()),
            clock,
            fresh_at: AtomicU64::new(began),
        }
    }

    /// What was folded so far.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Notified whenever something was folded.
    pub fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// The fold itself.
    pub fn fold(&self) -> MutexGuard<'_, Fold> {
        self.fold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was skipped so far.
    pub fn skipped(&self) -> MutexGuard<'_, Skipped> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How current the fold is.
    pub fn freshness(&self) -> Freshness {
        let fresh_at = Duration::from_millis(self.fresh_at.load(Ordering::Relaxed));
        Freshness {
            age: self.clock.uptime().saturating_sub(fresh_at),
        }
    }

    /// Folds the topic from its beginning and follows it until `stop`. While the log is away it tries again.
    pub async fn follow(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                error = self.read_on() => tracing::warn!(%error, "reading control state failed, trying again"),
            }
            pause(RETRY, &stop).await;
        }
    }

    async fn read_on(&self) -> JournalError {
        let mut tail = match self.journal.tail(self.view.borrow().position) {
            Ok(tail) => tail,
            Err(error) => return error,
        };
        loop {
            match tail.next().await {
                Ok(entries) => self.take(&entries),
                Err(error) => return error,
            }
        }
    }

    /// Folds a batch and publishes the state once.
    fn take(&self, entries: &[Entry]) {
        let mut fold = self.fold();
        let mut position = self.view.borrow().position;
        for entry in entries.iter().filter(|entry| entry.offset >= position) {
            let applied =
                record::read(&entry.record, &self.keyring).and_then(|envelope| fold.apply(&envelope));
            if let Err(skip) = applied {
                self.report(entry.offset, skip);
            }
        }
        position = entries
            .last()
            .map_or(position, |last| position.max(last.offset + 1));
        let state = fold.state().clone();
        // Published under the lock: whoever sees this position finds the answers up to it.
        self.view.send_replace(View { state, position });
    }

    fn report(&self, offset: i64, skip: Skip) {
        metrics::counter!(meters::CONTROL_FORGED).increment(1);
        let mut skipped = self.skipped();
        skipped.count += 1;
        // Whoever floods the topic must not flood the program's log as well.
        if skipped.count <= 10 || skipped.count.is_multiple_of(1_000) {
            tracing::warn!(offset, skipped = skipped.count, reason = %skip, "a control record counts for nothing");
        }
        if let Skip::UnknownKey(id) = skip
            && skipped.unknown_keys.len() < 8
        {
            skipped.unknown_keys.insert(id);
        }
    }

    /// Asks the log twice a second how far it goes, and notes the time of asking once the fold is there.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        let mut view = self.watch();
        while !stop.is_cancelled() {
            let asked = self.clock.uptime();
            tokio::select! {
                () = stop.cancelled() => return,
                bounds = self.journal.bounds() => match bounds {
                    Ok((_, end)) => {
                        let reached = view.wait_for(|view| view.position >= end);
                        if tokio::time::timeout(REACH_WITHIN, reached).await.is_ok() {
                            self.note_fresh(asked);
                        }
                    }
                    Err(error) => tracing::debug!(%error, "the end of control state is not known"),
                },
            }
            metrics::gauge!(meters::CONTROL_AGE).set(self.freshness().age.as_secs_f64());
            pause(POLL, &stop).await;
        }
    }

    /// Notes that the fold has what stood in the log at `asked`, by the clock's uptime.
    fn note_fresh(&self, asked: Duration) {
        self.fresh_at.fetch_max(millis(asked), Ordering::Relaxed);
    }

    /// Waits until the fold has everything that stood in the log when this was called. Gives how many records that
    /// were.
    pub async fn catch_up(&self) -> Result<i64, Behind> {
        let asked = self.clock.uptime();
        let (low, end) = self.journal.bounds().await?;
        if low > 0 {
            return Err(Behind::Truncated(low));
        }
        let mut view = self.watch();
        // The sender lives in `self`, so there is always another view to wait for.
        let _ = view.wait_for(|view| view.position >= end).await;
        self.note_fresh(asked);
        Ok(end)
    }
}

/// Why the fold can't have everything.
#[derive(Debug)]
pub enum Behind {
    /// The log did not answer.
    Journal(JournalError),
    /// The topic begins at this offset, so its beginning is lost.
    Truncated(i64),
}

impl From<JournalError> for Behind {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn pause(time: Duration, stop: &CancellationToken) {
    let _ = tokio::time::timeout(time, stop.cancelled()).await;
}
