//! What tenants keep beside their people: searches, schemas of event types, exports. Deleted ones are gone.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::TenantId;

/// A search under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSearch {
    /// Never changes.
    pub id: Arc<str>,
    /// Where it belongs.
    pub tenant: TenantId,
    /// For people.
    pub name: Arc<str>,
    /// The search, as the query of a URL.
    pub query: Arc<str>,
    /// Who made it: a user's name or a key's id.
    pub created_by: Arc<str>,
    /// Counts accepted commands.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What events of a type must satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSchema {
    /// See [`schema_id`].
    pub id: Arc<str>,
    /// Where it belongs.
    pub tenant: TenantId,
    /// The event type.
    pub event_type: Arc<str>,
    /// JSON Schemas, the newest last, which is the one that holds. The oldest of very many are let go.
    pub versions: Vec<Arc<str>>,
    /// Who put the newest.
    pub created_by: Arc<str>,
    /// The number of the newest: they are counted from 1.
    pub version: u64,
    /// When the newest was put.
    pub created_at: Timestamp,
}

/// A background export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Never changes.
    pub id: Arc<str>,
    /// Whose events.
    pub tenant: TenantId,
    /// The search, as the query of a URL.
    pub query: Arc<str>,
    /// `json`, `ndjson`, `csv`, `parquet`.
    pub format: Arc<str>,
    /// `gzip`, `zstd`; `None`: not compressed.
    pub compression: Option<Arc<str>>,
    /// The instance that works on it and keeps the file.
    pub instance: Arc<str>,
    /// Where it stands.
    pub state: ExportState,
    /// When its file may go.
    pub expires_at: Timestamp,
    /// Who asked for it: a user's name or a key's id.
    pub created_by: Arc<str>,
    /// Counts accepted commands.
    pub version: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// Where an export stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExportState {
    /// It waits for its turn.
    Queued,
    /// It is being written.
    Running,
    /// It can be fetched.
    Done {
        /// How many events it has.
        events: u64,
        /// How long the file is.
        bytes: u64,
        /// Of the file, in hexadecimal.
        sha256: String,
        /// What was redacted when its reading began, as a print (`query::redacted`).
        redactions: String,
    },
    /// There will be no file.
    Failed {
        /// Why.
        reason: String,
    },
    /// The file is gone.
    Expired,
}

/// The id of the schema of an event type: `tenant/event_type`.
pub fn schema_id(tenant: &TenantId, event_type: &str) -> String {
    format!("{tenant}/{event_type}")
}

/// The tenant and the event type in the id of a schema.
pub fn parse_schema_id(id: &str) -> Option<(TenantId, &str)> {
    let (tenant, event_type) = id.split_once('/')?;
    (!event_type.is_empty()).then_some((TenantId::parse(tenant)?, event_type))
}
