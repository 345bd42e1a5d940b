//! What the table holds already: asked by the door before it appends an old event, and by the projector before it
//! repeats an insert of unknown outcome.

use std::collections::HashMap;
use std::ops::Range;

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::row::{EventRow, FIRST_VERSION, REVISED_VERSION};
use super::{Statement, Store, StoreError, Value};
use crate::clock::Timestamp;
use crate::event::TenantId;
use crate::event::content::Content;
use crate::event::revision::History;

/// Keys in one question. Each may lie in a granule of its own, which costs about 1,024 rows of the key columns.
const KEYS_A_QUERY: usize = 2_000;

/// What stands under an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Of the copy that wins.
    pub version: u64,
    /// What it says; where it was revised, what its first copy said.
    pub content: Content,
}

/// Where an event lies in the table, within its tenant: what makes it the one it is.
pub type Place = (Timestamp, Uuid);

impl Store {
    /// Which of these events of a tenant `table` holds, each with its highest version.
    pub async fn held_versions(
        &self,
        table: &str,
        tenant: &TenantId,
        keys: &[Place],
    ) -> Result<HashMap<Place, u64>, StoreError> {
        let mut found = HashMap::new();
        for keys in keys.chunks(KEYS_A_QUERY) {
            let statement = by_keys("SELECT time, event_id, version", table, tenant, keys);
            for row in self.rows::<HeldVersion>(&statement).await? {
                let place = (Timestamp::from_micros(row.time), row.event_id);
                let highest: &mut u64 = found.entry(place).or_default();
                *highest = row.version.max(*highest);
            }
        }
        Ok(found)
    }

    /// What the events at these places say, by their ids; where several copies stand, the one that wins.
    pub async fn held_at(
        &self,
        tenant: &TenantId,
        places: &[Place],
    ) -> Result<HashMap<Uuid, Standing>, StoreError> {
        let questions = places.chunks(KEYS_A_QUERY);
        let questions = questions.map(|places| by_keys(COMPARED_COLUMNS, "events", tenant, places));
        self.contents(questions).await
    }

    /// What the events of a tenant with these ids say, whenever they happened; where several stand, the one that wins.
    pub async fn held_by_id(
        &self,
        table: &str,
        tenant: &TenantId,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, Standing>, StoreError> {
        let questions = ids.chunks(KEYS_A_QUERY).map(|ids| {
            let mut statement = Statement::new();
            statement
                .push(COMPARED_COLUMNS)
                .push(" FROM ")
                .bind("Identifier", Value::text(table))
                .push(" WHERE tenant_id = ")
                .bind("String", Value::text(tenant.as_str()))
                .push(" AND event_id IN ")
                .bind("Array(UUID)", Value::texts(ids.iter().map(Uuid::to_string)));
            statement
        });
        self.contents(questions).await
    }

    /// Of each row only what it takes to compare it is kept: a bulk may ask for 100,000 events of 256 KiB.
    async fn contents(
        &self,
        questions: impl Iterator<Item = Statement>,
    ) -> Result<HashMap<Uuid, Standing>, StoreError> {
        let mut found: HashMap<Uuid, Standing> = HashMap::new();
        for statement in questions {
            self.each::<EventRow<'_>, _>(&statement, |row| {
                let (version, event_id) = (row.version, row.event_id);
                let held = found.get(&event_id);
                if held.is_none_or(|held| held.version < version) {
                    let original = History::parse(&row.history).map(|history| history.original());
                    let content = match original {
                        Some(original) => original,
                        None => row.into_event()?.content(),
                    };
                    found.insert(event_id, Standing { version, content });
                }
                Ok(())
            })
            .await?;
        }
        Ok(found)
    }

    /// Those of a stretch of offsets of one partition of a log that stand in `table`.
    pub async fn held_between(
        &self,
        table: &str,
        log_id: Uuid,
        partition: u16,
        offsets: Range<u64>,
    ) -> Result<Vec<u64>, StoreError> {
        #[derive(Row, Deserialize)]
        struct Offset {
            log_offset: u64,
        }
        let statement = by_offsets("SELECT log_offset", table, log_id, partition, offsets);
        let rows = self.rows::<Offset>(&statement).await?;
        Ok(rows.into_iter().map(|row| row.log_offset).collect())
    }

    /// The last offset of one partition of a log that stands in `table`, from an offset on.
    pub async fn last_held(
        &self,
        table: &str,
        log_id: Uuid,
        partition: u16,
        from: u64,
    ) -> Result<Option<u64>, StoreError> {
        #[derive(Row, Deserialize)]
        struct Last {
            last: u64,
        }
        let select = "SELECT max(log_offset) AS last";
        let mut statement = by_offsets(select, table, log_id, partition, from..u64::MAX);
        // No row where there is none, not a 0.
        statement.push(" HAVING count() > 0");
        let rows = self.rows::<Last>(&statement).await?;
        Ok(rows.first().map(|row| row.last))
    }
}

