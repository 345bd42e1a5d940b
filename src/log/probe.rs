//! Looking for a place in a partition by what its records say, where the broker's own index by time can't be relied on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Log, misconfigured, unavailable};
use super::pump::to_record;
use super::{LogError, Record};

/// How long one record may take to come.
const RECORD_WITHIN: Duration = Duration::from_secs(10);

impl Log {
    /// The first offset of a partition whose record is not `before`, found by halving; the partition's end where all
    /// are. Records must be in order in this respect.
    pub async fn first_not(
        &self,
        topic: &str,
        partition: i32,
        mut before: impl FnMut(&Record) -> bool + Send + 'static,
    ) -> Result<i64, LogError> {
        let (mut low, mut end) = self.bounds(topic, partition).await?;
        let mut config = self.reader_config();
        // Each answer should be one record and come at once.
        config
            .set("group.id", self.full_name("trailhouse-tail"))
            .set("fetch.wait.max.ms", "10")
            .set("fetch.message.max.bytes", "16384")
            .set("queued.min.messages", "1");
        let (full, name) = (self.full_name(topic), Arc::<str>::from(topic));
        let search = move || {
            let consumer: BaseConsumer = config.create().map_err(misconfigured)?;
            while low < end {
                let middle = low + (end - low) / 2;
                let Some(record) = record_at(&consumer, (&full, &name), partition, middle)? else {
                    end = middle;
                    continue;
                };
                match before(&record) {
                    true => low = record.offset + 1,
                    false => end = middle,
                }
            }
            Ok(low)
        };
        tokio::task::spawn_blocking(search)
            .await
            .unwrap_or_else(|panicked| Err(LogError::Unavailable(panicked.to_string())))
    }
}

/// The record at an offset, or the next one where there is none at it.
fn record_at(
    consumer: &BaseConsumer,
    (full, name): (&str, &Arc<str>),
    partition: i32,
    offset: i64,
) -> Result<Option<Record>, LogError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(full, partition, Offset::Offset(offset))
        .map_err(unavailable)?;
    consumer.assign(&list).map_err(unavailable)?;
    let deadline = Instant::now() + RECORD_WITHIN;
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => return Ok(Some(to_record(name, &message))),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) => {
                tracing::debug!(%error, "looking for a place in the log goes on after an error")
            }
            None => {}
        }
        if Instant::now() >= deadline {
            return Err(LogError::Unavailable("a record did not come in time".into()));
        }
    }
}
