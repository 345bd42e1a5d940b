//! Reading: one thread a reader, between librdkafka and a bounded channel.
//!
//! The thread drains what librdkafka has into batches. When the reader is slower than the log, fetching is paused
//! and the thread goes on answering the group's coordinator. When there is nothing to read, fetching is paused as
//! well, because a waiting fetch costs the embedded broker CPU; an append of this process, or the end of a short
//! sleep, resumes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::client::{describe, misconfigured};
use super::share::{Assignment, Context, Gaps};
use super::waker::Waker;
use super::{LogError, Record};
use crate::clock::Timestamp;

/// Records handed over at once, and batches that may wait for the reader.
const BATCH: usize = 2_000;
const WAITING_BATCHES: usize = 4;
/// A reader with nothing to read rests at most this long: an append of another process is seen then, one of this
/// process at once.
const IDLE_FOR: Duration = Duration::from_secs(1);
/// How long it looks for records that it knows of, and after the last ones, before it rests (again). A slow broker's
/// answer must come within the first, or it comes to a reader that rests.
const AWAKE: Duration = Duration::from_secs(10);
const AWAKE_AFTER_RECORDS: Duration = Duration::from_millis(250);
/// How long librdkafka is asked for the first record of a batch.
const POLL: Duration = Duration::from_millis(50);
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
pub(super) enum Start {
    At { partition: i32, offset: i64 },
    Group { look_back: i64, gaps: Gaps },
}

/// The next offset to be read of each partition, as the reader's thread knows it.
pub(super) type Places = Arc<Mutex<BTreeMap<i32, i64>>>;

/// A running reader thread; dropping it stops the thread.
pub(super) struct Fetch {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
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
        let (look_back, gaps) = match start {
            Start::Group { look_back, gaps } => (look_back, gaps),
            Start::At { .. } => (0, Gaps::Fail),
        };
        let places = Places::default();
        if let Start::At { partition, offset } = start {
            lock(&places).insert(partition, offset);
        }
        let context = Context {
            events: sender.clone(),
            look_back,
            gaps,
            places: places.clone(),
        };
        let consumer =
            Arc::new(BaseConsumer::from_config_and_context(&config, context).map_err(misconfigured)?);
        match start {
            Start::Group { .. } => consumer.subscribe(&[&full_topic]),
            Start::At { partition, offset } => {
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&full_topic, partition, Offset::Offset(offset))
                    .and_then(|()| consumer.assign(&list))
            }
        }
        .map_err(misconfigured)?;
        let stop = Arc::new(AtomicBool::new(false));
        let pump = Pump {
            consumer: consumer.clone(),
            topic: Arc::from(topic),
            full_topic: full_topic.clone(),
            places,
            events: sender,
            stop: stop.clone(),
            waker: waker.clone(),
        };
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

struct Pump {
    consumer: Arc<BaseConsumer<Context>>,
    topic: Arc<str>,
    full_topic: String,
    places: Places,
    events: mpsc::Sender<Fetched>,
    stop: Arc<AtomicBool>,
    waker: Waker,
}

impl Pump {
    fn run(self) {
        let mut seen = self.waker.generation();
        let mut awake_until = Instant::now() + AWAKE;
        while !self.stop.load(Ordering::Acquire) {
            match self.drain() {
                Ok(records) if records.is_empty() => {
                    if Instant::now() >= awake_until {
                        seen = self.sleep(seen);
                        awake_until = Instant::now() + AWAKE;
                    }
                }
                Ok(records) => {
                    awake_until = Instant::now() + AWAKE_AFTER_RECORDS;
                    self.note(&records);
                    self.hand_over(Fetched::Records(records));
                }
                Err(error) => self.hand_over(Fetched::Failed(error)),
            }
        }
        self.consumer.unsubscribe();
    }

