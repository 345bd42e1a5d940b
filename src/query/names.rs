//! The names that a search knows, and the guess at what a name nearly like one of them was meant to be.

use super::filter::TextField;

/// What a parameter of a known name is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A field of one text.
    Text(TextField),
    /// The event's id.
    EventId,
    /// An address or a network.
    Ip,
    /// A severity.
    Severity,
    /// An outcome.
    Outcome,
    /// A label.
    Tag,
    /// Not compared with a field, and given once.
    Control(Control),
}

/// A parameter that steers the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // named as the parameters are
pub enum Control {
    From,
    To,
    ReceivedFrom,
    ReceivedTo,
    MinSeverity,
    Tenant,
    Include,
    Text,
    Sort,
    Limit,
    Cursor,
    Count,
    Fields,
    Saved,
}

use Control as C;
use Known as K;
use TextField as F;

/// Every name with its meaning; where several mean the same, the first is the one that answers show.
const NAMES: &[(&str, Known)] = &[
    ("event_type", K::Text(F::EventType)),
    ("action", K::Text(F::Action)),
    ("user_id", K::Text(F::ActorId)),
    ("actor_id", K::Text(F::ActorId)),
    ("actor.id", K::Text(F::ActorId)),
    ("actor_type", K::Text(F::ActorType)),
    ("actor.type", K::Text(F::ActorType)),
    ("actor_name", K::Text(F::ActorName)),
    ("actor.name", K::Text(F::ActorName)),
    ("user_name", K::Text(F::ActorName)),
    ("actor_email", K::Text(F::ActorEmail)),
    ("actor.email", K::Text(F::ActorEmail)),
    ("user_email", K::Text(F::ActorEmail)),
    ("session_id", K::Text(F::SessionId)),
    ("actor.session_id", K::Text(F::SessionId)),
    ("user_agent", K::Text(F::UserAgent)),
    ("actor.user_agent", K::Text(F::UserAgent)),
    ("ip", K::Ip),
    ("ip_address", K::Ip),
    ("actor.ip", K::Ip),
    ("resource_type", K::Text(F::ResourceType)),
    ("resource.type", K::Text(F::ResourceType)),
    ("resource_id", K::Text(F::ResourceId)),
    ("resource.id", K::Text(F::ResourceId)),
    ("resource_name", K::Text(F::ResourceName)),
    ("resource.name", K::Text(F::ResourceName)),
    ("request_id", K::Text(F::RequestId)),
    ("trace_id", K::Text(F::TraceId)),
    ("source", K::Text(F::SourceKind)),
    ("source.kind", K::Text(F::SourceKind)),
    ("source_id", K::Text(F::SourceId)),
    ("source.id", K::Text(F::SourceId)),
    ("event_id", K::EventId),
    ("source_event_id", K::Text(F::SourceEventId)),
    ("severity", K::Severity),
    ("min_severity", K::Control(C::MinSeverity)),
    ("outcome", K::Outcome),
    ("tag", K::Tag),
    ("tags", K::Tag),
    ("from", K::Control(C::From)),
    ("to", K::Control(C::To)),
    ("received_from", K::Control(C::ReceivedFrom)),
    ("received_to", K::Control(C::ReceivedTo)),
    ("tenant_id", K::Control(C::Tenant)),
    ("include", K::Control(C::Include)),
    ("q", K::Control(C::Text)),
    ("sort", K::Control(C::Sort)),
    ("limit", K::Control(C::Limit)),
    ("cursor", K::Control(C::Cursor)),
    ("count", K::Control(C::Count)),
    ("fields", K::Control(C::Fields)),
    ("saved", K::Control(C::Saved)),
];

/// Names that other interfaces have for what ours calls otherwise: taken for a mistake, not for a detail.
const ELSEWHERE: &[(&str, &str)] = &[
    ("time", "from` and `to"),
    ("timestamp", "from` and `to"),
    ("date", "from` and `to"),
    ("since", "from"),
    ("start", "from"),
    ("start_time", "from"),
    ("until", "to"),
    ("end", "to"),
    ("end_time", "to"),
    ("query", "q"),
    ("search", "q"),
    ("text", "q"),
    ("order", "sort"),
    ("order_by", "sort"),
    ("sort_by", "sort"),
    ("page", "cursor"),
    ("offset", "cursor"),
    ("page_size", "limit"),
    ("per_page", "limit"),
    ("tenant", "tenant_id"),
    ("select", "fields"),
    ("columns", "fields"),
    ("user", "user_id"),
    ("actor", "user_id"),
    ("type", "event_type"),
    ("id", "event_id"),
    ("received_at", "received_from` and `received_to"),
];

