//! The connection to the brokers: configuration, the handle everything else goes through, and questions about topics.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use confique::Config as Confique;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use secrecy::SecretString;

use super::batch::Batch;
use super::fetch::{Fetch, Start};
use super::producers::Producers;
use super::queue::Queue;
use super::refusals::Refusals;
use super::settings::{KEPT, client_config};
use super::share::Gaps;
use super::waker::Waker;
use super::{Group, LogError, NewRecord, Position, Tail};

/// How to reach the log. With no `brokers`, the embedded broker is started and used.
#[derive(Clone, Debug, Confique)]
pub struct Config {
    /// Comma-separated `host:port` of Kafka or Redpanda brokers. Empty: the embedded log.
    #[config(default = "")]
    pub brokers: String,
    /// Put before every topic and group name, so that several deployments can share brokers.
    #[config(default = "")]
    pub prefix: String,
    /// Partitions of `audit.events` and `audit.inbox`, fixed when they are created. Unset: 4, or 1 on the embedded
    /// broker, which pays by the request and writes one at a time anyway.
    pub partitions: Option<i32>,
    /// Replicas of every topic. 3 also asks for two in-sync replicas and no unclean election.
    #[config(default = 1)]
    pub replication: i32,
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    #[config(default = "plaintext")]
    pub security_protocol: String,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`, with a `sasl_` protocol.
    #[config(default = "SCRAM-SHA-512")]
    pub sasl_mechanism: String,
    /// User for SASL.
    #[config(default = "")]
    pub sasl_username: String,
    /// Password for SASL; better given by the environment than in a file.
    pub sasl_password: Option<SecretString>,
    /// PEM file of the authority that signed the brokers' certificates. Empty: the system's.
    #[config(default = "")]
    pub ssl_ca_location: String,
    /// PEM file of this client's certificate, for mutual TLS.
    #[config(default = "")]
    pub ssl_certificate_location: String,
    /// PEM file of this client's key, for mutual TLS.
    #[config(default = "")]
    pub ssl_key_location: String,
    /// URL of a Confluent-compatible schema registry. Empty: Avro single-object encoding.
    #[config(default = "")]
    pub schema_registry: String,
    /// User for the schema registry.
    #[config(default = "")]
    pub schema_registry_username: String,
    /// Password for the schema registry.
    pub schema_registry_password: Option<SecretString>,
    /// Further librdkafka settings, by their own names.
    #[config(default = {})]
    pub librdkafka: HashMap<String, String>,
}

impl Config {
    /// A sentence when no topic can be made with these settings.
    pub fn problem(&self) -> Option<String> {
        let counts = [
            ("replication", Some(self.replication)),
            ("partitions", self.partitions),
        ];
        let (name, count) = counts
            .into_iter()
            .find_map(|(name, count)| Some((name, count.filter(|count| *count < 1)?)))?;
        Some(format!("log.{name} is {count}; it must be at least 1"))
    }
}

/// The log. Cheap to clone; all clones share the producers.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    member: String,
    producers: Producers,
    refusals: Refusals,
    /// Answers questions about offsets; never reads records.
    asker: BaseConsumer<DefaultConsumerContext>,
    wakers: Mutex<HashMap<String, Waker>>,
}

impl Log {
    /// Prepares the connection; nothing is sent yet. `member` names this instance in consumer groups (static
    /// membership): it must be the same after a restart, and differ between instances.
    pub fn new(config: &Config, member: &str) -> Result<Self, LogError> {
        if let Some(kept) = KEPT.iter().find(|name| config.librdkafka.contains_key(**name)) {
            return Err(LogError::Misconfigured(format!(
                "log.librdkafka can't set {kept}: what Trailhouse promises depends on it"
            )));
        }
        let client = client_config(config);
        let mut asker = client.clone();
        asker
            .set("group.id", format!("{}trailhouse-asker", config.prefix))
            .set("enable.auto.commit", "false");
        Ok(Self {
            inner: Arc::new(Inner {
                producers: Producers::new(client, &config.prefix)?,
                refusals: Refusals::default(),
                asker: asker.create().map_err(misconfigured)?,
                config: config.clone(),
                member: member.to_owned(),
                wakers: Mutex::default(),
            }),
        })
    }

    /// Appends one record and waits until the log has it. Topics are named without the configured prefix, as in
    /// [`topics::EVENTS`](super::topics::EVENTS).
    pub async fn append(&self, topic: &str, record: NewRecord<'_>) -> Result<Position, LogError> {
        let mut batch = self.append_all(topic);
        batch.push(record);
        match batch.finish().await.pop() {
            Some(outcome) => outcome,
            None => Err(LogError::Unavailable("no answer".into())),
        }
    }

    /// Begins a batch: records are added one by one, sent together and acknowledged together.
    pub fn append_all(&self, topic: &str) -> Batch {
        Batch::new(self.clone(), topic)
    }

    /// Follows one partition from an offset.
    pub fn tail(&self, topic: &str, partition: i32, from: i64) -> Result<Tail, LogError> {
        let mut config = self.reader_config();
        config.set("group.id", format!("{}trailhouse-tail", self.inner.config.prefix));
        let start = Start::At {
            partition,
            offset: from,
        };
        Ok(Tail::new(Fetch::start(
            config,
            self.full_name(topic),
            topic,
            start,
            self.waker(topic),
        )?))
    }

    /// Joins a consumer group on a topic; each partition is read from `look_back` offsets before the commit.
    pub fn group(&self, group: &str, topic: &str, look_back: i64, gaps: Gaps) -> Result<Group, LogError> {
        let mut config = self.reader_config();
        config
            .set("group.id", self.full_name(group))
            .set("group.instance.id", format!("{}-{group}", self.inner.member))
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("partition.assignment.strategy", "cooperative-sticky");
        let start = Start::Group { look_back, gaps };
        Ok(Group::new(Fetch::start(
            config,
            self.full_name(topic),
            topic,
            start,
            self.waker(topic),
        )?))
    }

    /// The first offset a partition still has, and the next one to be written.
    pub async fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), LogError> {
        let name = self.full_name(topic);
        self.ask(move |asker| asker.fetch_watermarks(&name, partition, ASK_TIMEOUT))
            .await
    }

    /// How many partitions a topic has; `None` when it does not exist.
    pub async fn partitions(&self, topic: &str) -> Result<Option<i32>, LogError> {
        let name = self.full_name(topic);
        self.ask(move |asker| {
            let metadata = asker.fetch_metadata(Some(&name), ASK_TIMEOUT)?;
            Ok(metadata
                .topics()
                .iter()
                .find(|topic| topic.name() == name && topic.error().is_none())
                .map(|topic| topic.partitions().len() as i32)
                .filter(|count| *count > 0))
        })
        .await
    }

    /// The offset a group has committed for a partition: the next one it will process.
    pub async fn committed(&self, group: &str, topic: &str, partition: i32) -> Result<Option<i64>, LogError> {
        let mut config = client_config(&self.inner.config);
        config.set("group.id", self.full_name(group));
        let name = self.full_name(topic);
        blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let mut list = rdkafka::TopicPartitionList::new();
            list.add_partition(&name, partition);
            let committed = consumer.committed_offsets(list, ASK_TIMEOUT)?;
            Ok(committed
                .elements()
                .first()
                .and_then(|element| element.offset().to_raw())
                .filter(|raw| *raw >= 0))
        })
        .await
    }

    /// The configuration this log was made with.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// The name on the broker of a topic or group.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.inner.config.prefix)
    }

    /// Waits until everything handed over has been answered, at most `within`. Blocks.
    pub fn flush(&self, within: Duration) {
        self.inner.producers.flush(within);
    }

    /// A sentence where the brokers lately did not let this user write to a topic.
    pub fn forbidden(&self) -> Option<String> {
        let topic = self.inner.refusals.lately(Instant::now())?;
        Some(format!(
            "the brokers don't let this user write to {}: give it the permissions in docs/kafka.md",
            self.full_name(&topic)
        ))
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.inner.refusals
    }

    pub(super) fn queue(&self, topic: &str) -> Result<Arc<Queue>, LogError> {
        self.inner.producers.queue(topic)
    }

    pub(super) fn client_config(&self) -> ClientConfig {
        client_config(&self.inner.config)
    }

    /// Wakes the readers of a topic in this process.
    pub(super) fn wake(&self, topic: &str) {
        self.waker(topic).wake();
    }

    fn waker(&self, topic: &str) -> Waker {
        let mut wakers = self
            .inner
            .wakers
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        wakers.entry(topic.to_owned()).or_default().clone()
    }

    pub(super) fn reader_config(&self) -> ClientConfig {
        let mut config = client_config(&self.inner.config);
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Offsets are always stated; anything else means that the log lost records.
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            // The embedded broker ends a fetch with what it has gathered within this time, at 30 µs a record: with 10 ms
            // readers fall behind while much is written, with 400 ms they hold up the writers.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.min.messages", "20000")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.message.max.bytes", "2097152")
            .set("max.poll.interval.ms", "3600000");
        config
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, LogError> {
        let inner = self.inner.clone();
        blocking(move || question(&inner.asker)).await
    }
}

/// How long a question to the brokers may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(unavailable),
        Err(panicked) => Err(LogError::Unavailable(panicked.to_string())),
    }
}

pub(super) fn unavailable(error: KafkaError) -> LogError {
    LogError::Unavailable(describe(&error))
}

pub(super) fn misconfigured(error: KafkaError) -> LogError {
    LogError::Misconfigured(format!(
        "the log's settings don't fit librdkafka: {}",
        describe(&error)
    ))
}

/// What went wrong, in the words of the protocol.
pub(super) fn describe(error: &KafkaError) -> String {
    let mut text = String::new();
    let _ = match error.rdkafka_error_code() {
        Some(code) => write!(text, "{code}"),
        None => write!(text, "{error}"),
    };
    text
}

pub(super) fn is_too_large(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::builder().load().unwrap()
    }

    #[test]
    fn what_is_promised_can_not_be_set_away() {
        let librdkafka = HashMap::from([("acks".to_owned(), "0".to_owned())]);
        let config = Config {
            librdkafka,
            ..config()
        };
        let error = Log::new(&config, "t").err().unwrap();
        assert!(error.to_string().contains("acks"), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_setting_is_named() {
        let config = Config {
            librdkafka: HashMap::from([("no.such".to_owned(), "1".to_owned())]),
            ..config()
        };
        let error = Log::new(&config, "t").err().unwrap();
        assert!(matches!(error, LogError::Misconfigured(_)), "{error}");
        assert!(error.to_string().contains("no.such"), "{error}");
    }
}
