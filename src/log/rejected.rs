//! Dead letters: what could not be taken stands in `audit.rejected`, as it was received, with the reason beside it.
//!
//! A record may be larger than the topic takes: its producer packed it well, or our headers are what is too much. Then
//! its beginning is kept, and says so: the log would refuse the whole for ever, and nothing behind it would be read.

use super::batch::Batch;
use super::{Log, LogError, NewRecord, Position, Record, topics};
use crate::crypto::sha256;
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
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Invalid,
        Self::IdConflict,
        Self::OtherTenant,
        Self::Unreadable,
        Self::Unstorable,
        Self::TooLarge,
    ];

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

/// Who lists and replays them reads this one alone, however many the topic has.
pub const PARTITION: i32 = 0;

/// Headers of ours in front of the received ones.
const PREFIX: &str = "trailhouse-";

/// In a record that was cut: the length of the whole payload, and its SHA-256 in hex.
const CUT_BYTES: &str = "trailhouse-cut-bytes";
const CUT_SHA256: &str = "trailhouse-cut-sha256";
/// What stays of a payload and of a key when the whole is too large.
const PAYLOAD_KEPT: usize = 16 * 1024;
const KEY_KEPT: usize = 1024;

/// Appends a rejection and waits until the log has it, cut where the whole is refused.
pub async fn reject(log: &Log, rejection: Rejection<'_>) -> Result<Position, LogError> {
    let outcome = reject_all(log, std::slice::from_ref(&rejection)).await.pop();
    outcome.unwrap_or_else(|| Err(LogError::Unavailable("no answer".into())))
}

/// Appends rejections together, as [`reject`] does one; the answers come in their order.
pub async fn reject_all(log: &Log, rejections: &[Rejection<'_>]) -> Vec<Result<Position, LogError>> {
    let mut batch = log.append_all(topics::REJECTED);
    for rejection in rejections {
        add(&mut batch, rejection);
    }
    let mut outcomes = batch.finish().await;
    for (rejection, outcome) in rejections.iter().zip(&mut outcomes) {
        if matches!(outcome, Err(LogError::Refused(_))) {
            *outcome = append_cut(log, rejection).await;
        }
    }
    outcomes
}

fn add(batch: &mut Batch, rejection: &Rejection<'_>) {
    let detail = short(rejection.detail);
    let mut headers = ours(rejection, &detail);
    headers.extend(
        rejection
            .headers
            .iter()
            .filter(|(name, _)| !name.starts_with(PREFIX))
            .map(|(name, value)| (name.as_str(), value.as_slice())),
    );
    batch.push(NewRecord {
        partition: Some(PARTITION),
        key: rejection.key,
        payload: rejection.payload,
        headers: &headers,
    });
}

/// The beginning of a rejection, without the received headers: they may be what is too large.
async fn append_cut(log: &Log, rejection: &Rejection<'_>) -> Result<Position, LogError> {
    let detail = short(rejection.detail);
    let bytes = rejection.payload.len().to_string();
    let digest: String = sha256(rejection.payload)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut headers = ours(rejection, &detail);
    headers.push((CUT_BYTES, bytes.as_bytes()));
    headers.push((CUT_SHA256, digest.as_bytes()));
    let record = NewRecord {
        partition: Some(PARTITION),
        key: first(rejection.key, KEY_KEPT),
        payload: first(rejection.payload, PAYLOAD_KEPT),
        headers: &headers,
    };
    log.append(topics::REJECTED, record).await
}

/// Room for our headers: a reason that quotes the input is cut.
fn short(detail: &str) -> String {
    detail.chars().take(2_000).collect()
}

fn ours<'a>(rejection: &Rejection<'a>, detail: &'a str) -> Vec<(&'a str, &'a [u8])> {
    let mut headers: Vec<(&str, &[u8])> = vec![
        ("trailhouse-reason", rejection.reason.as_str().as_bytes()),
        ("trailhouse-detail", detail.as_bytes()),
        ("trailhouse-origin", rejection.origin.as_bytes()),
    ];
    if let Some(tenant) = rejection.tenant {
        headers.push(("trailhouse-tenant", tenant.as_str().as_bytes()));
    }
    headers
}

fn first(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
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
    /// Set where the record is only the beginning of what was rejected.
    pub cut: Option<Cut>,
}

/// The whole of which only the beginning was kept.
#[derive(Debug)]
pub struct Cut {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

impl Rejected {
    /// Takes our headers off a record of `audit.rejected`.
    pub fn read(mut record: Record) -> Self {
        let mut ours = |name: &str| {
            let at = record.headers.iter().position(|(found, _)| found == name)?;
            Some(String::from_utf8_lossy(&record.headers.remove(at).1).into_owned())
        };
        let reason = ours("trailhouse-reason").unwrap_or_else(|| "unknown".into());
        let (detail, origin) = (
            ours("trailhouse-detail").unwrap_or_default(),
            ours("trailhouse-origin").unwrap_or_default(),
        );
        let tenant = ours("trailhouse-tenant");
        let cut = ours(CUT_BYTES).map(|bytes| Cut {
            bytes: bytes.parse().unwrap_or_default(),
            sha256: ours(CUT_SHA256).unwrap_or_default(),
        });
        Self {
            record,
            reason,
            detail,
            origin,
            tenant,
            cut,
        }
    }
}
