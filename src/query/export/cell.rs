//! One cell of a flat table: what a row has in a column, as text.

use std::io::Write as _;

use crate::query::fields::{Column, Named as N};
use crate::query::show;
use crate::query::show::details::{self, Parts};
use crate::store::EventRow;
use crate::store::row::revision_of;

/// Writes what a row has in a column; `false` when it has nothing there.
pub(super) fn push(row: &EventRow<'_>, column: &Column, parts: &Parts<'_>, out: &mut Vec<u8>) -> bool {
    let field = match column {
        Column::Named(field) => *field,
        Column::Details(path) => return push_some(out, parts.at(row, path)),
    };
    match field {
        N::EventId => {
            let _ = write!(out, "{}", row.event_id.hyphenated());
            true
        }
        N::Time => push_date(out, row.time),
        N::ReceivedAt => push_date(out, row.received_at),
        N::TimeOffset => match row.time_offset {
            Some(minutes) => {
                show::push_offset_text(out, minutes);
                true
            }
            None => false,
        },
        N::Ip => push_some(out, show::ip(row).map(|ip| ip.to_string())),
        N::Details => push_some(out, details::all(row)),
        N::Revision => match revision_of(row.version) {
            0 => false,
            number => {
                let _ = write!(out, "{number}");
                true
            }
        },
        N::Tags if row.tags.is_empty() => false,
        N::Tags => {
            show::push_texts(out, &row.tags);
            true
        }
        field => {
            let text = text(row, field);
            out.extend_from_slice(text.as_bytes());
            !text.is_empty()
        }
    }
}

fn push_date(out: &mut Vec<u8>, micros: i64) -> bool {
    show::push_date(out, micros);
    true
}

fn push_some(out: &mut Vec<u8>, text: Option<String>) -> bool {
    out.extend_from_slice(text.as_deref().unwrap_or_default().as_bytes());
    text.is_some()
}

fn text<'a>(row: &'a EventRow<'_>, field: N) -> &'a str {
    match field {
        N::SourceEventId => &row.source_event_id,
        N::TenantId => &row.tenant_id,
        N::TimeFrom => show::time_from(row).unwrap_or_default(),
        N::EventType => &row.event_type,
        N::Action => &row.action,
        N::Severity => show::severity(row).unwrap_or_default(),
        N::Outcome => show::outcome(row).unwrap_or_default(),
        N::ActorId => &row.actor_id,
        N::ActorType => &row.actor_type,
        N::ActorName => &row.actor_name,
        N::ActorEmail => &row.actor_email,
        N::SessionId => &row.session_id,
        N::UserAgent => &row.user_agent,
        N::ResourceType => &row.resource_type,
        N::ResourceId => &row.resource_id,
        N::ResourceName => &row.resource_name,
        N::Message => &row.message,
        N::Before => &row.before,
        N::After => &row.after,
        N::RequestId => &row.request_id,
        N::TraceId => &row.trace_id,
        N::SourceKind => &row.source,
        N::SourceId => &row.source_id,
        N::Provenance => &row.provenance,
        N::EventId | N::Time | N::ReceivedAt | N::TimeOffset | N::Ip | N::Details | N::Tags | N::Revision => {
            ""
        }
    }
}

/// What a column is called.
pub(super) fn name(column: &Column) -> String {
    match column {
        Column::Named(field) => field.flat().to_owned(),
        Column::Details(path) => format!("details.{path}"),
    }
}
