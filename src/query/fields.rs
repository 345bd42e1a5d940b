//! What of an event is wanted: `fields=event_id,time,actor.id,details.amount`.
//!
//! A field is named as the answer has it (`actor.id`) or as filters have it (`actor_id`, `user_id`); `actor`, `resource`
//! and `source` stand for all their fields, `details.PATH` for a leaf, or for all that lies below it.

use super::names::nearest;
use super::parse::canonical_path;
use super::paths::Paths;
use crate::event::problem::Problem;

/// The most that one question may name.
pub const FIELDS_MAX: usize = 200;

/// A field of an event, in the order in which answers and tables show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // they are the event's
pub enum Named {
    EventId,
    SourceEventId,
    TenantId,
    Time,
    TimeOffset,
    TimeFrom,
    ReceivedAt,
    EventType,
    Action,
    Severity,
    Outcome,
    ActorId,
    ActorType,
    ActorName,
    ActorEmail,
    SessionId,
    Ip,
    UserAgent,
    ResourceType,
    ResourceId,
    ResourceName,
    Message,
    Before,
    After,
    Details,
    RequestId,
    TraceId,
    Tags,
    SourceKind,
    SourceId,
    Provenance,
    Revision,
}

use Named as N;

/// Every field: its place in the answer, and its name in a flat table.
const NAMES: [(Named, &str, &str); 32] = [
    (N::EventId, "event_id", "event_id"),
    (N::SourceEventId, "source_event_id", "source_event_id"),
    (N::TenantId, "tenant_id", "tenant_id"),
    (N::Time, "time", "time"),
    (N::TimeOffset, "time_offset", "time_offset"),
    (N::TimeFrom, "time_from", "time_from"),
    (N::ReceivedAt, "received_at", "received_at"),
    (N::EventType, "event_type", "event_type"),
    (N::Action, "action", "action"),
    (N::Severity, "severity", "severity"),
    (N::Outcome, "outcome", "outcome"),
    (N::ActorId, "actor.id", "actor_id"),
    (N::ActorType, "actor.type", "actor_type"),
    (N::ActorName, "actor.name", "actor_name"),
    (N::ActorEmail, "actor.email", "actor_email"),
    (N::SessionId, "actor.session_id", "session_id"),
    (N::Ip, "actor.ip", "ip"),
    (N::UserAgent, "actor.user_agent", "user_agent"),
    (N::ResourceType, "resource.type", "resource_type"),
    (N::ResourceId, "resource.id", "resource_id"),
    (N::ResourceName, "resource.name", "resource_name"),
    (N::Message, "message", "message"),
    (N::Before, "before", "before"),
    (N::After, "after", "after"),
    (N::Details, "details", "details"),
    (N::RequestId, "request_id", "request_id"),
    (N::TraceId, "trace_id", "trace_id"),
    (N::Tags, "tags", "tags"),
    (N::SourceKind, "source.kind", "source"),
    (N::SourceId, "source.id", "source_id"),
    (N::Provenance, "source.provenance", "provenance"),
    (N::Revision, "revision", "revision"),
];

/// Other names that filters and input forms have for them.
const ALIASES: [(&str, Named); 7] = [
    ("user_id", N::ActorId),
    ("timestamp", N::Time),
    ("ip_address", N::Ip),
    ("tag", N::Tags),
    ("metadata", N::Details),
    ("event_details", N::Details),
    ("source_kind", N::SourceKind),
];

/// What a table has a column for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// A field.
    Named(Named),
    /// What stands in the details at this path, or below it.
    Details(String),
}

/// A choice of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    columns: Vec<Column>,
    named: u32,
    paths: Paths,
}

impl Fields {
    /// All of an event that pages show.
    pub fn all() -> Self {
        let columns = NAMES.iter().map(|(named, ..)| Column::Named(*named));
        Self::of(columns.collect())
    }

    /// Reads lists of names, separated by commas. A name may stand twice.
    pub fn parse(lists: &[String]) -> Result<Self, Vec<Problem>> {
        let (mut columns, mut problems) = (Vec::new(), Vec::new());
        let names = lists.iter().flat_map(|list| list.split(','));
        for name in names.map(str::trim).filter(|name| !name.is_empty()) {
            match columns_of(name) {
                Ok(named) => columns.extend(named),
                Err(detail) => problems.push(Problem::new("fields", detail)),
            }
            if columns.len() > FIELDS_MAX {
                let detail = format!("more than {FIELDS_MAX} fields");
                return Err(vec![Problem::new("fields", detail)]);
            }
        }
        if columns.is_empty() && problems.is_empty() {
            problems.push(Problem::new("fields", "names no field"));
        }
        match problems.is_empty() {
            true => Ok(Self::of(columns)),
            false => Err(problems),
        }
    }

