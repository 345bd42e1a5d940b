//! Secrets in a record: found by the names of their keys, taken out without touching any other byte.
//!
//! CloudTrail hides most secrets itself, but answers of STS carry session tokens, and service authors forget.

use crate::event::json::Value;
use crate::event::json::scan::{self, Limits, push_step};

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
        search(text, &mut String::new(), &value, &mut found);
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end, _) in &found {
        out.push_str(&text[from..*start]);
        out.push_str(REDACTED);
        from = *end;
    }
    out.push_str(&text[from..]);
    (out, found.into_iter().map(|(_, _, pointer)| pointer).collect())
}

fn search(text: &str, path: &mut String, value: &Value<'_>, found: &mut Vec<(usize, usize, String)>) {
    let length = path.len();
    match value {
        Value::Object(span) => {
            for member in scan::members(*span) {
                let key = member.key.decode();
                push_step(path, &key);
                match is_secret(&key, &member.value)
                    .then(|| extent(text, &member.value))
                    .flatten()
                {
                    Some((start, end)) => found.push((start, end, path.clone())),
                    None => search(text, path, &member.value, found),
                }
                path.truncate(length);
            }
        }
        Value::Array(span) => {
            for (i, element) in scan::elements(*span).iter().enumerate() {
                push_step(path, &i.to_string());
                search(text, path, element, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn is_secret(key: &str, value: &Value<'_>) -> bool {
    let key = key.to_ascii_lowercase();
    let named = SECRETS.contains(&key.as_str()) || key.ends_with("password");
    let holds = match value {
        Value::Null | Value::Bool(_) => false,
        Value::Text(text) => {
            !text.is_empty() && !HIDDEN.iter().any(|hidden| text.decode().starts_with(hidden))
        }
        _ => true,
    };
    named && holds
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
