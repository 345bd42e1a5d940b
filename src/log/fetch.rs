//! Reading: what a reader is told, and the channel through which it is told by the thread that reads for it
//! ([`pump`](super::pump)).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use tokio::sync::mpsc;

use super::pump::Pump;
use super::share::{Assignment, Gaps};
use super::source::{Current, Source};
use super::waker::Waker;
use super::{LogError, Record};

/// Batches that may wait for the reader.
const WAITING_BATCHES: usize = 4;
/// How long a question to the brokers may take on a reader's thread.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// What a reader is told, in order.
pub(super) enum Fetched {
    Records(Vec<Record>),
    Assigned(Vec<Assignment>),
    Revoked {
        partitions: Vec<i32>,
        done: blocking::SyncSender<()>,
    },
    Failed(LogError),
}

/// Where reading starts.
#[derive(Clone, Copy)]
pub(super) enum Start {
    At { partition: i32, offset: i64 },
    Group { look_back: i64, gaps: Gaps },
}

/// A running reader thread; dropping it stops the thread.
pub(super) struct Fetch {
    pub(super) consumer: Current,
    pub(super) topic: String,
    events: mpsc::Receiver<Fetched>,
    stop: Arc<AtomicBool>,
    waker: Waker,
}

impl Fetch {
    pub(super) fn start(
        config: ClientConfig,
        full_topic: String,
        topic: &str,
        start: Start,
        waker: Waker,
    ) -> Result<Self, LogError> {
        let (sender, events) = mpsc::channel(WAITING_BATCHES);
        let stop = Arc::new(AtomicBool::new(false));
        let source = Source::new(config, full_topic.clone(), start, sender.clone());
        let pump = Pump::new(source, topic, sender, stop.clone(), waker.clone())?;
        let consumer = pump.current();
        thread::Builder::new()
            .name(format!("read {topic}"))
            .spawn(move || pump.run())
            .map_err(|error| LogError::Unavailable(format!("no thread for reading: {error}")))?;
        Ok(Self {
            consumer,
            topic: full_topic,
            events,
            stop,
            waker,
        })
    }

    /// The next thing that happened; `None` after the thread ended.
    pub(super) async fn next(&mut self) -> Option<Fetched> {
        self.events.recv().await
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.events.close();
        self.waker.wake();
    }
}