    fn of(mut columns: Vec<Column>) -> Self {
        let mut kept: Vec<Column> = Vec::with_capacity(columns.len());
        for column in columns.drain(..) {
            if !kept.contains(&column) {
                kept.push(column);
            }
        }
        let bits = kept.iter().map(|column| match column {
            Column::Named(named) => bit(*named),
            Column::Details(_) => 0,
        });
        let paths = kept.iter().filter_map(|column| match column {
            Column::Details(path) => Some(path.as_str()),
            Column::Named(_) => None,
        });
        Self {
            named: bits.fold(0, |all, bit| all | bit),
            paths: Paths::of(paths),
            columns: kept,
        }
    }

    /// In the order in which they were named.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether a field is wanted.
    pub fn has(&self, named: Named) -> bool {
        self.named & bit(named) != 0
    }

    /// Whether one of these is wanted.
    pub fn has_any(&self, named: &[Named]) -> bool {
        named.iter().any(|named| self.has(*named))
    }

    /// The paths that are wanted of the details, where not all of them are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Whether anything of the details is wanted.
    pub fn has_details(&self) -> bool {
        self.has(N::Details) || !self.paths.is_empty()
    }
}

impl Named {
    /// Where an answer has it: `actor.id`.
    pub fn path(self) -> &'static str {
        self.names().0
    }

    /// What a flat table calls it: `actor_id`.
    pub fn flat(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        let found = NAMES.iter().find(|(named, ..)| *named == self);
        found.map_or(("", ""), |(_, path, flat)| (path, flat))
    }

    /// By either of its names, or another one that it goes by.
    pub fn parse(name: &str) -> Option<Self> {
        let known = NAMES
            .iter()
            .find(|(_, path, flat)| *path == name || *flat == name);
        let known = known.map(|(named, ..)| *named);
        known.or_else(|| {
            let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
            alias.map(|(_, named)| *named)
        })
    }
}

/// What stands behind `details.` in a name, as the table has the path.
pub fn details_path(name: &str) -> Option<Result<String, String>> {
    let path = ["details.", "metadata.", "event_details."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    Some(match path {
        "" => Err("which detail? `details.amount`, for example".to_owned()),
        path => canonical_path(path),
    })
}

/// What to say of a name that no field has.
pub fn unknown(name: &str) -> String {
    let meant = nearest(name, NAMES.iter().flat_map(|(_, path, flat)| [*path, *flat]));
    match meant {
        Some(meant) => format!("there is no field `{name}`; did you mean `{meant}`?"),
        None if name == "raw" => {
            "the original is shown with a single event alone: GET /api/v1/logs/{id}".to_owned()
        }
        None => format!("there is no field `{name}`; for a detail of this name write `details.{name}`"),
    }
}

fn bit(named: Named) -> u32 {
    1 << named as u32
}

fn columns_of(name: &str) -> Result<Vec<Column>, String> {
    if let Some(path) = details_path(name) {
        return Ok(vec![Column::Details(path?)]);
    }
    let group = |prefix: &str| {
        let of_group = NAMES.iter().filter(|(_, path, _)| path.starts_with(prefix));
        Ok(of_group.map(|(named, ..)| Column::Named(*named)).collect())
    };
    match name {
        "actor" => group("actor."),
        "resource" => group("resource."),
        "source" => group("source."),
        name => match Named::parse(name) {
            Some(named) => Ok(vec![Column::Named(named)]),
            None => Err(unknown(name)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<Fields, Vec<Problem>> {
        Fields::parse(&[list.to_owned()])
    }

    #[test]
    fn fields_are_chosen_by_any_of_their_names() {
        let fields = parse("event_id, time,user_id,actor.id,details.cart.items.sku").unwrap();
        assert_eq!(
            fields.columns(),
            [
                Column::Named(N::EventId),
                Column::Named(N::Time),
                Column::Named(N::ActorId),
                Column::Details("cart.items.sku".to_owned())
            ]
        );
        assert!(fields.has(N::Time) && !fields.has(N::Message) && fields.has_details());
        assert_eq!(parse("actor").unwrap().columns().len(), 7);
        assert!(Fields::all().has(N::Provenance));
        for (named, path, flat) in NAMES {
            assert_eq!(Named::parse(path), Some(named));
            assert!(Named::parse(flat).is_some(), "{flat}");
        }
    }

    #[test]
    fn names_that_no_field_has_are_refused_with_a_guess() {
        for (list, word) in [
            ("evnt_id", "`event_id`"),
            ("actor.ident,time", "details.actor.ident"),
            ("amount", "details.amount"),
            ("raw", "/api/v1/logs/{id}"),
            ("details.", "which detail"),
            ("details.a[0].b", "leave the index out"),
            (" ,", "names no field"),
        ] {
            let problems = parse(list).unwrap_err();
            assert!(problems[0].detail.contains(word), "{list}: {problems:?}");
        }
        let many = (0..=FIELDS_MAX)
            .map(|n| format!("details.x{n}"))
            .collect::<Vec<_>>();
        assert!(parse(&many.join(",")).is_err());
    }
}
