//! Records of a topic that are appended together: gathered without waiting, then handed to its
//! [`queue`](super::queue) as one.

use std::time::Instant;

use rdkafka::message::{Header, OwnedHeaders};
use tokio::sync::oneshot;

use super::client::Log;
use super::queue::{Outcome, Queue, Waiting};
use super::{LogError, NewRecord};

/// Records on their way to the log, acknowledged together.
pub struct Batch {
    log: Log,
    topic: String,
    records: Records,
}

/// Encoded records of a batch, side by side in one buffer.
#[derive(Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    each: Vec<Span>,
}

/// Where a record lies in the buffer: its key, then its payload.
struct Span {
    partition: Option<i32>,
    key: usize,
    payload: usize,
    end: usize,
    headers: Option<OwnedHeaders>,
}

/// A record as librdkafka wants it.
pub(super) struct Outgoing<'a> {
    pub(super) partition: Option<i32>,
    pub(super) key: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) headers: Option<OwnedHeaders>,
}

impl Batch {
    pub(super) fn new(log: Log, topic: &str) -> Self {
        Self {
            log,
            topic: topic.to_owned(),
            records: Records::default(),
        }
    }

    /// Adds a record; nothing is sent yet.
    pub fn push(&mut self, record: NewRecord<'_>) {
        let records = &mut self.records;
        let key = records.bytes.len();
        records.bytes.extend_from_slice(record.key);
        let payload = records.bytes.len();
        records.bytes.extend_from_slice(record.payload);
        records.each.push(Span {
            partition: record.partition,
            key,
            payload,
            end: records.bytes.len(),
            headers: headers(record.headers),
        });
    }

    /// Appends them, and waits for all answers, in the order in which the records were added. A record that is
    /// answered [`LogError::Full`] was not sent.
    pub async fn finish(self) -> Vec<Outcome> {
        let expected = self.records.each.len();
        if expected == 0 {
            return Vec::new();
        }
        let outcomes = match self.log.queue(&self.topic) {
            Ok(queue) => send(&queue, self.records).await,
            Err(error) => Err(error),
        };
        self.log.wake(&self.topic);
        let outcomes = outcomes.unwrap_or_else(|error| vec![Err(error); expected]);
        self.log.refusals().note(&self.topic, &outcomes, Instant::now());
        outcomes
    }
}

async fn send(queue: &Queue, records: Records) -> Result<Vec<Outcome>, LogError> {
    let room = queue.room(records.bytes.len()).await?;
    let (answer, answered) = oneshot::channel();
    queue.push(Waiting::new(records, answer, room));
    answered
        .await
        .map_err(|_| LogError::Unavailable("the log's writer has ended".into()))
}

fn headers(headers: &[(&str, &[u8])]) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let all = OwnedHeaders::new_with_capacity(headers.len());
    Some(headers.iter().fold(all, |all, (key, value)| {
        all.insert(Header {
            key,
            value: Some(*value),
        })
    }))
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.each.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    #[cfg(test)]
    pub(super) fn of_sizes(sizes: &[usize]) -> Self {
        let mut records = Self::default();
        for size in sizes {
            let from = records.bytes.len();
            records.bytes.resize(from + size, 0);
            records.each.push(Span {
                partition: None,
                key: from,
                payload: from,
                end: from + size,
                headers: None,
            });
        }
        records
    }

    /// The records in order; gives the headers away.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Outgoing<'_>> {
        let bytes = &self.bytes;
        self.each.iter_mut().map(|span| Outgoing {
            partition: span.partition,
            key: bytes.get(span.key..span.payload).unwrap_or_default(),
            payload: bytes.get(span.payload..span.end).unwrap_or_default(),
            headers: span.headers.take(),
        })
    }
}