/// What stands of a partition, pruned by version: it falls as the offset of an original rises. Of revisions, which are
/// few, the version tells the number first, so they are looked through.
pub(super) fn by_offsets(
    select: &'static str,
    table: &str,
    log_id: Uuid,
    partition: u16,
    Range { start, end }: Range<u64>,
) -> Statement {
    let mut statement = Statement::new();
    statement
        .push(select)
        .push(" FROM ")
        .bind("Identifier", Value::text(table));
    for (condition, number) in [
        (" WHERE (version <= ", FIRST_VERSION.saturating_sub(start)),
        (" AND version > ", FIRST_VERSION.saturating_sub(end)),
        (" OR version >= ", REVISED_VERSION),
        (" AND log_offset >= ", start),
        (" AND log_offset < ", end),
    ] {
        statement.push(condition).bind("UInt64", Value::number(number));
    }
    statement
        .push(") AND log_id = ")
        .bind("UUID", Value::text(log_id.to_string()));
    statement
        .push(" AND log_partition = ")
        .bind("UInt16", Value::number(partition));
    statement
}

/// Every stored column of an event.
pub(crate) const EVENT_COLUMNS: &str = "SELECT tenant_id, time, event_id, received_at, time_offset, time_from, \
    source_event_id, event_type, action, severity, outcome, actor_id, actor_type, actor_name, actor_email, \
    session_id, ip, user_agent, resource_type, resource_id, resource_name, message, before, after, details, \
    details_types, request_id, trace_id, tags, source, source_id, provenance, raw, raw_sha256, raw_redacted, \
    history, log_id, log_partition, version";

/// Those that tell what an event says; with the history, which tells what its first copy said.
const COMPARED_COLUMNS: &str = "SELECT tenant_id, time, event_id, received_at, time_offset, time_from, \
    source_event_id, event_type, action, severity, outcome, actor_id, actor_type, actor_name, actor_email, session_id, \
    ip, user_agent, resource_type, resource_id, resource_name, message, before, after, details, details_types, \
    request_id, trace_id, tags, source, source_id, provenance, '' AS raw, '' AS raw_sha256, \
    CAST([] AS Array(String)) AS raw_redacted, history, toUUID('00000000-0000-0000-0000-000000000000') AS log_id, \
    toUInt16(0) AS log_partition, version";

/// Times prune on the primary key, ids say which. A row of another pair of them can slip in: callers look closer.
fn by_keys(columns: &'static str, table: &str, tenant: &TenantId, keys: &[Place]) -> Statement {
    let mut statement = Statement::new();
    statement
        .push(columns)
        .push(" FROM ")
        .bind("Identifier", Value::text(table));
    statement.push(" WHERE tenant_id = ");
    statement.bind("String", Value::text(tenant.as_str()));
    statement.push(" AND time IN ");
    statement.bind(
        "Array(DateTime64(6, 'UTC'))",
        Value::moments(keys.iter().map(|(time, _)| *time)),
    );
    statement.push(" AND event_id IN ");
    statement.bind(
        "Array(UUID)",
        Value::texts(keys.iter().map(|(_, id)| id.to_string())),
    );
    statement
}

#[derive(Row, Deserialize)]
struct HeldVersion {
    time: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    version: u64,
}
