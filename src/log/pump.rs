//! The thread between librdkafka and a reader's bounded channel.
//!
//! It drains what librdkafka has into batches. When the reader is much slower than the log, fetching is paused and
//! the thread goes on answering the group's coordinator. When there is nothing to read, fetching is paused as well,
//! because a waiting fetch costs the embedded broker CPU; an append of this process, or the end of a short sleep,
//! resumes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tokio::sync::mpsc;

use super::client::describe;
use super::fetch::{ASK_TIMEOUT, Fetched, Start};
use super::share::Context;
use super::source::{Current, Source, lock};
use super::waker::Waker;
use super::{LogError, Record};
use crate::clock::Timestamp;

/// Records handed over at once, and the bytes after which fewer are.
const BATCH: usize = 2_000;
const BATCH_BYTES: usize = 4 << 20;
/// A reader with nothing to read rests at most this long: an append of another process is seen then, one of this
/// process at once.
const IDLE_FOR: Duration = Duration::from_secs(1);
/// How long it looks for records that it knows of, and after the last ones, before it rests (again). A slow broker's
/// answer must come within the first, or it comes to a reader that rests.
const AWAKE: Duration = Duration::from_secs(10);
const AWAKE_AFTER_RECORDS: Duration = Duration::from_millis(250);
/// How long librdkafka is asked for the first record of a batch.
const POLL: Duration = Duration::from_millis(50);
/// How long a reader may take for what is offered before fetching is paused, and how often it is offered.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_FOR_ROOM: Duration = Duration::from_millis(5);
/// The pause before a consumer that was given up is replaced: two that fence each other must not do so all the time.
const REPLACE_AFTER: Duration = Duration::from_secs(1);

/// Reads for one reader.
pub(super) struct Pump {
    source: Source,
    current: Current,
    consumer: Arc<BaseConsumer<Context>>,
    topic: Arc<str>,
    events: mpsc::Sender<Fetched>,
    stop: Arc<AtomicBool>,
    waker: Waker,
    /// Read while resting, and not yet handed over.
    kept: Vec<Record>,
}

impl Pump {
    pub(super) fn new(
        source: Source,
        topic: &str,
        events: mpsc::Sender<Fetched>,
        stop: Arc<AtomicBool>,
        waker: Waker,
    ) -> Result<Self, LogError> {
        let consumer = Arc::new(source.consumer()?);
        Ok(Self {
            source,
            current: Current::new(consumer.clone()),
            consumer,
            topic: Arc::from(topic),
            events,
            stop,
            waker,
            kept: Vec::new(),
        })
    }

    pub(super) fn current(&self) -> Current {
        self.current.clone()
    }

