//! In which order the document is written: by name, but JSON before every other form of a body. Generators of clients,
//! and people, take the first form for the usual one.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

const JSON: &str = "application/json";

/// The document as text.
pub fn written(document: &Value) -> String {
    let text = serde_json::to_string_pretty(&Ordered(document));
    text.unwrap_or_default() + "\n"
}

/// What an object has, in this order. Of a file, JSON is one form among others.
pub(super) fn in_order(members: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let is_file = |form: &Value| form["schema"]["format"] == "binary";
    let first = members.get_key_value(JSON);
    let first = first.filter(|_| !members.values().any(is_file));
    let rest = members
        .iter()
        .filter(move |(name, _)| first.is_none_or(|(first, _)| first != *name));
    first.into_iter().chain(rest)
}

struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in in_order(members) {
                    map.serialize_entry(name, &Ordered(value))?;
                }
                map.end()
            }
            Value::Array(all) => serializer.collect_seq(all.iter().map(Ordered)),
            other => other.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_written_first_and_nothing_is_lost() {
        let document =
            json!({"content": {"application/a": [{"b": 1}], "application/json": {"a": null}, "text/b": "c"}});
        let text = written(&document);
        let place = |name: &str| text.find(name).unwrap();
        assert!(
            place("application/json") < place("application/a") && place("application/a") < place("text/b")
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
        let file =
            json!({"application/gzip": {"schema": {"format": "binary"}}, "application/json": {"schema": {}}});
        assert!(written(&file).find("json") > written(&file).find("gzip"));
    }
}
