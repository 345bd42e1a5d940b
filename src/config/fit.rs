//! Which value does not fit its setting, and what would: in words, without the value, which may be a secret.

use toml::{Table, Value};

use super::{ConfigError, layer};

/// An error for the first value of a source that does not fit.
pub(super) fn check(place: &str, table: &Table) -> Result<(), ConfigError> {
    match layer(table.clone()) {
        Ok(_) => Ok(()),
        Err(whole) => {
            let (key, reason) =
                first(table, &[]).unwrap_or_else(|| ("a setting".into(), whole.message().into()));
            Err(ConfigError::Malformed {
                place: place.to_owned(),
                reason: format!("the value of {key} does not fit: {}", wanted(&reason)),
            })
        }
    }
}

/// The first setting whose value does not fit, and serde's words for it.
fn first(table: &Table, above: &[&str]) -> Option<(String, String)> {
    table.iter().find_map(|(key, value)| {
        let path: Vec<&str> = above.iter().copied().chain([key.as_str()]).collect();
        match (value, alone(&path, value)) {
            (_, Ok(())) => None,
            (Value::Table(inner), Err(why)) => first(inner, &path).or(Some((path.join("."), why))),
            (_, Err(why)) => Some((path.join("."), why)),
        }
    })
}

/// Whether a value fits where nothing else is set.
fn alone(path: &[&str], value: &Value) -> Result<(), String> {
    let nested = path.iter().rev().fold(value.clone(), |inner, key| {
        Value::Table(Table::from_iter([((*key).to_owned(), inner)]))
    });
    match nested {
        Value::Table(table) => layer(table).map(drop).map_err(|error| error.message().to_owned()),
        _ => Ok(()),
    }
}

/// What a setting wants, from serde's words, which name Rust's types.
fn wanted(reason: &str) -> String {
    if reason.contains("socket address") {
        return "expected an address with a port, such as 127.0.0.1:8080".into();
    }
    let expected = reason
        .rsplit_once("expected ")
        .map_or("", |(_, expected)| expected);
    let expected = expected.lines().next().unwrap_or_default();
    let words = match expected {
        _ if expected.starts_with("a nonzero u") => "a whole number from 1 on",
        "u64" | "usize" => "a whole number from 0 on",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" | "a string or a path" => "text",
        "a sequence" => "a list",
        _ if expected.starts_with("a map") => "settings by their names",
        _ if expected.starts_with("struct ") => "a section",
        // Names of what there is to choose from.
        _ if expected.contains('`') => expected,
        _ => return "`trailhouse config` says what it must be".into(),
    };
    format!("expected {words}")
}
