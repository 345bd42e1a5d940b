//! The event as JSON: the nested form in which every answer, stream and export shows it.
//!
//! The identity, the two times, type, severity, outcome, actor, resource, tags and source are always there; anything
//! else only when it was said.

pub mod changes;

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use uuid::Uuid;

use super::{Actor, Event, Json, Outcome, Raw, Resource, Severity, Source, TenantId, revision};
use crate::clock::Timestamp;
use changes::{Change, changes};

/// An event, ready to be written as JSON.
#[derive(Debug, Serialize)]
pub struct View<'a> {
    event_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_event_id: Option<&'a str>,
    tenant_id: &'a TenantId,
    time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_offset: Option<String>,
    time_from: &'static str,
    received_at: Timestamp,
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'a str>,
    severity: Severity,
    outcome: Outcome,
    actor: ActorView<'a>,
    resource: ResourceView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Change>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    tags: &'a [String],
    source: SourceView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<RawView<'a>>,
    #[serde(skip_serializing_if = "is_original")]
    revision: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    amendments: Option<Vec<revision::Shown<'a>>>,
}

fn is_original(revision: &u32) -> bool {
    *revision == 0
}

/// Who did it.
#[derive(Debug, Serialize)]
pub(crate) struct ActorView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
}

/// What it was done to.
#[derive(Debug, Serialize)]
pub(crate) struct ResourceView<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct SourceView<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<&'a Json>,
}

/// `text` where the original is UTF-8, else `base64`.
#[derive(Debug, Serialize)]
struct RawView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    sha256: String,
    redacted: &'a [String],
}

/// The event in the nested form, without the diff.
pub fn to_json(event: &Event) -> View<'_> {
    View {
        event_id: event.event_id,
        source_event_id: event.source_event_id.as_deref(),
        tenant_id: &event.tenant_id,
        time: event.time,
        time_offset: event.time_offset.map(offset),
        time_from: event.time_from.as_str(),
        received_at: event.received_at,
        event_type: &event.event_type,
        action: event.action.as_deref(),
        severity: event.severity,
        outcome: event.outcome,
        actor: ActorView::of(&event.actor),
        resource: ResourceView::of(&event.resource),
        message: event.message.as_deref(),
        before: event.before.as_ref(),
        after: event.after.as_ref(),
        changes: None,
        details: event.details.as_ref(),
        request_id: event.request_id.as_deref(),
        trace_id: event.trace_id.as_deref(),
        tags: &event.tags,
        source: SourceView::of(&event.source),
        raw: event.raw.as_ref().map(RawView::of),
        revision: event.revision,
        amendments: None,
    }
}

/// The event in the nested form, with the diff of `before` and `after` where it has both.
pub fn to_json_with_changes(event: &Event) -> View<'_> {
    let changes = event
        .before
        .as_ref()
        .zip(event.after.as_ref())
        .map(|(before, after)| changes(before, after));
    View {
        changes,
        ..to_json(event)
    }
}

impl<'a> View<'a> {
    /// The same with what was amended and redacted since.
    pub fn with_history(self, history: Option<&'a revision::History>) -> Self {
        let amendments = history.map(revision::History::shown);
        Self { amendments, ..self }
    }
}

#[cfg(test)]
impl View<'_> {
    /// Without the bytes of the original; its hash and what was blanked in it stay.
    pub fn without_raw(self) -> Self {
        let raw = self.raw.map(|raw| RawView {
            text: None,
            base64: None,
            ..raw
        });
        Self { raw, ..self }
    }
}

/// `+01:00`
fn offset(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

impl<'a> ActorView<'a> {
    pub(crate) fn of(actor: &'a Actor) -> Self {
        Self {
            id: actor.id.as_deref(),
            kind: actor.kind.as_deref(),
            name: actor.name.as_deref(),
            email: actor.email.as_deref(),
            session_id: actor.session_id.as_deref(),
            ip: actor.ip,
            user_agent: actor.user_agent.as_deref(),
        }
    }
}

impl<'a> ResourceView<'a> {
    pub(crate) fn of(resource: &'a Resource) -> Self {
        Self {
            kind: resource.kind.as_deref(),
            id: resource.id.as_deref(),
            name: resource.name.as_deref(),
        }
    }
}

impl<'a> SourceView<'a> {
    fn of(source: &'a Source) -> Self {
        Self {
            kind: &source.kind,
            id: source.id.as_deref(),
            provenance: source.provenance.as_ref(),
        }
    }
}

impl<'a> RawView<'a> {
    fn of(raw: &'a Raw) -> Self {
        let text = std::str::from_utf8(&raw.bytes).ok();
        Self {
            text,
            base64: text.is_none().then(|| STANDARD.encode(&raw.bytes)),
            sha256: raw.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            redacted: &raw.redacted,
        }
    }
}
