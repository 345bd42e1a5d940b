//! An event as it stands, with its history: for whoever shows it, and for whoever revises it.

use clickhouse::Row;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::arrival::Looks;
use super::{Queries, QueryError};
use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::event::revision::{History, Standing};
use crate::event::{Event, TenantId};
use crate::store::row::revision_of;
use crate::store::{Statement, Value};

/// How often a history is sought that fits the event: between the two questions the event may be revised.
const LOOKS: usize = 5;

/// An event, and what was changed of it where that is anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Stands {
    /// Of its row: tells this revision from any other.
    pub version: u64,
    /// As it is now.
    pub event: Event,
    /// How it came to be so.
    pub history: Option<History>,
}

impl Stands {
    /// For the rules that make the next revision.
    pub fn standing(&self) -> Standing<'_> {
        Standing {
            event: &self.event,
            history: self.history.as_ref(),
        }
    }
}

#[derive(Row, Deserialize)]
struct Newest {
    version: u64,
    history: String,
}

impl Queries {
    /// The same event as [`get`](Self::get) gives, with its history.
    pub async fn standing(
        &self,
        principal: &Principal,
        tenant: Option<&str>,
        id: &str,
    ) -> Result<Option<Stands>, QueryError> {
        for _ in 0..LOOKS {
            let found = self.get_with_version(principal, tenant, id).await?;
            let Some((version, event)) = found else {
                return Ok(None);
            };
            if revision_of(version) == 0 {
                let history = None;
                return Ok(Some(Stands {
                    version,
                    event,
                    history,
                }));
            }
            let newest = self.newest(&event.tenant_id, event.time, event.event_id).await?;
            let history = newest
                .filter(|newest| newest.version == version)
                .and_then(|newest| History::parse(&newest.history));
            if history.is_some() {
                return Ok(Some(Stands {
                    version,
                    event,
                    history,
                }));
            }
        }
        Err(QueryError::Busy)
    }

    /// Whether the table holds this version of an event, or one that counts more, before the deadline. False also when
    /// ClickHouse is away.
    pub async fn wait_for_version(&self, event: &Event, version: u64, deadline: Instant) -> bool {
        let arrived = async {
            let mut looks = Looks::default();
            loop {
                let newest = self.newest(&event.tenant_id, event.time, event.event_id).await;
                if matches!(newest, Ok(Some(newest)) if newest.version >= version) {
                    return;
                }
                looks.pause().await;
            }
        };
        tokio::time::timeout_at(deadline, arrived).await.is_ok()
    }

    /// Of the rows of an event the one that counts.
    async fn newest(
        &self,
        tenant: &TenantId,
        time: Timestamp,
        id: Uuid,
    ) -> Result<Option<Newest>, QueryError> {
        let mut sql = Statement::new();
        sql.push("SELECT version, history");
        sql.push(" FROM events WHERE tenant_id = ")
            .bind("String", Value::text(tenant.as_str()));
        sql.push(" AND time IN ")
            .bind("Array(DateTime64(6, 'UTC'))", Value::moments([time]));
        sql.push(" AND event_id = ")
            .bind("UUID", Value::text(id.to_string()));
        sql.push(" ORDER BY version DESC LIMIT 1");
        Ok(self.store().rows::<Newest>(&sql).await?.pop())
    }
}
