//! Writing: one idempotent producer, acknowledged by all in-sync replicas.
//!
//! A [`Batch`] hands its records to librdkafka one after the other and is told of each by number, so that a
//! thousand events cost a thousand small boxes and one wake-up, not a thousand channels.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::client::{Log, describe, is_too_large, misconfigured};
use super::{LogError, NewRecord, Position};

/// What may wait for the brokers in this process: the bound of memory, and the point where callers are pushed back.
const QUEUE_KBYTES: &str = "65536";
/// How long a caller waits for room in the queue before it is told that the log is full.
const ROOM_WITHIN: Duration = Duration::from_secs(3);

/// The producer of this process. Replaced when librdkafka declares it broken for good.
pub(super) struct Producer {
    config: ClientConfig,
    current: RwLock<Arc<ThreadedProducer<Acks>>>,
}

impl Producer {
    pub(super) fn new(client: &ClientConfig) -> Result<Self, LogError> {
        let mut config = client.clone();
        for (name, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("partitioner", "murmur2_random"),
            ("compression.type", "lz4"),
            // A caller waits for the answer, so records gather only briefly.
            ("linger.ms", "2"),
            ("delivery.timeout.ms", "10000"),
            ("request.timeout.ms", "5000"),
            ("message.max.bytes", "2097152"),
            ("queue.buffering.max.kbytes", QUEUE_KBYTES),
            ("queue.buffering.max.messages", "200000"),
        ] {
            if client.get(name).is_none() {
                config.set(name, value);
            }
        }
        let current = RwLock::new(Arc::new(create(&config)?));
        Ok(Self { config, current })
    }

    pub(super) fn batch(&self, expected: usize, prefix: &str, log: Log) -> Batch {
        Batch {
            producer: self.usable(),
            state: Arc::new(BatchState {
                outcomes: Mutex::new(Vec::with_capacity(expected)),
                open: AtomicUsize::new(1),
                done: Notify::new(),
            }),
            prefix: prefix.to_owned(),
            log,
            topics: Vec::new(),
        }
    }

    pub(super) fn flush(&self, within: Duration) {
        if let Err(error) = self.get().flush(within) {
            tracing::warn!(
                error = describe(&error),
                "records were still waiting for the log at the end"
            );
        }
    }

    fn get(&self) -> Arc<ThreadedProducer<Acks>> {
        self.current
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone()
    }

    /// The current producer, or a new one when the old can't go on (its sequence numbers were lost).
    fn usable(&self) -> Arc<ThreadedProducer<Acks>> {
        let current = self.get();
        let Some((code, reason)) = current.client().fatal_error() else {
            return current;
        };
        let mut slot = self
            .current
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if Arc::ptr_eq(&slot, &current) {
            tracing::warn!(%code, reason, "the producer is replaced: it can't go on");
            match create(&self.config) {
                Ok(fresh) => *slot = Arc::new(fresh),
                Err(error) => tracing::error!(%error, "no new producer could be made"),
            }
        }
        slot.clone()
    }
}

fn create(config: &ClientConfig) -> Result<ThreadedProducer<Acks>, LogError> {
    config.create_with_context(Acks).map_err(misconfigured)
}

/// Records on their way to the log, acknowledged together.
pub struct Batch {
    producer: Arc<ThreadedProducer<Acks>>,
    state: Arc<BatchState>,
    prefix: String,
    log: Log,
    topics: Vec<String>,
}

struct BatchState {
    outcomes: Mutex<Vec<Option<Result<Position, LogError>>>>,
    /// Records without an answer, and one for the batch while it is being filled.
    open: AtomicUsize,
    done: Notify,
}

