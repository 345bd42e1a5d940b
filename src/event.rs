//! The audit event: what it is made of, and how anything that arrives becomes one.
//!
//! The path inside this module is a chain of pure functions. [`batch`] takes a body with many events apart; [`json`]
//! scans one of them; [`shapes`] sorts it, whatever its input form, into a draft; [`draft`] checks it, gives it its
//! id ([`id`]), its time ([`moment`]) and its defaults, and yields an [`Event`] or a list of [`problem::Problem`]s
//! that name their fields; [`schema`] writes the event as Avro for the log and reads it back; [`content`] says when
//! two events are copies of one another; [`revision`] says what becomes of an event that is amended or redacted;
//! [`view`] writes an event as the JSON that every answer shows.

pub mod batch;
pub mod content;
pub mod draft;
pub mod id;
pub mod json;
pub mod moment;
pub mod problem;
pub mod revision;
pub mod schema;
pub mod shapes;
pub mod view;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
pub use json::Json;

/// The canonical event, as it stands in the log. `None` means that nobody said.
///
/// Identity is (`tenant_id`, `event_id`). Two events are copies of one another when these are equal, and conflict
/// when their [`content`](Event::content) differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Unique within the tenant.
    pub event_id: Uuid,
    /// What the client or the source calls it, where `event_id` was derived from that.
    pub source_event_id: Option<String>,
    /// The owner; always from the credential.
    pub tenant_id: TenantId,
    /// When it happened.
    pub time: Timestamp,
    /// The offset the client wrote, in minutes east of UTC.
    pub time_offset: Option<i16>,
    /// Who said when it happened.
    pub time_from: TimeFrom,
    /// When Trailhouse took it.
    pub received_at: Timestamp,
    /// Open-ended name such as `user.login`.
    pub event_type: String,
    /// Open-ended verb: CREATE, UPDATE, DELETE, VIEW, …
    pub action: Option<String>,
    /// How serious it is.
    pub severity: Severity,
    /// How it ended.
    pub outcome: Outcome,
    /// Who did it.
    pub actor: Actor,
    /// What it was done to.
    pub resource: Resource,
    /// One sentence for people.
    pub message: Option<String>,
    /// State before a modification.
    pub before: Option<Json>,
    /// State after a modification.
    pub after: Option<Json>,
    /// Whatever the event type needs: always a JSON object.
    pub details: Option<Json>,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// How it came here.
    pub source: Source,
    /// The original, where the event came from outside.
    pub raw: Option<Raw>,
    /// How often it was amended or redacted by now: [`revision`] has the whole story. No part of what the event says,
    /// and none of its schema.
    pub revision: u32,
}

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// Stable id of the user, role or machine.
    pub id: Option<String>,
    /// `user`, `service`, `IAMUser`, …
    pub kind: Option<String>,
    /// Display name.
    pub name: Option<String>,
    /// Mail address.
    pub email: Option<String>,
    /// Session in which it was done.
    pub session_id: Option<String>,
    /// Address it was done from.
    pub ip: Option<IpAddr>,
    /// Program it was done with.
    pub user_agent: Option<String>,
}

/// What it was done to. Further targets are in the details.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// `document`, `AWS::S3::Bucket`, …
    pub kind: Option<String>,
    /// Stable id.
    pub id: Option<String>,
    /// Display name.
    pub name: Option<String>,
}

/// How the event came here.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// `http`, `kafka`, `aws_cloudtrail`, …
    pub kind: String,
    /// The configured source, or the CloudEvents `source`.
    pub id: Option<String>,
    /// Connector version, window, page, collected_at: no part of the event's content.
    pub provenance: Option<Json>,
}

/// The original bytes of an event that came from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Byte-exact but for redacted secrets.
    pub bytes: Vec<u8>,
    /// SHA-256 of the bytes as they came, before redaction.
    pub sha256: [u8; 32],
    /// JSON pointers of what was redacted.
    pub redacted: Vec<String>,
}

/// Who said when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeFrom {
    /// The client or source wrote a time.
    Client,
    /// Taken from the client's UUIDv7.
    Id,
    /// Nobody said: the time of receipt. It says nothing about the event, so it is no part of its content.
    Received,
}

/// How serious an event is, in rising order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// The default.
    #[default]
    Info,
    /// Worth a look.
    Warning,
    /// Something failed.
    Error,
    /// Somebody should be woken.
    Critical,
}

/// How the deed ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused or failed.
    Failure,
    /// The default.
    #[default]
    Unknown,
}

impl TimeFrom {
    /// The name on every wire: `client`, `id`, `received`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Id => "id",
            Self::Received => "received",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Client, Self::Id, Self::Received]
            .into_iter()
            .find(|from| from.as_str() == text)
    }
}

impl Severity {
    /// All severities, lowest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The name on every wire: `INFO`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }

    /// Reads a name without regard to case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.as_str().eq_ignore_ascii_case(text))
    }
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Unknown];

    /// The name on every wire: `success`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
        }
    }

    /// Reads a name without regard to case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str().eq_ignore_ascii_case(text))
    }
}

/// The name of a tenant: 1 to 63 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or a digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant that exists from the first start.
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }

    /// Checks a name; `None` when it can't be one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        (first && rest && text.len() <= 63).then(|| Self(Arc::from(text)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TenantId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TenantId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a tenant name"))
    }
}

#[cfg(test)]
impl Event {
    /// For tests to which only the id matters: of 1970, of the default tenant.
    pub fn sample(id: u128) -> Self {
        Self {
            event_id: Uuid::from_u128(id),
            source_event_id: None,
            tenant_id: TenantId::default_tenant(),
            time: Timestamp::from_micros(0),
            time_offset: None,
            time_from: TimeFrom::Client,
            received_at: Timestamp::from_micros(0),
            event_type: "sample".to_owned(),
            action: None,
            severity: Severity::default(),
            outcome: Outcome::default(),
            actor: Actor::default(),
            resource: Resource::default(),
            message: None,
            before: None,
            after: None,
            details: None,
            request_id: None,
            trace_id: None,
            tags: Vec::new(),
            source: Source {
                kind: "http".to_owned(),
                id: None,
                provenance: None,
            },
            raw: None,
            revision: 0,
        }
    }
}
