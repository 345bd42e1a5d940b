//! Which events of the log say something else by now: history leaves them out, and shows the revision where it stands.

use std::collections::{HashMap, HashSet};

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::passed::Passed;
use crate::event::TenantId;
use crate::store::row::REVISED_VERSION;
use crate::store::{Statement, Store, StoreError, Value};

/// Where the winning revision of each revised event stands.
pub(super) struct Standing(HashMap<Uuid, (u64, u64)>);

impl Standing {
    /// Whether this is what the event says now.
    pub(super) fn has(&self, passed: &Passed) -> bool {
        let latest = self.0.get(&passed.event.event_id);
        latest.is_none_or(|latest| (passed.partition as u64, passed.offset as u64) == *latest)
    }
}

/// Asks the table about events of one tenant.
pub(super) async fn standing(
    store: &Store,
    tenant: &TenantId,
    events: &[Passed],
) -> Result<Standing, StoreError> {
    let times: HashSet<_> = events.iter().map(|passed| passed.event.time).collect();
    let mut sql = Statement::new();
    sql.push("SELECT event_id, argMax(log_partition, version) AS log_partition, argMax(log_offset, version) AS log_offset");
    sql.push(" FROM events WHERE tenant_id = ")
        .bind("String", Value::text(tenant.as_str()));
    sql.push(" AND time IN ")
        .bind("Array(DateTime64(6, 'UTC'))", Value::moments(times));
    sql.push(" AND event_id IN ").bind(
        "Array(UUID)",
        Value::texts(events.iter().map(|passed| passed.event.event_id.to_string())),
    );
    sql.push(" AND version >= ")
        .bind("UInt64", Value::number(REVISED_VERSION))
        .push(" GROUP BY event_id");
    let rows = store.rows::<Winning>(&sql).await?;
    let places = rows
        .into_iter()
        .map(|row| (row.event_id, (u64::from(row.log_partition), row.log_offset)));
    Ok(Standing(places.collect()))
}

#[derive(Row, Deserialize)]
struct Winning {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    log_partition: u16,
    log_offset: u64,
}