impl Batch {
    /// Hands one record over. Waits for room for a moment; then the log is [`LogError::Full`], and what was handed
    /// over before stands.
    pub async fn push(&mut self, record: NewRecord<'_>) -> Result<(), LogError> {
        let index = {
            let mut outcomes = self.state.lock();
            outcomes.push(None);
            outcomes.len() - 1
        };
        self.state.open.fetch_add(1, Ordering::AcqRel);
        let topic = format!("{}{}", self.prefix, record.topic);
        if !self.topics.iter().any(|known| known == record.topic) {
            self.topics.push(record.topic.to_owned());
        }
        let mut waiting = Ticket {
            state: self.state.clone(),
            index,
        };
        let deadline = Instant::now() + ROOM_WITHIN;
        loop {
            let (error, ticket) = match self.producer.send(to_base(&topic, &record, waiting)) {
                Ok(()) => return Ok(()),
                Err((error, unsent)) => (error, unsent.delivery_opaque),
            };
            let code = error.rdkafka_error_code();
            let full = code == Some(RDKafkaErrorCode::QueueFull);
            // A topic that was made a moment ago: this producer has not heard of it yet.
            let unheard_of = matches!(
                code,
                Some(
                    RDKafkaErrorCode::UnknownPartition
                        | RDKafkaErrorCode::UnknownTopic
                        | RDKafkaErrorCode::UnknownTopicOrPartition
                )
            );
            if !(full || unheard_of) || Instant::now() >= deadline {
                let error = if full { LogError::Full } else { classify(&error) };
                self.state.answer(ticket.index, Err(error.clone()));
                return Err(error);
            }
            if unheard_of {
                self.producer.ask_for(&topic).await;
            }
            waiting = *ticket;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for all answers, in the order in which the records were handed over.
    pub async fn finish(self) -> Vec<Result<Position, LogError>> {
        self.state.close_one();
        while self.state.open.load(Ordering::Acquire) > 0 {
            let done = self.state.done.notified();
            if self.state.open.load(Ordering::Acquire) > 0 {
                done.await;
            }
        }
        for topic in &self.topics {
            self.log.wake(topic);
        }
        let outcomes = std::mem::take(&mut *self.state.lock());
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(no_answer))
            .collect()
    }
}

/// Asking the brokers about a topic makes librdkafka learn of it.
trait AskFor {
    async fn ask_for(&self, topic: &str);
}

impl AskFor for Arc<ThreadedProducer<Acks>> {
    async fn ask_for(&self, topic: &str) {
        let (producer, topic) = (self.clone(), topic.to_owned());
        let asked = tokio::task::spawn_blocking(move || {
            producer
                .client()
                .fetch_metadata(Some(&topic), Duration::from_secs(1))
                .map(drop)
        });
        if let Ok(Err(error)) = asked.await {
            tracing::debug!(error = describe(&error), "the brokers can't be asked for a topic");
        }
    }
}

fn no_answer() -> Result<Position, LogError> {
    Err(LogError::Unavailable("no answer".into()))
}

impl BatchState {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Result<Position, LogError>>>> {
        self.outcomes
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn answer(&self, index: usize, outcome: Result<Position, LogError>) {
        if let Some(slot) = self.lock().get_mut(index) {
            *slot = Some(outcome);
        }
        self.close_one();
    }

    fn close_one(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }
}

/// Travels with a record through librdkafka and comes back with its answer.
struct Ticket {
    state: Arc<BatchState>,
    index: usize,
}

fn to_base<'a>(
    topic: &'a str,
    record: &NewRecord<'a>,
    ticket: Ticket,
) -> BaseRecord<'a, [u8], [u8], Box<Ticket>> {
    let mut base = BaseRecord::with_opaque_to(topic, Box::new(ticket))
        .key(record.key)
        .payload(record.payload);
    if let Some(partition) = record.partition {
        base = base.partition(partition);
    }
    if !record.headers.is_empty() {
        let headers = record.headers.iter().fold(
            OwnedHeaders::new_with_capacity(record.headers.len()),
            |all, (key, value)| {
                all.insert(Header {
                    key,
                    value: Some(*value),
                })
            },
        );
        base = base.headers(headers);
    }
    base
}

/// Receives librdkafka's answers on its polling thread.
struct Acks;

impl ClientContext for Acks {
    fn error(&self, error: KafkaError, reason: &str) {
        // Each waiting record hears of it by itself; this is for whoever looks into the log.
        tracing::debug!(error = describe(&error), reason, "the producer met an error");
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Self::DeliveryOpaque) {
        let outcome = match result {
            Ok(message) => Ok(Position {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, _)) => Err(classify(error)),
        };
        ticket.state.answer(ticket.index, outcome);
    }
}

fn classify(error: &KafkaError) -> LogError {
    match error.rdkafka_error_code() {
        Some(code) if is_too_large(code) => LogError::Refused("it is larger than the topic allows".into()),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
            LogError::Refused("the broker does not let this user write to the topic".into())
        }
        Some(RDKafkaErrorCode::QueueFull) => LogError::Full,
        _ => LogError::Unavailable(describe(error)),
    }
}
