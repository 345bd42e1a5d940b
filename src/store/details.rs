//! Open-ended JSON as columns: an object becomes a list of (path, value), one entry a leaf, and comes back as it was.
//!
//! A path is `a.b[0].c`; the characters `\ . [ ] =` inside a key are written with a backslash before them. A value is
//! the text of a string, or the JSON text of anything else that has no leaves below it: numbers as they were written,
//! `true`, `false`, `null`, `[]`, `{}`. Beside the list stands one letter a leaf, `s` for a string and `j` for other
//! JSON, so that `"5"` and `5` stay apart although both are found under `5`.
//!
//! Search sees the same leaves as `path=value`, with the array indexes left out ([`item`]).

mod join;
mod path;
mod split;

use std::borrow::Cow;

pub(super) use join::push_string;
pub use path::{escape_key, without_indexes};

/// The letters of an object without any leaf, where "no object at all" has no letters.
const EMPTY_OBJECT: &str = "-";

/// The leaves of one JSON object, in document order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flat<'a> {
    /// (path, value) pairs; borrowed from the text wherever it holds them as they are.
    pub entries: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// One letter an entry: `s` or `j`; `-` for `{}`.
    pub types: String,
}

/// Takes a JSON object in compact text apart. `None` when the text is no JSON object without spaces between its
/// tokens, or is nested more than 128 levels deep.
pub fn flatten(json: &str) -> Option<Flat<'_>> {
    let mut flat = split::leaves(json)?;
    if flat.entries.is_empty() {
        flat.types.push_str(EMPTY_OBJECT);
    }
    Some(flat)
}

/// Puts leaves together again: the compact text of the object, or `None` where there was none.
pub fn rebuild<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>, types: &str) -> Option<String> {
    let mut writer = join::Writer::default();
    let mut letters = types.bytes();
    for (path, value) in entries {
        writer.leaf(path::segments(path), value, letters.next() == Some(b'j'));
    }
    match types {
        "" if writer.is_empty() => None,
        _ => Some(writer.finish()),
    }
}

/// What search calls a leaf: its path without indexes, `=`, its value. The same text that the column `detail_items`
/// computes in SQL.
pub fn item(path: &str, value: &str) -> String {
    format!("{}={value}", without_indexes(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn there_and_back(json: &str) -> Option<String> {
        let flat = flatten(json).expect("valid");
        rebuild(
            flat.entries
                .iter()
                .map(|(path, value)| (path.as_ref(), value.as_ref())),
            &flat.types,
        )
    }

    fn paths(json: &str) -> Vec<String> {
        flatten(json)
            .unwrap()
            .entries
            .iter()
            .map(|(path, value)| format!("{path}={value}"))
            .collect()
    }

    #[test]
    fn leaves_are_named_by_their_path() {
        let json = r#"{"a":{"b":[{"c":1.50},"x"],"d":{}},"k.e=y":null,"":[[],[true]]}"#;
        assert_eq!(
            paths(json),
            [
                "a.b[0].c=1.50",
                "a.b[1]=x",
                "a.d={}",
                r"k\.e\=y=null",
                "[0]=[]",
                "[1][0]=true"
            ]
        );
        assert_eq!(flatten(json).unwrap().types, "jsjjjj");
        assert_eq!(there_and_back(json).as_deref(), Some(json));
    }

    #[test]
    fn nothing_and_the_empty_object_stay_apart() {
        assert_eq!(there_and_back("{}").as_deref(), Some("{}"));
        assert_eq!(rebuild([], ""), None);
    }

    #[test]
    fn numbers_stay_as_they_were_written() {
        let json = r#"{"n":123456789012345678901234567890,"f":1.10,"e":-1E+400}"#;
        assert_eq!(there_and_back(json).as_deref(), Some(json));
    }

    #[test]
    fn text_that_is_no_object_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1}x",
            "{\"a\":[1}",
            "{\"\\",
            "{\"a\":\"\\",
        ] {
            assert_eq!(flatten(text), None, "{text}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(flatten(&deep), None);
    }

    #[test]
    fn search_leaves_indexes_out() {
        assert_eq!(item("a[0].b[1][2]", "x"), "a.b=x");
        assert_eq!(item(r"a\[0\].b", "x"), r"a\[0\].b=x");
        assert_eq!(item("[0].b", "x"), ".b=x");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let key = prop_oneof!["[a-c]{0,2}", r"[.\[\]=\\a0]{0,4}", any::<String>()];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let tree = leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        });
        prop::collection::vec((any::<String>(), tree), 0..5)
            .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn every_object_comes_back_as_it_was(value in any_json()) {
            let json = value.to_string();
            prop_assert_eq!(there_and_back(&json), Some(json));
        }

        #[test]
        fn nothing_that_is_read_panics(text in any::<String>(), path in any::<String>(), types in "[sj-]{0,3}") {
            let _ = flatten(&text);
            let _ = rebuild([(path.as_str(), text.as_str()), (path.as_str(), "1")], &types);
            let _ = without_indexes(&path);
        }
    }
}
