//! A writer for each topic, so that one topic's trouble holds up no other: while the leader of a partition of
//! `audit.events` is away, commands and rejections are appended as ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;

use super::LogError;
use super::producer::Producer;
use super::queue::Queue;
use super::topics;

/// What may wait and be under way together of a topic, in KiB: the bound of memory, and the point where callers are
/// pushed back.
const EVENTS_ROOM_KIB: usize = 64 * 1024;
const ROOM_KIB: usize = 16 * 1024;

/// The writers of this process. That of `audit.events` is there from the start, which is when settings that don't
/// fit are found; the others come with the first record of their topic, since each costs 0.7 % of a core when idle.
pub(super) struct Producers {
    client: ClientConfig,
    prefix: String,
    of: Mutex<HashMap<String, Producer>>,
}

impl Producers {
    pub(super) fn new(client: ClientConfig, prefix: &str) -> Result<Self, LogError> {
        let producers = Self {
            client,
            prefix: prefix.to_owned(),
            of: Mutex::default(),
        };
        producers.queue(topics::EVENTS)?;
        Ok(producers)
    }

    /// Where records of a topic wait for its writer.
    pub(super) fn queue(&self, topic: &str) -> Result<Arc<Queue>, LogError> {
        let mut of = self.lock();
        if let Some(producer) = of.get(topic) {
            return Ok(producer.queue());
        }
        let room = match topic {
            topics::EVENTS => EVENTS_ROOM_KIB,
            _ => ROOM_KIB,
        };
        let producer = Producer::new(&self.client, format!("{}{topic}", self.prefix), room)?;
        let queue = producer.queue();
        of.insert(topic.to_owned(), producer);
        Ok(queue)
    }

    /// Waits until everything handed over was answered, at most `within`.
    pub(super) fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let queues: Vec<_> = self
            .lock()
            .iter()
            .map(|(topic, producer)| (topic.clone(), producer.queue()))
            .collect();
        for (topic, queue) in queues {
            if !queue.drain(deadline.saturating_duration_since(Instant::now())) {
                tracing::warn!(topic, "records were still waiting for the log at the end");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Producer>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use confique::Config as _;
    use futures_util::FutureExt as _;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::super::{Config, Log, NewRecord};
    use super::*;

    type Cluster = MockCluster<'static, DefaultProducerContext>;

    /// Two brokers: the first leads partition 0 of audit.events, the second all the rest.
    fn cluster() -> (Cluster, Log) {
        let cluster = MockCluster::new(2).unwrap();
        for (topic, partitions) in [(topics::EVENTS, 2), (topics::CONTROL, 1)] {
            cluster.create_topic(topic, partitions, 2).unwrap();
            for partition in 0..partitions {
                let leader = if (topic, partition) == (topics::EVENTS, 0) {
                    1
                } else {
                    2
                };
                cluster.partition_leader(topic, partition, Some(leader)).unwrap();
            }
        }
        let config = Config {
            brokers: cluster.bootstrap_servers(),
            ..Config::builder().load().unwrap()
        };
        (cluster, Log::new(&config, "t").unwrap())
    }

    fn to(partition: i32) -> NewRecord<'static> {
        NewRecord {
            partition: Some(partition),
            key: b"key",
            payload: b"payload",
            headers: &[],
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_waits_for_an_absent_leader_holds_up_no_other_partition_and_no_other_topic() {
        let (cluster, log) = cluster();
        for partition in [0, 1] {
            log.append(topics::EVENTS, to(partition)).await.unwrap();
        }
        cluster.broker_down(1).unwrap();
        let mut waiting = Box::pin(log.append(topics::EVENTS, to(0)));
        assert!((&mut waiting).now_or_never().is_none());
        for offset in 1..4 {
            let beside = log.append(topics::EVENTS, to(1)).await.unwrap();
            assert_eq!(beside.offset, offset);
            let beside = log.append(topics::CONTROL, to(0)).await.unwrap();
            assert_eq!(beside.offset, offset - 1);
        }
        assert!((&mut waiting).now_or_never().is_none(), "its leader is away");
        cluster.broker_up(1).unwrap();
        let late = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        assert_eq!(late.unwrap().unwrap().offset, 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_missing_permission_is_not_held_against_the_record() {
        let (cluster, log) = cluster();
        log.append(topics::EVENTS, to(1)).await.unwrap();
        cluster.request_errors(
            RDKafkaApiKey::Produce,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
        );
        let refused = log.append(topics::EVENTS, to(1)).await.unwrap_err();
        assert!(matches!(refused, LogError::Misconfigured(_)), "{refused}");
        assert!(refused.to_string().contains("docs/kafka.md"), "{refused}");
        assert!(log.forbidden().is_some_and(|why| why.contains(topics::EVENTS)));
        let again = log.append(topics::EVENTS, to(1)).await.unwrap();
        assert_eq!(again.offset, 1);
        assert_eq!(log.forbidden(), None);
    }
}
