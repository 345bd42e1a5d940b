//! Dead letters: what could not be taken stands in `audit.rejected`, as it was received, with the reason beside it.

use super::{Log, LogError, NewRecord, Position, Record, topics};
use crate::event::TenantId;

/// Why a record was rejected: the words in the `reason` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It is no event: what was wrong with which field is in `detail`.
    Invalid,
    /// Its id belongs to an earlier event with other content.
    IdConflict,
    /// It names a tenant its topic does not belong to.
    OtherTenant,
    /// It can't be read: no JSON, unknown Avro schema.
    Unreadable,
    /// ClickHouse refuses its row.
    Unstorable,
    /// It is larger than an event may be.
    TooLarge,
}

impl Reason {
    /// The word in the header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::IdConflict => "id_conflict",
            Self::OtherTenant => "other_tenant",
            Self::Unreadable => "unreadable",
            Self::Unstorable => "unstorable",
            Self::TooLarge => "too_large",
        }
    }
}

/// A record on its way to `audit.rejected`.
#[derive(Clone, Debug)]
pub struct Rejection<'a> {
    /// Why.
    pub reason: Reason,
    /// What was wrong with which field, for people.
    pub detail: &'a str,
    /// Whose it is, where that is known.
    pub tenant: Option<&'a TenantId>,
    /// Where it came from: `audit.inbox/3/1207`, `http`.
    pub origin: &'a str,
    /// Key and value as received.
    pub key: &'a [u8],
    /// The bytes as received.
    pub payload: &'a [u8],
    /// Headers as received; kept so that a replay is whole.
    pub headers: &'a [(String, Vec<u8>)],
}

/// Headers of ours in front of the received ones.
const PREFIX: &str = "trailhouse-";

/// Appends a rejection and waits until the log has it.
pub async fn reject(log: &Log, rejection: Rejection<'_>) -> Result<Position, LogError> {
    // Room for our headers: a reason that quotes the input is cut.
    let detail: String = rejection.detail.chars().take(2_000).collect();
    let mut headers: Vec<(&str, &[u8])> = vec![
        ("trailhouse-reason", rejection.reason.as_str().as_bytes()),
        ("trailhouse-detail", detail.as_bytes()),
        ("trailhouse-origin", rejection.origin.as_bytes()),
    ];
    if let Some(tenant) = rejection.tenant {
        headers.push(("trailhouse-tenant", tenant.as_str().as_bytes()));
    }
    headers.extend(
        rejection
            .headers
            .iter()
            .filter(|(name, _)| !name.starts_with(PREFIX))
            .map(|(name, value)| (name.as_str(), value.as_slice())),
    );
    log.append(NewRecord {
        topic: topics::REJECTED,
        partition: None,
        key: rejection.key,
        payload: rejection.payload,
        headers: &headers,
    })
    .await
}

/// A rejection as read back.
#[derive(Debug)]
pub struct Rejected {
    /// The record in `audit.rejected`, with the received headers only.
    pub record: Record,
    /// Why, as a word.
    pub reason: String,
    /// Why, for people.
    pub detail: String,
    /// Where it came from.
    pub origin: String,
    /// Whose it is.
    pub tenant: Option<String>,
}

impl Rejected {
    /// Takes our headers off a record of `audit.rejected`.
    pub fn read(mut record: Record) -> Self {
        let mut ours = |name: &str| {
            let at = record
                .headers
                .iter()
                .position(|(found, _)| found.strip_prefix(PREFIX) == Some(name))?;
            Some(String::from_utf8_lossy(&record.headers.remove(at).1).into_owned())
        };
        let reason = ours("reason").unwrap_or_else(|| "unknown".into());
        let (detail, origin) = (
            ours("detail").unwrap_or_default(),
            ours("origin").unwrap_or_default(),
        );
        let tenant = ours("tenant");
        Self {
            record,
            reason,
            detail,
            origin,
            tenant,
        }
    }
}
