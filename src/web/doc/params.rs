//! Parameters that many routes have, each said once.

use serde_json::json;

use super::{Param, header, path, query};

/// 1 to 200 printable ASCII characters, in quotes or bare.
const KEY: &str = r#"^([!#-~]([ !#-~]{0,198}[!#-~])?|"[ !#-~]{1,200}")$"#;
/// Tags in their quotes, or anything.
const TAGS: &str = r#"^(\*|(W/)?"[!#-+\--~]*"([ \t]*,[ \t]*(W/)?"[!#-+\--~]*")*)$"#;

/// `Idempotency-Key`, as all routes that make something have it.
pub fn idempotency_key() -> Param {
    header(
        "Idempotency-Key",
        "Names this request: sent again under the same key it makes nothing new, and gets the first answer.",
        json!({"type": "string", "pattern": KEY, "example": "order-4711"}),
    )
}

/// `If-Match`, for what is changed or removed.
pub fn if_match() -> Param {
    header(
        "If-Match",
        "The `ETag` that was seen: where another version stands by now, nothing is changed and the answer is 412.",
        json!({"type": "string", "pattern": TAGS, "example": "\"3\""}),
    )
}

/// `If-None-Match`, for what is read.
pub fn if_none_match() -> Param {
    header(
        "If-None-Match",
        "The `ETag` that is held: where it still stands, the answer is 304, without a body.",
        json!({"type": "string", "example": "\"3\""}),
    )
}

/// A moment, in any of the ways in which searches take one.
pub fn moment(name: &'static str, text: &str, example: &str) -> Param {
    let said =
        "A date and time (RFC 3339), a date, or a number since 1970: seconds, or smaller units by magnitude.";
    query(
        name,
        format!("{text} {said}"),
        json!({"type": "string", "format": "moment", "example": example}),
    )
}

/// The tenant that an operator means.
pub fn tenant_id() -> Param {
    query(
        "tenant_id",
        "For operators: another tenant than their own.",
        json!({"$ref": "#/components/schemas/TenantId"}),
    )
}

/// `{id}` of an event.
pub fn event_id() -> Param {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": 256});
    path("id", "The event's id, or the sender's own.", schema)
}

/// `{id}` of what is managed.
pub fn id() -> Param {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": 300});
    path("id", "Its id.", schema)
}

/// The saved search whose parameters are taken with those of the request.
pub fn saved() -> Param {
    query(
        "saved",
        "The id of a saved search: its parameters count as well. What it says is not said again, but for `sort`, `limit` and `fields`.",
        json!({"type": "string", "format": "uuid"}),
    )
}

/// What is wanted of each event.
pub fn fields() -> Param {
    query(
        "fields",
        "What is wanted of each event, separated by commas: `event_id,actor.id,details.amount`. Default: all fields.",
        json!({"type": "string", "minLength": 1, "maxLength": 4096, "format": "fields", "example": "event_id,time,details"}),
    )
}

/// Events on a page.
pub fn limit() -> Param {
    let schema = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100});
    query("limit", "The most of them on a page.", schema)
}

/// Where a page begins.
pub fn cursor() -> Param {
    query(
        "cursor",
        "`next_cursor` or `prev_cursor` of a page: goes on from there. Empty: from the beginning.",
        json!({"type": "string", "maxLength": 4096, "format": "cursor"}),
    )
}

/// A list of what is managed, page by page.
pub fn listing() -> [Param; 3] {
    [tenant_id(), limit(), cursor()]
}