    /// What librdkafka has, at most [`BATCH`]; waits for the first one.
    fn drain(&self) -> Result<Vec<Record>, LogError> {
        let mut records = Vec::new();
        let mut wait = POLL;
        while records.len() < BATCH {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => records.push(to_record(&self.topic, &message)),
                Some(Err(error)) => match fatal(&error) {
                    Some(fatal) if records.is_empty() => return Err(fatal),
                    // Come back to it after these records: librdkafka repeats it.
                    Some(_) => break,
                    None => {
                        tracing::debug!(topic = %self.topic, error = describe(&error), "reading goes on after an error")
                    }
                },
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }

    /// Gives the reader what was read; while it has no room, fetching rests and the group is still answered.
    fn hand_over(&self, fetched: Fetched) {
        let Err(mpsc::error::TrySendError::Full(mut waiting)) = self.events.try_send(fetched) else {
            return;
        };
        self.rest(true);
        while !self.stop.load(Ordering::Acquire) {
            match self.events.try_send(waiting) {
                Err(mpsc::error::TrySendError::Full(back)) => waiting = back,
                _ => break,
            }
            // What was fetched before the pause took hold is fetched again after it: resuming goes back.
            drop(self.consumer.poll(Duration::from_millis(10)));
        }
        self.rest(false);
    }

    fn note(&self, records: &[Record]) {
        let mut places = lock(&self.places);
        for record in records {
            places.insert(record.partition, record.offset + 1);
        }
    }

    /// Rests until there is something to read: an append of this process says so, and now and then the brokers are
    /// asked, because others append as well. The group is still answered.
    fn sleep(&self, seen: u64) -> u64 {
        self.rest(true);
        let mut now = seen;
        while !self.stop.load(Ordering::Acquire) {
            now = self.waker.wait(seen, IDLE_FOR);
            drop(self.consumer.poll(Duration::ZERO));
            if now != seen || self.is_behind() {
                break;
            }
        }
        self.rest(false);
        now
    }

    /// Whether the log has records that this reader was not given.
    fn is_behind(&self) -> bool {
        let places: Vec<(i32, i64)> = lock(&self.places)
            .iter()
            .map(|(partition, next)| (*partition, *next))
            .collect();
        places.into_iter().any(|(partition, next)| {
            let bounds = self
                .consumer
                .fetch_watermarks(&self.full_topic, partition, ASK_TIMEOUT);
            bounds.is_ok_and(|(_, end)| end > next)
        })
    }

    fn rest(&self, pause: bool) {
        let Ok(list) = self.consumer.assignment() else {
            return;
        };
        if list.count() == 0 {
            return;
        }
        let result = if pause {
            self.consumer.pause(&list)
        } else {
            self.resume(&list)
        };
        if let Err(error) = result {
            tracing::debug!(topic = %self.topic, error = describe(&error), "could not pause or resume reading");
        }
    }

    /// Resumes where the reader stands. Seeking also wakes librdkafka's broker thread, which would otherwise notice
    /// the end of a pause only after up to a second.
    fn resume(&self, list: &TopicPartitionList) -> Result<(), KafkaError> {
        self.consumer.resume(list)?;
        let mut places = TopicPartitionList::new();
        for (partition, next) in lock(&self.places).iter() {
            places.add_partition_offset(&self.full_topic, *partition, Offset::Offset(*next))?;
        }
        self.consumer.seek_partitions(places, ASK_TIMEOUT).map(drop)
    }
}

pub(super) fn lock(places: &Places) -> MutexGuard<'_, BTreeMap<i32, i64>> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Errors after which reading can't simply go on.
fn fatal(error: &KafkaError) -> Option<LogError> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => Some(LogError::Misconfigured(
            "the log no longer has the records at the committed offset: its retention removed them, or the topic was made anew".into(),
        )),
        RDKafkaErrorCode::Fatal => Some(LogError::Unavailable(describe(error))),
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition => {
            Some(LogError::Unavailable("the topic does not exist; run `trailhouse migrate`".into()))
        }
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed => {
            Some(LogError::Misconfigured(format!("the broker does not let this user read: {}", describe(error))))
        }
        _ => None,
    }
}

fn to_record(topic: &Arc<str>, message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect()
    });
    Record {
        topic: topic.clone(),
        partition: message.partition(),
        offset: message.offset(),
        appended_at: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or_default()),
        key: message.key().unwrap_or_default().to_vec(),
        payload: message.payload().unwrap_or_default().to_vec(),
        headers,
    }
}
