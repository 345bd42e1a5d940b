//! Waiting until what was just taken can be found, where another instance projects its partition.

use std::collections::HashSet;
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Queries, QueryError};
use crate::auth::Principal;
use crate::ingest::Receipt;
use crate::store::{Statement, Value};

/// Between two looks, and when somebody has looked for long: then nobody is told at once.
const PAUSE: Duration = Duration::from_millis(100);
const LONG_PAUSE: Duration = Duration::from_secs(2);
/// Looks before the pauses become long: of ten seconds and more.
const CLOSE_LOOKS: usize = 150;

/// Events that are looked for at once: with many more, every granule has one that its filter can't rule out.
const AT_ONCE: usize = 100;

impl Queries {
    /// Whether all events of these receipts are in the table before the deadline. False also when ClickHouse is away:
    /// they are kept all the same.
    pub async fn wait_for(&self, principal: &Principal, receipts: &[Receipt], deadline: Instant) -> bool {
        let arrived = async {
            let mut looks = Looks::default();
            for receipts in receipts.chunks(AT_ONCE) {
                while !self.have_arrived(principal, receipts).await.unwrap_or(false) {
                    looks.pause().await;
                }
            }
        };
        tokio::time::timeout_at(deadline, arrived).await.is_ok()
    }

    /// By id alone: a copy of an event that was held already stands at another offset than its receipt says.
    async fn have_arrived(&self, principal: &Principal, receipts: &[Receipt]) -> Result<bool, QueryError> {
        let ids: HashSet<Uuid> = receipts.iter().map(|receipt| receipt.event_id).collect();
        let mut sql = Statement::new();
        sql.push("SELECT uniqExact(event_id) AS events FROM events WHERE tenant_id = ");
        sql.bind("String", Value::text(principal.tenant().as_str()));
        sql.push(" AND event_id IN ")
            .bind("Array(UUID)", Value::texts(ids.iter().map(Uuid::to_string)));
        let rows = self.store().rows::<Arrived>(&sql).await?;
        Ok(rows.first().is_some_and(|row| row.events == ids.len() as u64))
    }
}

/// How often somebody has looked in vain.
#[derive(Default)]
pub(super) struct Looks(usize);

impl Looks {
    /// Waits before the next look.
    pub(super) async fn pause(&mut self) {
        self.0 += 1;
        let pause = if self.0 < CLOSE_LOOKS { PAUSE } else { LONG_PAUSE };
        tokio::time::sleep(pause).await;
    }
}

#[derive(Row, Deserialize)]
struct Arrived {
    events: u64,
}
