//! The filters, which search, export, statistics and stream share, as parameters.

use serde_json::{Value, json};

use super::{Param, moment, query};

/// Filters on a text: the name, what it finds, and a value.
const TEXTS: &[(&str, &str, &str)] = &[
    ("event_type", "The event's type.", "user.login"),
    ("action", "The verb.", "UPDATE"),
    ("user_id", "The actor's id; also `actor_id`.", "ada"),
    ("actor_type", "What kind of actor.", "user"),
    ("actor_name", "The actor's name.", "Ada"),
    ("actor_email", "The actor's mail address.", "ada@example.com"),
    ("session_id", "The actor's session.", "s-17"),
    ("user_agent", "The program it was done with.", "curl/8.5.0"),
    ("resource_type", "What kind of thing it was done to.", "Document"),
    ("resource_id", "The id of what it was done to.", "42"),
    ("resource_name", "The name of what it was done to.", "Plan"),
    ("request_id", "The request that caused it.", "req-1"),
    (
        "trace_id",
        "The trace it belongs to.",
        "4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    ("source", "The kind of source.", "http"),
    ("source_id", "The configured source.", "trail-1"),
    ("source_event_id", "The sender's own id.", "rename-1"),
    ("tag", "One of the labels.", "billing"),
];

const TIMES: &[(&str, &str)] = &[
    ("from", "What happened then or later."),
    ("to", "What happened before then."),
    ("received_from", "What Trailhouse took then or later."),
    ("received_to", "What Trailhouse took before then."),
];

/// All filters.
pub fn filters() -> Vec<Param> {
    let times = TIMES
        .iter()
        .map(|(name, text)| moment(name, text, "2026-11-20T09:00:00Z"));
    let texts = TEXTS.iter().map(|(name, text, example)| {
        let said = format!("{text} Repeated: any of them; the opposite, and beginnings: see `operators`.");
        query(
            *name,
            said,
            several(json!({"type": "string", "maxLength": 4096, "pattern": NO_NUL, "example": example})),
        )
    });
    let rest = [
        query(
            "event_id",
            "The event's id.",
            several(json!({"type": "string", "format": "uuid"})),
        ),
        query(
            "ip",
            "The actor's address, of IPv4 or IPv6, or its network, such as `10.0.0.0/8` or `2001:db8::/32`.",
            several(json!({"type": "string", "format": "ip-or-network", "example": "203.0.113.7"})),
        ),
        query(
            "severity",
            "How serious.",
            several(json!({"type": "string", "enum": ["INFO", "WARNING", "ERROR", "CRITICAL"]})),
        ),
        query(
            "min_severity",
            "That serious, or worse.",
            json!({"type": "string", "enum": ["INFO", "WARNING", "ERROR", "CRITICAL"]}),
        ),
        query(
            "outcome",
            "How it ended.",
            several(json!({"type": "string", "enum": ["success", "failure", "unknown"]})),
        ),
        query(
            "q",
            "Words, a `\"phrase\"`, `-not`, `one OR other`, in message and details.",
            json!({"type": "string", "maxLength": 4096, "format": "search-words", "example": "renamed plan"}),
        ),
        query(
            "details",
            "Any detail by its path, each as a parameter of its own: `details.amount=5`, `details.amount[gt]=5` (`gt`, `gte`, `lt`, `lte`, `prefix`), `details.team!=eu`. In a generated client the names begin with `details.` as well, and must be sent as they are (form, exploded; openapi-fetch: `querySerializer: {object: {style: \"form\", explode: true}}`). Lists are written without an index; brackets and backslashes that belong to a name get a backslash.",
            json!({
                "type": "object",
                "example": {"details.amount[gte]": "5"},
                "propertyNames": {"pattern": DETAIL, "format": "detail"},
                "additionalProperties": {"type": "string", "maxLength": 4096, "pattern": NO_NUL},
            }),
        ),
        query(
            "operators",
            "Any of the fields above with an operator, each as a parameter of its own: `user_id!=ada`: not this one; `user_id[prefix]=svc-`: what begins so; `user_id[prefix]!=svc-`: what does not. `operators` itself is not sent, only what is in it, as with `details`.",
            json!({
                "type": "object",
                "example": {"user_id[prefix]": "svc-"},
                "propertyNames": {"pattern": with_operators(), "format": "filter-with-operator"},
                "additionalProperties": {"type": "string", "maxLength": 4096, "pattern": NO_NUL},
            }),
        ),
        query(
            "include",
            "`system`: the server's own events, too.",
            json!({"type": "string", "enum": ["system"]}),
        ),
        super::tenant_id(),
    ];
    times.chain(texts).chain(rest).collect()
}

/// The path of a detail, perhaps an operator, perhaps `!`. The format tells testers which names to make up.
const DETAIL: &str =
    r"^(details|metadata|event_details)\.([^\x00\[\]<>!\\]|\\[^\x00<>])+(\[(gt|gte|lt|lte|prefix)\])?!?$";

/// A filter on a text, and what is asked of it beside being equal; a label is compared as a whole.
fn with_operators() -> String {
    let names = TEXTS.iter().map(|(name, _, _)| *name);
    let whole: Vec<&str> = names.filter(|name| *name != "tag").collect();
    format!(r"^(tag!|({})(!|\[prefix\]!?))$", whole.join("|"))
}

/// A text that may stand in a parameter.
const NO_NUL: &str = "^[^\\x00]*$";

fn several(one: Value) -> Value {
    json!({"type": "array", "items": one})
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::query;
    use crate::query::names::{self, Known};

    #[test]
    fn every_filter_there_is_is_told_of_under_its_first_name() {
        let told: HashSet<String> = filters().into_iter().map(|param| param.name).collect();
        let by_name = |name: &&String| !matches!(name.as_str(), "details" | "operators");
        for name in told.iter().filter(by_name) {
            assert!(names::known(name).is_some(), "{name}");
        }
        let mut seen = Vec::new();
        for name in names::all() {
            let meaning = names::known(name).unwrap();
            if !matches!(meaning, Known::Control(_)) && !seen.contains(&meaning) {
                seen.push(meaning);
                assert!(told.contains(name), "{name}");
            }
        }
    }

    #[test]
    fn every_text_takes_operators() {
        let legal = jsonschema::validator_for(&json!({"pattern": with_operators()})).unwrap();
        for (name, _, _) in TEXTS {
            for operator in ["!", "[prefix]", "[prefix]!"] {
                let name = format!("{name}{operator}");
                let taken = query::parse(&[(name.clone(), "5".to_owned())]).is_ok();
                assert_eq!(legal.is_valid(&json!(name)), taken, "{name}");
            }
            assert!(!legal.is_valid(&json!(format!("{name}[gt]"))));
        }
    }

    #[test]
    fn names_of_details_are_legal_by_the_document_where_they_are_taken() {
        let legal = jsonschema::validator_for(&json!({"pattern": DETAIL})).unwrap();
        let taken = |name: &str| query::parse(&[(name.to_owned(), "5".to_owned())]).is_ok();
        for name in [
            "details.amount",
            "details.amount[gt]",
            "details.amount[prefix]!",
            "metadata.a.b!",
            "event_details.\u{e4} \u{f6}",
            r"details.a\[0\]",
            r"details.a\\b[lte]",
        ] {
            assert!(legal.is_valid(&json!(name)) && taken(name), "{name}");
        }
        for name in [
            "details.",
            "details.a[0]",
            "details.a[is]",
            "details.a<5",
            "details.[gt]",
        ] {
            assert!(!legal.is_valid(&json!(name)) && !taken(name), "{name}");
        }
    }
}
