//! Secrets in a record: found by the names of their keys, taken out without touching any other byte.
//!
//! CloudTrail hides most secrets itself, but answers of STS carry session tokens, and service authors forget.

use crate::event::json::Value;
use crate::event::json::pointer::pointer_at;
use crate::event::json::scan::{self, Limits};

/// What stands in a secret's place.
const REDACTED: &str = "\"REDACTED\"";

/// Keys, in lower case, whose values are secrets. Keys that end in `password` are as well.
const SECRETS: [&str; 20] = [
    "sessiontoken",
    "secretaccesskey",
    "secretkey",
    "secretstring",
    "secretbinary",
    "clientsecret",
    "privatekey",
    "keymaterial",
    "authtoken",
    "authorizationtoken",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "webidentitytoken",
    "samlassertion",
    "presharedkey",
    "passphrase",
    "x-amz-security-token",
    "x-amz-signature",
    "plaintext",
];

/// Placeholders that AWS or the publisher of a sample put there: nothing is left to redact.
const HIDDEN: [&str; 3] = ["HIDDEN_DUE_TO_SECURITY_REASONS", "REDACTED", "***"];

/// The record without its secrets, and the JSON pointers of what was taken out. A text that is no JSON object comes
/// back as it is.
pub fn redact(text: &str) -> (String, Vec<String>) {
    let mut found = Vec::new();
    if let Ok((value, _)) = scan::whole(text, Limits::STORED) {
        search(text, &value, &mut found);
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end) in &found {
        out.push_str(&text[from..*start]);
        out.push_str(REDACTED);
        from = *end;
    }
    out.push_str(&text[from..]);
    (
        out,
        found
            .into_iter()
            .map(|(start, _)| pointer_at(text, start))
            .collect(),
    )
}

/// Finds where secrets begin and end.
fn search(text: &str, value: &Value<'_>, found: &mut Vec<(usize, usize)>) {
    match value {
        Value::Object(span) => scan::each_member(*span, |member| {
            match is_secret(&member.key.decode(), &member.value)
                .then(|| extent(text, &member.value))
                .flatten()
            {
                Some(place) => found.push(place),
                None => search(text, &member.value, found),
            }
        }),
        Value::Array(span) => scan::elements(*span)
            .iter()
            .for_each(|element| search(text, element, found)),
        _ => {}
    }
}

fn is_secret(key: &str, value: &Value<'_>) -> bool {
    let ends = key
        .len()
        .checked_sub("password".len())
        .and_then(|at| key.get(at..));
    let named = ends.is_some_and(|end| end.eq_ignore_ascii_case("password"))
        || SECRETS.iter().any(|secret| secret.eq_ignore_ascii_case(key));
    named
        && match value {
            Value::Null | Value::Bool(_) => false,
            Value::Text(text) => {
                !text.is_empty() && !HIDDEN.iter().any(|hidden| text.decode().starts_with(hidden))
            }
            _ => true,
        }
}

/// Where a value stands in the text that it is a slice of.
fn extent(text: &str, value: &Value<'_>) -> Option<(usize, usize)> {
    let (slice, quotes) = match value {
        Value::Text(inside) => (inside.raw(), 1),
        Value::Number(digits) => (*digits, 0),
        Value::Object(span) | Value::Array(span) => (span.text(), 0),
        Value::Null | Value::Bool(_) => return None,
    };
    let start = (slice.as_ptr() as usize)
        .checked_sub(text.as_ptr() as usize)?
        .checked_sub(quotes)?;
    let end = start + slice.len() + 2 * quotes;
    text.get(start..end).map(|_| (start, end))
}
