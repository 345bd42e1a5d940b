//! Following one partition from an offset of the reader's choosing, outside any consumer group.

use super::fetch::{Fetch, Fetched};
use super::{LogError, Record};

/// A reader of one partition.
pub struct Tail {
    fetch: Fetch,
}

impl Tail {
    pub(super) fn new(fetch: Fetch) -> Self {
        Self { fetch }
    }

    /// The next records, in order; waits until there is at least one. Cancel safe.
    pub async fn next(&mut self) -> Result<Vec<Record>, LogError> {
        loop {
            match self.fetch.next().await {
                Some(Fetched::Records(records)) => return Ok(records),
                Some(Fetched::Failed(error)) => return Err(error),
                Some(Fetched::Assigned(_)) => {}
                Some(Fetched::Revoked { done, .. }) => {
                    let _ = done.send(());
                }
                None => return Err(LogError::Unavailable("the reader has ended".into())),
            }
        }
    }
}
