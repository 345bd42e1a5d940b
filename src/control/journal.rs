//! The control topic as this module needs it: one partition that is appended to, read from an offset, and asked how
//! far it goes. The log implements it; tests have one in memory.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::record::Record;
use crate::log::{self, Log, LogError, NewRecord, topics};

/// A record and where it stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its offset.
    pub offset: i64,
    /// What it holds.
    pub record: Record,
}

/// The log could not answer. Whether an append was taken is unknown then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is not available: {0}")]
pub struct JournalError(pub String);

/// The control topic.
pub trait Journal: Send + Sync + 'static {
    /// Appends, and gives the offset once the log has the record durably.
    fn append<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<i64, JournalError>>;
    /// Reads from an offset on.
    fn tail(&self, from: i64) -> Result<Box<dyn JournalTail>, JournalError>;
    /// The lowest offset that still exists, and the one that will be written next.
    fn bounds(&self) -> BoxFuture<'_, Result<(i64, i64), JournalError>>;
}

/// A reader of the control topic.
pub trait JournalTail: Send {
    /// The next records, at least one; waits for it. May be dropped at any time without losing a record.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Entry>, JournalError>>;
}

/// The header that holds a record's MAC.
const MAC_HEADER: &str = "mac";
/// The topic has one partition, so that all instances see one order.
const PARTITION: i32 = 0;

impl Journal for Log {
    fn append<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<i64, JournalError>> {
        async move {
            let headers = [(MAC_HEADER, record.mac.as_slice())];
            let (key, payload, headers) = (
                record.key.as_slice(),
                record.payload.as_slice(),
                headers.as_slice(),
            );
            let record = NewRecord {
                partition: Some(PARTITION),
                key,
                payload,
                headers,
            };
            Ok(Log::append(self, topics::CONTROL, record).await?.offset)
        }
        .boxed()
    }

    fn tail(&self, from: i64) -> Result<Box<dyn JournalTail>, JournalError> {
        Ok(Box::new(Log::tail(self, topics::CONTROL, PARTITION, from)?))
    }

    fn bounds(&self) -> BoxFuture<'_, Result<(i64, i64), JournalError>> {
        async move { Ok(Log::bounds(self, topics::CONTROL, PARTITION).await?) }.boxed()
    }
}

impl JournalTail for log::Tail {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Entry>, JournalError>> {
        async move {
            let entry = |record: log::Record| Entry {
                offset: record.offset,
                record: (&record).into(),
            };
            Ok(log::Tail::next(self).await?.into_iter().map(entry).collect())
        }
        .boxed()
    }
}

impl From<&log::Record> for Record {
    fn from(record: &log::Record) -> Self {
        Self {
            mac: record.header(MAC_HEADER).unwrap_or_default().to_vec(),
            key: record.key.clone(),
            payload: record.payload.clone(),
        }
    }
}

impl From<LogError> for JournalError {
    fn from(error: LogError) -> Self {
        Self(error.to_string())
    }
}

#[cfg(test)]
pub(crate) mod memory {
    //! A control topic in memory, which can be cut off.

    use std::sync::Arc;

    use tokio::sync::watch;

    use super::*;

    /// What stands in the topic, and whether it can be reached.
    #[derive(Clone, Default)]
    struct Topic {
        records: Vec<Record>,
        away: bool,
    }

    /// Clones are connections to the same topic.
    #[derive(Clone)]
    pub(crate) struct MemoryJournal {
        topic: Arc<watch::Sender<Topic>>,
    }

    impl MemoryJournal {
        pub(crate) fn new() -> Self {
            Self {
                topic: Arc::new(watch::Sender::new(Topic::default())),
            }
        }

        /// Cuts everybody off, or lets them back.
        pub(crate) fn set_away(&self, away: bool) {
            self.topic.send_modify(|topic| topic.away = away);
        }

        /// Writes a record as somebody does who can reach the broker.
        pub(crate) fn put(&self, record: Record) -> i64 {
            let mut offset = 0;
            self.topic.send_modify(|topic| {
                offset = topic.records.len() as i64;
                topic.records.push(record);
            });
            offset
        }

        pub(crate) fn records(&self) -> Vec<Record> {
            self.topic.borrow().records.clone()
        }

        fn reach(&self) -> Result<(), JournalError> {
            if self.topic.borrow().away {
                Err(JournalError("cut off".into()))
            } else {
                Ok(())
            }
        }
    }

    impl Journal for MemoryJournal {
        fn append<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<i64, JournalError>> {
            async move {
                tokio::task::yield_now().await;
                self.reach()?;
                Ok(self.put(record.clone()))
            }
            .boxed()
        }

        fn tail(&self, from: i64) -> Result<Box<dyn JournalTail>, JournalError> {
            Ok(Box::new(MemoryTail {
                topic: self.topic.subscribe(),
                at: from as usize,
            }))
        }

        fn bounds(&self) -> BoxFuture<'_, Result<(i64, i64), JournalError>> {
            async move {
                self.reach()?;
                Ok((0, self.topic.borrow().records.len() as i64))
            }
            .boxed()
        }
    }

    struct MemoryTail {
        topic: watch::Receiver<Topic>,
        at: usize,
    }

    impl JournalTail for MemoryTail {
        fn next(&mut self) -> BoxFuture<'_, Result<Vec<Entry>, JournalError>> {
            async move {
                let at = self.at;
                let topic = self
                    .topic
                    .wait_for(|topic| topic.records.len() > at && !topic.away)
                    .await;
                let records = topic.map_err(|_| JournalError("gone".into()))?.records[at..].to_vec();
                self.at += records.len();
                let entry = |(i, record)| Entry {
                    offset: (at + i) as i64,
                    record,
                };
                Ok(records.into_iter().enumerate().map(entry).collect())
            }
            .boxed()
        }
    }
}