/// Fields of an event that no filter is about. An answer that finds nothing would be taken for one that there is nothing.
const UNFILTERED: [&str; 13] = [
    "message",
    "before",
    "after",
    "changes",
    "amendments",
    "revision",
    "raw",
    "details",
    "metadata",
    "event_details",
    "time_from",
    "time_offset",
    "provenance",
];

/// All names.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// The meaning of a name.
pub fn known(name: &str) -> Option<Known> {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, meaning)| *meaning)
}

/// Whether a parameter steers the answer, and says nothing of which events are meant.
pub fn steers(name: &str) -> bool {
    use Control::{Count, Cursor, Fields, Limit, Sort};
    matches!(
        known(name),
        Some(Known::Control(Sort | Limit | Cursor | Count | Fields))
    )
}

/// Whether a name, or the beginning of a path, is that of a field which no filter is about.
pub fn is_unfiltered(name: &str) -> bool {
    let field = name.split(['.', '[']).next().unwrap_or(name);
    UNFILTERED.contains(&field)
}

/// What somebody who wrote `name` may have meant, where it is so near a known name that a detail of that name is
/// less likely than a slip.
pub fn guess(name: &str) -> Option<&'static str> {
    let plain = name.to_ascii_lowercase().replace('-', "_");
    if let Some((_, meant)) = ELSEWHERE.iter().find(|(other, _)| *other == plain) {
        return Some(meant);
    }
    nearest(&plain, NAMES.iter().map(|(known, _)| *known))
}

/// Which of these names somebody who wrote `name` may have meant, where it is so near one that a slip is likely.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (distance(name, known), known))
        .filter(|(distance, known)| *distance <= tolerance(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Short names are near everything: one slip in three letters is another word.
const fn tolerance(known: &str) -> usize {
    match known.len() {
        0..4 => 0,
        4..8 => 1,
        _ => 2,
    }
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other; for long texts,
/// only whether it is more than two.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_seen_and_other_words_are_not() {
        for (name, meant) in [
            ("usr_id", "user_id"),
            ("userId", "user_id"),
            ("User-ID", "user_id"),
            ("form", "from"),
            ("limt", "limit"),
            ("recource_id", "resource_id"),
            ("evnt_type", "event_type"),
            ("IP", "ip"),
            ("page", "cursor"),
            ("id", "event_id"),
        ] {
            assert_eq!(guess(name), Some(meant), "{name}");
        }
        for name in [
            "amount",
            "channel",
            "department",
            "region",
            "option",
            "x",
            "status",
            "order_number",
        ] {
            assert_eq!(guess(name), None, "{name}");
        }
    }

    #[test]
    fn whatever_an_event_says_is_filtered_by_or_refused() {
        let shown = [
            "event_id",
            "tenant_id",
            "time",
            "event_type",
            "action",
            "severity",
            "outcome",
            "actor_id",
            "actor_type",
            "user_name",
            "user_email",
            "session_id",
            "ip_address",
            "user_agent",
            "resource_type",
            "resource_id",
            "resource_name",
            "message",
            "before.title",
            "after",
            "details",
            "metadata",
            "request_id",
            "trace_id",
            "tags",
            "received_at",
            "source",
            "source_event_id",
            "revision",
            "amendments",
            "time_offset",
            "raw.sha256",
        ];
        for name in shown {
            let is_answered = known(name).is_some() || is_unfiltered(name) || guess(name).is_some();
            assert!(is_answered, "{name}");
        }
        for name in ["messages", "before_title", "detail.message", "rawness"] {
            assert!(!is_unfiltered(name), "{name}");
        }
    }

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
        assert!(ELSEWHERE.iter().all(|(name, _)| known(name).is_none()));
    }
}
