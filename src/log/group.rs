//! Sharing the partitions of a topic with other instances, and committing how far the work has come.

use std::sync::mpsc::SyncSender;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{describe, unavailable};
use super::fetch::{Fetch, Fetched};
pub use super::share::{Assignment, Gaps};
use super::{LogError, Record};

/// A member of a consumer group.
pub struct Group {
    fetch: Fetch,
}

/// What a member is told, in order.
pub enum GroupEvent {
    /// These partitions are its own from now on.
    Assigned(Vec<Assignment>),
    /// These go to somebody else: finish and commit them, then drop or call [`HandOver::done`].
    Revoked(Vec<i32>, HandOver),
    /// Records of its partitions, look-back included.
    Records(Vec<Record>),
    /// Reading can't go on by itself.
    Failed(LogError),
}

/// Lets go of revoked partitions.
pub struct HandOver(SyncSender<()>);

impl HandOver {
    /// Says that the partitions were put down in order.
    pub fn done(self) {
        let _ = self.0.send(());
    }
}

impl Group {
    pub(super) fn new(fetch: Fetch) -> Self {
        Self { fetch }
    }

    /// The next thing that happened; `None` when the reader has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<GroupEvent> {
        Some(match self.fetch.next().await? {
            Fetched::Records(records) => GroupEvent::Records(records),
            Fetched::Assigned(assignments) => GroupEvent::Assigned(assignments),
            Fetched::Revoked { partitions, done } => GroupEvent::Revoked(partitions, HandOver(done)),
            Fetched::Failed(error) => GroupEvent::Failed(error),
        })
    }

    /// Commits, for each partition, the next offset that is still to be processed. Waits for the broker.
    pub async fn commit(&self, next: &[(i32, i64)]) -> Result<(), LogError> {
        if next.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next {
            list.add_partition_offset(&self.fetch.topic, *partition, Offset::Offset(*offset))
                .map_err(unavailable)?;
        }
        let consumer = self.fetch.consumer.get();
        let committed = tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync)).await;
        match committed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => Ok(()),
            Ok(Err(error)) => Err(LogError::Unavailable(format!(
                "offsets not committed: {}",
                describe(&error)
            ))),
            Err(panicked) => Err(LogError::Unavailable(panicked.to_string())),
        }
    }
}
