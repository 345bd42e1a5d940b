//! Events that producers write to an inbox as Avro, in the schema of the log.
//!
//! They go through the same checks as JSON: what a producer may say is written as the nested form and read again, so
//! that one set of rules decides. Who owns the event, when it was received and where it came from is ours to say.

use serde::Serialize;

use super::{Accepted, Intake, Refusal, accept};
use crate::event::schema;
use crate::event::view::{ActorView, ResourceView};
use crate::event::{Event, Json, TenantId, TimeFrom};

/// What a producer says with an Avro event.
#[derive(Serialize)]
struct Said<'a> {
    event_id: String,
    tenant_id: &'a TenantId,
    time: Option<String>,
    event_type: &'a str,
    action: Option<&'a str>,
    severity: &'a str,
    outcome: &'a str,
    actor: ActorView<'a>,
    resource: ResourceView<'a>,
    message: Option<&'a str>,
    before: Option<&'a Json>,
    after: Option<&'a Json>,
    details: Option<&'a Json>,
    request_id: Option<&'a str>,
    trace_id: Option<&'a str>,
    tags: &'a [String],
}

/// Reads an Avro datum of the event schema, without framing. `raw` and provenance are kept as they are.
pub fn accept_datum(datum: &[u8], intake: &Intake<'_>) -> Result<Accepted, Refusal> {
    let event = schema::decode(datum).map_err(|error| Refusal::of("", error.to_string()))?;
    let body = serde_json::to_vec(&said(&event)).map_err(|error| Refusal::of("", error.to_string()))?;
    let mut accepted = accept(&body, intake)?;
    accepted.event.raw = event.raw;
    accepted.event.source.provenance = event.source.provenance;
    Ok(accepted)
}

fn said(event: &Event) -> Said<'_> {
    Said {
        // The id of an event that already had to be derived would be derived again from itself.
        event_id: event
            .source_event_id
            .clone()
            .unwrap_or_else(|| event.event_id.to_string()),
        tenant_id: &event.tenant_id,
        time: (event.time_from == TimeFrom::Client).then(|| match event.time_offset {
            Some(offset) => event.time.to_rfc3339_at(offset),
            None => event.time.to_string().trim_end_matches('Z').to_owned(),
        }),
        event_type: &event.event_type,
        action: event.action.as_deref(),
        severity: event.severity.as_str(),
        outcome: event.outcome.as_str(),
        actor: ActorView::of(&event.actor),
        resource: ResourceView::of(&event.resource),
        message: event.message.as_deref(),
        before: event.before.as_ref(),
        after: event.after.as_ref(),
        details: event.details.as_ref(),
        request_id: event.request_id.as_deref(),
        trace_id: event.trace_id.as_deref(),
        tags: &event.tags,
    }
}