    pub(super) fn run(mut self) {
        let mut seen = self.waker.generation();
        let mut awake_until = Instant::now() + AWAKE;
        while !self.is_stopped() {
            if let Some(why) = self.given_up() {
                self.replace(&why);
            }
            match self.drain() {
                Ok(records) if records.is_empty() => {
                    if Instant::now() >= awake_until {
                        seen = self.sleep(seen);
                        awake_until = Instant::now() + AWAKE;
                    }
                }
                Ok(records) => {
                    awake_until = Instant::now() + AWAKE_AFTER_RECORDS;
                    self.hand_over(Fetched::Records(records));
                }
                Err(error) => self.hand_over(Fetched::Failed(error)),
            }
        }
        self.consumer.unsubscribe();
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// What librdkafka has, at most about [`BATCH`]; waits for the first one.
    fn drain(&mut self) -> Result<Vec<Record>, LogError> {
        let mut records = self.take_kept();
        let mut bytes: usize = records.iter().map(Record::bytes).sum();
        let mut wait = if records.is_empty() { POLL } else { Duration::ZERO };
        while records.len() < BATCH && bytes < BATCH_BYTES {
            match self.poll(wait) {
                None => break,
                Some(Ok(record)) => {
                    bytes += record.bytes();
                    records.push(record);
                }
                Some(Err(error)) => match lasting(&error) {
                    Some(lasting) if records.is_empty() => return Err(lasting),
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

    /// The next record, and the word of the group on the way. Whatever comes out of here must reach the reader:
    /// librdkafka counts it as read.
    fn poll(&self, wait: Duration) -> Option<Result<Record, KafkaError>> {
        Some(self.consumer.poll(wait)?.map(|message| {
            let record = to_record(&self.topic, &message);
            self.places().insert(record.partition, record.offset + 1);
            record
        }))
    }

    /// Answers the group while the reader rests. What was fetched before the pause took hold is kept.
    fn answer_group(&mut self, wait: Duration) {
        if let Some(Ok(record)) = self.poll(wait) {
            self.kept.push(record);
        }
    }

    /// What was kept while the reader rested.
    fn take_kept(&mut self) -> Vec<Record> {
        let mut kept = std::mem::take(&mut self.kept);
        self.drop_stale(&mut kept);
        kept
    }

    /// Drops what belongs to a partition that went away since; if it came back, they are read again.
    fn drop_stale(&self, records: &mut Vec<Record>) {
        let places = self.places();
        records.retain(|record| {
            places
                .get(&record.partition)
                .is_some_and(|next| record.offset < *next)
        });
    }

    /// Gives the reader what was read. While it has no room, librdkafka's own queue fills and fetching stops by
    /// itself; a reader that takes longer is one whose database is away, and then fetching is paused, at the cost of
    /// what was fetched ahead, so that the group can still be answered.
    fn hand_over(&mut self, fetched: Fetched) {
        let Some(fetched) = self.offer(fetched, PATIENCE, |_, _| thread::sleep(LOOK_FOR_ROOM)) else {
            return;
        };
        self.rest(true);
        self.offer(fetched, Duration::MAX, |pump, waiting| {
            pump.answer_group(LOOK_FOR_ROOM);
            if let Fetched::Records(records) = waiting {
                pump.drop_stale(records);
            }
        });
        self.rest(false);
    }

    /// Offers it again and again; gives it back after that time.
    fn offer(
        &mut self,
        mut fetched: Fetched,
        within: Duration,
        between: impl Fn(&mut Self, &mut Fetched),
    ) -> Option<Fetched> {
        let started = Instant::now();
        while !self.is_stopped() {
            match self.events.try_send(fetched) {
                Err(mpsc::error::TrySendError::Full(back)) => fetched = back,
                _ => return None,
            }
            if started.elapsed() >= within {
                return Some(fetched);
            }
            between(self, &mut fetched);
        }
        None
    }

    /// Rests until there is something to read: an append of this process says so, and now and then the brokers are
    /// asked, because others append as well. The group is still answered.
    fn sleep(&mut self, seen: u64) -> u64 {
        self.rest(true);
        let mut now = seen;
        while !self.is_stopped() {
            now = self.waker.wait(seen, IDLE_FOR);
            self.answer_group(Duration::ZERO);
            if now != seen || !self.kept.is_empty() || self.given_up().is_some() || self.is_behind() {
                break;
            }
        }
        self.rest(false);
        now
    }

    /// Whether the log has records that this reader was not given, or can't be asked.
    fn is_behind(&self) -> bool {
        let places: Vec<(i32, i64)> = self.places().iter().map(|(at, next)| (*at, *next)).collect();
        places.into_iter().any(|(partition, next)| {
            let bounds = self
                .consumer
                .fetch_watermarks(&self.source.topic, partition, ASK_TIMEOUT);
            bounds.map_or(true, |(_, end)| end > next)
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

    /// Resumes where the reader stands. Seeking there changes nothing but wakes librdkafka's broker thread, which would
    /// otherwise notice the end of a pause only after up to a second.
    fn resume(&self, list: &TopicPartitionList) -> Result<(), KafkaError> {
        self.consumer.resume(list)?;
        let standing = self.source.standing()?;
        self.consumer.seek_partitions(standing, ASK_TIMEOUT).map(drop)
    }

    /// Takes another consumer. A member of a group is given up when it was fenced: brokers that hung beyond the
    /// session may answer a question of before after they let the same member in again. The new one is assigned its
    /// partitions like any other member.
    fn replace(&mut self, why: &str) {
        tracing::warn!(topic = %self.topic, why, "this member was thrown out of its group; it joins again");
        if matches!(self.source.start, Start::Group { .. }) {
            self.consumer.context().retire();
        }
        thread::sleep(REPLACE_AFTER);
        match self.source.consumer() {
            Ok(consumer) => {
                self.current.set(consumer);
                self.consumer = self.current.get();
            }
            Err(error) => self.hand_over(Fetched::Failed(error)),
        }
    }

    /// Why librdkafka will never read with this consumer again. Its error may have passed by while the reader rested.
    fn given_up(&self) -> Option<String> {
        self.consumer.client().fatal_error().map(|(_, why)| why)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<i32, i64>> {
        lock(&self.source.context.places)
    }
}

/// Errors that don't pass by themselves.
fn lasting(error: &KafkaError) -> Option<LogError> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => Some(LogError::Misconfigured(
            "the log no longer has the records at the committed offset: its retention removed them, or the topic was made anew".into(),
        )),
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition => {
            Some(LogError::Unavailable("the topic does not exist; run `trailhouse migrate`".into()))
        }
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed => {
            Some(LogError::Misconfigured(format!("the broker does not let this user read: {}", describe(error))))
        }
        _ => None,
    }
}

pub(super) fn to_record(topic: &Arc<str>, message: &BorrowedMessage<'_>) -> Record {
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
