//! What a reader reads with: the consumer of the moment, all that another one is made from, and where it stands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::LogError;
use super::client::misconfigured;
use super::fetch::{Fetched, Start};
use super::share::{Context, Gaps};

/// The next offset to be read of each partition, as the reader's thread knows it.
pub(super) type Places = Arc<Mutex<BTreeMap<i32, i64>>>;

/// The consumer of the moment, for whoever commits.
#[derive(Clone)]
pub(super) struct Current(Arc<Mutex<Arc<BaseConsumer<Context>>>>);

impl Current {
    pub(super) fn new(consumer: Arc<BaseConsumer<Context>>) -> Self {
        Self(Arc::new(Mutex::new(consumer)))
    }

    pub(super) fn get(&self) -> Arc<BaseConsumer<Context>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, consumer: BaseConsumer<Context>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(consumer);
    }
}

/// All that a consumer is made from.
pub(super) struct Source {
    config: ClientConfig,
    pub(super) topic: String,
    pub(super) start: Start,
    pub(super) context: Context,
}

impl Source {
    pub(super) fn new(
        config: ClientConfig,
        topic: String,
        start: Start,
        events: mpsc::Sender<Fetched>,
    ) -> Self {
        let places = Places::default();
        let (look_back, gaps) = match start {
            Start::Group { look_back, gaps } => (look_back, gaps),
            Start::At { partition, offset } => {
                lock(&places).insert(partition, offset);
                (0, Gaps::Fail)
            }
        };
        let context = Context {
            events,
            look_back,
            gaps,
            places,
            retired: Arc::default(),
        };
        Self {
            config,
            topic,
            start,
            context,
        }
    }

    pub(super) fn consumer(&self) -> Result<BaseConsumer<Context>, LogError> {
        let consumer = BaseConsumer::from_config_and_context(&self.config, self.context.fresh())
            .map_err(misconfigured)?;
        match self.start {
            Start::Group { .. } => consumer.subscribe(&[&self.topic]),
            Start::At { .. } => self.standing().and_then(|list| consumer.assign(&list)),
        }
        .map_err(misconfigured)?;
        Ok(consumer)
    }

    /// The partitions that are read, each with the next offset.
    pub(super) fn standing(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in lock(&self.context.places).iter() {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*next))?;
        }
        Ok(list)
    }
}

pub(super) fn lock(places: &Places) -> MutexGuard<'_, BTreeMap<i32, i64>> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}
