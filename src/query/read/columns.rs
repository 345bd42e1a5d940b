//! The columns of a row, those that nobody wants left out: what is not shown is not read.

use crate::query::fields::{Fields, Named as N};
use crate::store::Statement;

/// The columns in the order of a row; what stands for one that is not wanted, and the field it holds. Those without are
/// always read: they are small, or the row is no row without them.
const COLUMNS: [(&str, Option<(&str, N)>); 39] = [
    ("tenant_id", None),
    ("time", None),
    ("event_id", None),
    ("received_at", None),
    ("time_offset", None),
    ("time_from", None),
    (
        "source_event_id",
        Some(("'' AS source_event_id", N::SourceEventId)),
    ),
    ("event_type", None),
    ("action", Some(("'' AS action", N::Action))),
    ("severity", None),
    ("outcome", None),
    ("actor_id", Some(("'' AS actor_id", N::ActorId))),
    ("actor_type", Some(("'' AS actor_type", N::ActorType))),
    ("actor_name", Some(("'' AS actor_name", N::ActorName))),
    ("actor_email", Some(("'' AS actor_email", N::ActorEmail))),
    ("session_id", Some(("'' AS session_id", N::SessionId))),
    ("ip", None),
    ("user_agent", Some(("'' AS user_agent", N::UserAgent))),
    ("resource_type", Some(("'' AS resource_type", N::ResourceType))),
    ("resource_id", Some(("'' AS resource_id", N::ResourceId))),
    ("resource_name", Some(("'' AS resource_name", N::ResourceName))),
    ("message", Some(("'' AS message", N::Message))),
    ("before", Some(("'' AS before", N::Before))),
    ("after", Some(("'' AS after", N::After))),
    (
        "details",
        Some(("CAST(map(), 'Map(String, String)') AS details", N::Details)),
    ),
    ("details_types", Some(("'' AS details_types", N::Details))),
    ("request_id", Some(("'' AS request_id", N::RequestId))),
    ("trace_id", Some(("'' AS trace_id", N::TraceId))),
    ("tags", None),
    ("source", None),
    ("source_id", Some(("'' AS source_id", N::SourceId))),
    ("provenance", Some(("'' AS provenance", N::Provenance))),
    ("'' AS raw", None),
    ("'' AS raw_sha256", None),
    ("CAST([], 'Array(String)') AS raw_redacted", None),
    ("'' AS history", None),
    ("toUUID('00000000-0000-0000-0000-000000000000') AS log_id", None),
    ("toUInt16(0) AS log_partition", None),
    ("version", None),
];

/// `SELECT …` of what is wanted, the original never.
pub(in crate::query) fn push_columns(sql: &mut Statement, fields: &Fields) {
    for (index, (column, absent)) in COLUMNS.into_iter().enumerate() {
        let is_wanted = |field| match field {
            N::Details => fields.has_details(),
            field => fields.has(field),
        };
        sql.push(if index == 0 { "SELECT " } else { ", " });
        sql.push(match absent {
            Some((absent, field)) if !is_wanted(field) => absent,
            _ => column,
        });
    }
    // A filter on a column that is not shown must see the column, and not what stands for it.
    sql.set("prefer_column_name_to_alias", 1);
}

#[cfg(test)]
mod tests {
    use clickhouse::Row;

    use super::*;
    use crate::store::EventRow;

    #[test]
    fn whatever_is_wanted_the_columns_are_those_of_a_row() {
        for fields in [Fields::all(), Fields::parse(&["event_id".to_owned()]).unwrap()] {
            let mut sql = Statement::new();
            push_columns(&mut sql, &fields);
            let names = sql
                .sql()
                .trim_start_matches("SELECT ")
                .replace("map(), ", "map()")
                .replace("[], ", "[]")
                .replace("String, String", "");
            let names: Vec<_> = names
                .split(", ")
                .map(|name| name.rsplit(' ').next().unwrap_or_default().to_owned())
                .collect();
            assert_eq!(names, EventRow::COLUMN_NAMES);
        }
    }
}
