//! Sharing: what the group decides about partitions, on the thread of the reader that it concerns.
//!
//! A reader is told of its new partitions before their first record comes, and of those it loses while it still
//! owns them, so that it can finish and commit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::LogError;
use super::client::describe;
use super::fetch::{ASK_TIMEOUT, Fetched};
use super::source::{Places, lock};

/// How long a reader may take to put down a partition that goes to another instance.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(10);
/// The pause between two offers of a word to a reader that has no room for it.
const OFFER_AGAIN: Duration = Duration::from_millis(5);
/// The pause between two questions to brokers that don't answer.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A partition that is this reader's from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Which one.
    pub partition: i32,
    /// The first offset the reader will be given: the look-back begins here.
    pub from: i64,
    /// The first offset that is not yet processed: everything before is look-back.
    pub next: i64,
}

/// What to do when the log no longer has the record that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// Stop: records are lost, and somebody must know.
    Fail,
    /// Go on with the first one there is: the topic keeps its records for a time only.
    Skip,
}

fn gap(element: &TopicPartitionListElem<'_>, next: i64, low: i64, end: i64) -> LogError {
    LogError::Misconfigured(format!(
        "offset {next} of {}/{} is due, and the log has {low} to {end}: its retention removed records, or the topic was made anew. \
         Restore it; or, for a new log, use a new log.prefix and another clickhouse.database",
        element.topic(),
        element.partition()
    ))
}

/// Receives the group's decisions on the reader's thread.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) events: mpsc::Sender<Fetched>,
    pub(super) look_back: i64,
    pub(super) gaps: Gaps,
    pub(super) places: Places,
    /// Another consumer has taken the place of the one that this belongs to.
    pub(super) retired: Arc<AtomicBool>,
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = describe(&error), reason, "a reader met an error");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        };
        if let Err(error) = result {
            tracing::error!(error = describe(&error), "a change of partitions failed");
        }
    }
}

impl Context {
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> Result<(), KafkaError> {
        // Nobody asks again: a partition that is not taken now is this member's for the group, and read by none.
        // So the questions are repeated until a broker answers, or the reader is dropped.
        let assignments = loop {
            match self.starts(consumer, list) {
                Ok(assignments) => break assignments,
                Err(error) if self.events.is_closed() => return Err(error),
                Err(error) => {
                    tracing::warn!(
                        error = describe(&error),
                        "can't ask where to begin reading; asking again"
                    );
                    std::thread::sleep(ASK_AGAIN);
                }
            }
        };
        // A pause may end before the first record of a new partition comes, or long after it was read before.
        lock(&self.places).extend(assignments.iter().map(|new| (new.partition, new.from)));
        // First the word, then the records.
        if !assignments.is_empty() {
            let _ = self.events.blocking_send(Fetched::Assigned(assignments));
        }
        consumer.incremental_assign(list)
    }

    /// Where each partition is read from; noted in `list` as well.
    fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &mut TopicPartitionList,
    ) -> Result<Vec<Assignment>, KafkaError> {
        let committed = consumer.committed_offsets(list.clone(), ASK_TIMEOUT)?;
        let mut assignments = Vec::new();
        for element in committed.elements() {
            element.error()?;
            let (low, end) = consumer.fetch_watermarks(element.topic(), element.partition(), ASK_TIMEOUT)?;
            let committed = element.offset().to_raw().filter(|raw| *raw >= 0);
            let next = committed.unwrap_or(low);
            // The embedded broker does not say that an offset is out of range, so nobody else would notice.
            if (next < low || next > end) && self.gaps == Gaps::Fail {
                let _ = self
                    .events
                    .blocking_send(Fetched::Failed(gap(&element, next, low, end)));
            }
            let next = next.clamp(low, end);
            let from = (next - self.look_back).max(low).min(next);
            list.set_partition_offset(element.topic(), element.partition(), Offset::Offset(from))?;
            assignments.push(Assignment {
                partition: element.partition(),
                from,
                next,
            });
        }
        Ok(assignments)
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<(), KafkaError> {
        // What a consumer says that was replaced is not about the partitions of the one that took its place.
        if !self.retired.load(Ordering::Acquire) {
            self.put_down(
                list.elements()
                    .iter()
                    .map(|element| element.partition())
                    .collect(),
            );
        }
        consumer.incremental_unassign(list)
    }

    /// Tells the reader that these are no longer its own, and waits until it has finished with them.
    fn put_down(&self, partitions: Vec<i32>) {
        if partitions.is_empty() {
            return;
        }
        lock(&self.places).retain(|partition, _| !partitions.contains(partition));
        let (done, finished) = blocking::sync_channel(1);
        let deadline = Instant::now() + HAND_OVER_WITHIN;
        // A reader that takes longer is overtaken: the next owner asks what is held before it writes.
        let mut word = Fetched::Revoked { partitions, done };
        while let Err(mpsc::error::TrySendError::Full(back)) = self.events.try_send(word) {
            if Instant::now() >= deadline {
                return;
            }
            word = back;
            std::thread::sleep(OFFER_AGAIN);
        }
        let _ = finished.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }

    /// Puts everything down, before another consumer takes this one's place.
    pub(super) fn retire(&self) {
        let partitions = lock(&self.places).keys().copied().collect();
        self.put_down(partitions);
        self.retired.store(true, Ordering::Release);
    }

    /// The same for another consumer.
    pub(super) fn fresh(&self) -> Self {
        Self {
            retired: Arc::default(),
            ..self.clone()
        }
    }
}
