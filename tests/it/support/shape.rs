//! Answers are as the examples of them in `schemas/examples/answers` say: the same keys, holding the same kinds.

use serde_json::Value;

/// That an answer has the shape of an example.
#[track_caller]
pub fn expect_shape(answer: &Value, example: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas/examples/answers")
        .join(format!("{example}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let expected: Value = serde_json::from_str(&text).unwrap();
    if let Some(difference) = difference(answer, &expected, String::new()) {
        panic!("{example}.json: {difference}\nthe answer: {answer:#}");
    }
}

/// Where two values differ in shape. Lists are held against the first item of the example's; a null says that there may
/// be something of any kind, and details have what they have.
fn difference(answer: &Value, example: &Value, at: String) -> Option<String> {
    match (answer, example) {
        (Value::Object(answer), Value::Object(example)) => {
            let missing = example.keys().find(|key| !answer.contains_key(*key));
            let added = answer.keys().find(|key| !example.contains_key(*key));
            if let Some(key) = missing {
                return Some(format!("{at}/{key} is missing"));
            }
            if let Some(key) = added {
                return Some(format!("{at}/{key} is in no example"));
            }
            let mut keys = answer.iter().filter(|(key, _)| *key != "details");
            keys.find_map(|(key, value)| difference(value, &example[key], format!("{at}/{key}")))
        }
        (Value::Array(answer), Value::Array(example)) => {
            let first = example.first()?;
            let mut items = answer.iter().enumerate();
            items.find_map(|(index, item)| difference(item, first, format!("{at}/{index}")))
        }
        (Value::Null, _) | (_, Value::Null) => None,
        _ if kind(answer) == kind(example) => None,
        _ => Some(format!("{at} is {answer}, as in no example")),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
