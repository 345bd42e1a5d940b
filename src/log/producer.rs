//! Writing a topic: an idempotent producer, acknowledged by all in-sync replicas.
//!
//! A thread takes round after round from the [`queue`](super::queue) and hands the records to librdkafka, which tells of
//! each by number: a thousand events cost a thousand small boxes and one wake-up, not a thousand channels.
//!
//! A round that is not answered soon waits for a leader that is away, or for a slow one. What comes meanwhile for the
//! other partitions goes out beside it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::bindings::rd_kafka_flush;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaRespErr;

use super::batch::Outgoing;
use super::client::{describe, is_too_large, misconfigured};
use super::queue::{Queue, Reply, Waiting};
use super::{LogError, Position};

/// How long the records of a round are tried again that librdkafka can't take yet.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);
const TRY_AGAIN: Duration = Duration::from_millis(5);
/// While a round takes longer, another one goes out beside it so often. Not sooner: where the brokers are merely slow,
/// librdkafka's thread would spin (most of a core beside a broker that hangs, nothing beside one that is gone).
const LATE: Duration = Duration::from_secs(1);

/// The door to the thread that writes.
pub(super) struct Producer {
    queue: Arc<Queue>,
}

/// What that thread works with.
struct Sender {
    topic: String,
    config: ClientConfig,
    producer: ThreadedProducer<Acks>,
}

impl Producer {
    /// A writer of the topic with this name on the brokers, with room for so much.
    pub(super) fn new(client: &ClientConfig, topic: String, room_kib: usize) -> Result<Self, LogError> {
        let mut config = client.clone();
        for (name, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("partitioner", "murmur2_random"),
            ("compression.type", "lz4"),
            // A flush ends the waiting, when the whole round is handed over.
            ("linger.ms", "100"),
            ("delivery.timeout.ms", "10000"),
            ("request.timeout.ms", "5000"),
            ("message.max.bytes", "2097152"),
            ("batch.size", "2097152"),
            // The bound is in front of librdkafka, in the queue.
            ("queue.buffering.max.kbytes", "262144"),
            ("queue.buffering.max.messages", "1000000"),
        ] {
            if client.get(name).is_none() {
                config.set(name, value);
            }
        }
        let producer = create(&config)?;
        let name = format!("append {topic}");
        let sender = Sender {
            topic,
            config,
            producer,
        };
        let queue = Arc::new(Queue::new(room_kib));
        let rounds = queue.clone();
        thread::Builder::new()
            .name(name)
            .spawn(move || sender.run(&rounds))
            .map_err(|error| LogError::Unavailable(format!("no thread for writing: {error}")))?;
        Ok(Self { queue })
    }

    pub(super) fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Sender {
    fn run(mut self, queue: &Queue) {
        while let Some(round) = queue.next_round() {
            self.replace_if_broken();
            self.send(round);
            while !sent_and_answered(&self.producer, LATE) {
                self.send(queue.another_round());
            }
        }
    }

    fn send(&self, round: Vec<Waiting>) {
        let deadline = Instant::now() + TAKEN_WITHIN;
        for batch in round {
            let (mut records, reply) = batch.begin();
            for (index, record) in records.take().enumerate() {
                let reply = reply.clone();
                self.hand_over(record, Ticket { reply, index }, deadline);
            }
        }
    }

    /// Gives one record to librdkafka. What it does not take is tried again until `deadline`, and then answered.
    fn hand_over(&self, record: Outgoing<'_>, ticket: Ticket, deadline: Instant) {
        let mut base = to_base(&self.topic, record, ticket);
        let mut asked = false;
        loop {
            let (error, unsent) = match self.producer.send(base) {
                Ok(()) => return,
                Err(refused) => refused,
            };
            let obstacle = obstacle(&error).filter(|obstacle| !(asked && *obstacle == Obstacle::Forbidden));
            let Some(obstacle) = obstacle.filter(|_| Instant::now() < deadline) else {
                let ticket = unsent.delivery_opaque;
                ticket.reply.answer(ticket.index, Err(classify(&error)));
                return;
            };
            if obstacle != Obstacle::Full {
                self.ask_for_the_topic();
                asked = true;
            }
            thread::sleep(TRY_AGAIN);
            base = unsent;
        }
    }

    /// Asking the brokers about a topic makes librdkafka learn of it.
    fn ask_for_the_topic(&self) {
        let asked = self
            .producer
            .client()
            .fetch_metadata(Some(&self.topic), Duration::from_secs(1));
        if let Err(error) = asked {
            tracing::debug!(error = describe(&error), "the brokers can't be asked for a topic");
        }
    }

    /// librdkafka gives a producer up for good when its sequence numbers are lost.
    fn replace_if_broken(&mut self) {
        let Some((code, reason)) = self.producer.client().fatal_error() else {
            return;
        };
        tracing::warn!(%code, reason, "the producer is replaced: it can't go on");
        match create(&self.config) {
            Ok(fresh) => self.producer = fresh,
            Err(error) => tracing::error!(%error, "no new producer could be made"),
        }
    }
}

fn create(config: &ClientConfig) -> Result<ThreadedProducer<Acks>, LogError> {
    config.create_with_context(Acks).map_err(misconfigured)
}

/// Sends what was handed over without waiting for more; whether all of it was answered within that time.
/// rdkafka's own `flush` asks again and again without waiting, between which the records would linger.
fn sent_and_answered(producer: &ThreadedProducer<Acks>, within: Duration) -> bool {
    let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer is that of a living producer, and the call may be made from any thread. The records are
    // answered meanwhile on the producer's polling thread.
    let result = unsafe { rd_kafka_flush(producer.client().native_ptr(), millis) };
    result == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Why librdkafka does not take a record that it may take in a moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// It holds as much as it may.
    Full,
    /// The topic was made a moment ago: this producer has not heard of it yet.
    UnheardOf,
    /// The brokers refused this user's records. librdkafka asks again after 5 minutes only; the permission may be
    /// there by now.
    Forbidden,
}

fn obstacle(error: &KafkaError) -> Option<Obstacle> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::QueueFull => Some(Obstacle::Full),
        RDKafkaErrorCode::UnknownPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition => Some(Obstacle::UnheardOf),
        RDKafkaErrorCode::TopicAuthorizationFailed => Some(Obstacle::Forbidden),
        _ => None,
    }
}

/// Travels with a record through librdkafka and comes back with its answer.
struct Ticket {
    reply: Arc<Reply>,
    index: usize,
}

fn to_base<'a>(
    topic: &'a str,
    record: Outgoing<'a>,
    ticket: Ticket,
) -> BaseRecord<'a, [u8], [u8], Box<Ticket>> {
    let mut base = BaseRecord::with_opaque_to(topic, Box::new(ticket))
        .key(record.key)
        .payload(record.payload);
    base.partition = record.partition;
    base.headers = record.headers;
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
        ticket.reply.answer(ticket.index, outcome);
    }
}

fn classify(error: &KafkaError) -> LogError {
    match error.rdkafka_error_code() {
        Some(code) if is_too_large(code) => LogError::Refused("it is larger than the topic allows".into()),
        // Whoever runs the brokers can mend it, so the record is not to blame.
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => LogError::Misconfigured(format!(
            "the broker does not let this user write to the topic ({}): give it the permissions in docs/kafka.md",
            describe(error)
        )),
        Some(RDKafkaErrorCode::QueueFull) => LogError::Full,
        _ => LogError::Unavailable(describe(error)),
    }
}
