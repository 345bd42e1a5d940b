//! The details of a row: all of them, or of what lies at some paths.
//!
//! An event may have very many leaves, and a question very many paths: the leaves are gone through once, and each is put
//! where it is wanted.

use super::{Object, push_text};
use crate::query::fields::{Fields, Named as N};
use crate::query::paths::Paths;
use crate::store::{EventRow, details};

/// Writes what is wanted of the details, where there is any.
pub(super) fn push(row: &EventRow<'_>, fields: &Fields, object: &mut Object<'_>) {
    if fields.has(N::Details) && is_flat(row) {
        object.key("details");
        return push_flat(row, object.out);
    }
    let text = match fields.has(N::Details) {
        true => all(row),
        false => {
            let is_wanted = |path: &str| fields.paths().covering(path).next().is_some();
            let wanted = plain(row).filter(|(_, path)| is_wanted(path));
            object_of(row, wanted.map(|(leaf, _)| leaf))
        }
    };
    if let Some(text) = text {
        object.key("details");
        object.out.extend_from_slice(text.as_bytes());
    }
}

/// All details as one text; `None` where there are none.
pub(in crate::query) fn all(row: &EventRow<'_>) -> Option<String> {
    details::rebuild(entries(row), &row.details_types)
}

/// The leaves of a row by the paths they lie at or below: as columns of a table want them.
pub(in crate::query) struct Parts<'a> {
    paths: &'a Paths,
    /// For each path, which leaves.
    leaves: Vec<Vec<usize>>,
}

impl<'a> Parts<'a> {
    /// Of what lies at these paths.
    pub(in crate::query) fn of(row: &EventRow<'_>, paths: &'a Paths) -> Self {
        let mut leaves = vec![Vec::new(); paths.len()];
        if !paths.is_empty() {
            for (leaf, path) in plain(row) {
                for at in paths.covering(&path) {
                    leaves[at].push(leaf);
                }
            }
        }
        Self { paths, leaves }
    }

    /// What stands at a path, or below it: the text of the one leaf that stands there, else the object of what there is.
    pub(in crate::query) fn at(&self, row: &EventRow<'_>, path: &str) -> Option<String> {
        let leaves = self.leaves.get(self.paths.position(path)?)?;
        match leaves.as_slice() {
            [] => None,
            [one] => {
                let (leaf, value) = row.details.get(*one)?;
                match *leaf == *path {
                    true => Some(value.to_string()),
                    false => object_of(row, [*one]),
                }
            }
            several => object_of(row, several.iter().copied()),
        }
    }
}

/// The leaves, each with its path without indexes.
fn plain<'a>(row: &'a EventRow<'_>) -> impl Iterator<Item = (usize, std::borrow::Cow<'a, str>)> {
    let leaves = row.details.iter().enumerate();
    leaves.map(|(leaf, (path, _))| (leaf, details::without_indexes(path)))
}

/// The object of those leaves alone, which come in their order.
fn object_of(row: &EventRow<'_>, leaves: impl IntoIterator<Item = usize>) -> Option<String> {
    let types = row.details_types.as_bytes();
    let leaves = leaves
        .into_iter()
        .filter_map(|leaf| Some((row.details.get(leaf)?, char::from(*types.get(leaf)?))));
    let (entries, types): (Vec<_>, String) = leaves
        .map(|((path, value), kind)| ((path.as_ref(), value.as_ref()), kind))
        .unzip();
    details::rebuild(entries, &types)
}

fn entries<'a>(row: &'a EventRow<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    row.details
        .iter()
        .map(|(path, value)| (path.as_ref(), value.as_ref()))
}

/// Whether every leaf stands at the top, under a key that needs no unescaping: most details are so.
fn is_flat(row: &EventRow<'_>) -> bool {
    !row.details.is_empty()
        && row.details.iter().all(|(path, _)| {
            let special = |byte| matches!(byte, b'.' | b'[' | b'\\' | b'"') || byte < 0x20;
            !path.bytes().any(special)
        })
}

fn push_flat(row: &EventRow<'_>, out: &mut Vec<u8>) {
    let mut letters = row.details_types.bytes();
    for (index, (path, value)) in row.details.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        push_text(out, path);
        out.push(b':');
        match letters.next() {
            Some(b'j') => out.extend_from_slice(value.as_bytes()),
            _ => push_text(out, value),
        }
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::event::{Event, Json};
    use crate::query::paths::lies_in;
    use crate::query::show::to_json;

    fn event(details: &serde_json::Value) -> Event {
        let mut event = Event::sample(7);
        event.details = Some(Json::from_value(details));
        event
    }

    fn row(event: &Event) -> EventRow<'_> {
        EventRow::from_event(event, uuid::Uuid::nil(), 0, 0)
    }

    /// What stands at a path, by comparing every leaf with it.
    fn compared(row: &EventRow<'_>, wanted: &str) -> Option<String> {
        let there: Vec<_> = plain(row).filter(|(_, path)| lies_in(path, wanted)).collect();
        match there.as_slice() {
            [] => None,
            [(one, _)] if *row.details[*one].0 == *wanted => Some(row.details[*one].1.to_string()),
            several => object_of(row, several.iter().map(|(leaf, _)| *leaf)),
        }
    }

    #[test]
    fn a_cell_holds_the_one_leaf_or_the_object_of_several() {
        let event = event(&json!({"a": {"b": "x", "c": [1, 2]}, "d": "y"}));
        let row = row(&event);
        let cells = [
            ("d", Some("y")),
            ("a.b", Some("x")),
            ("a.c", Some(r#"{"a":{"c":[1,2]}}"#)),
            ("a", Some(r#"{"a":{"b":"x","c":[1,2]}}"#)),
            ("e", None),
        ];
        let paths = Paths::of(cells.iter().map(|(path, _)| *path));
        let parts = Parts::of(&row, &paths);
        for (path, cell) in cells {
            assert_eq!(parts.at(&row, path).as_deref(), cell, "{path}");
        }
    }

    #[test]
    fn very_many_leaves_of_very_many_paths_are_gone_through_once() {
        let leaves: Vec<_> = (0..60_000).map(|n| json!({"x": n % 10})).collect();
        let details = json!({"k0": {"list": leaves}});
        let event = event(&details);
        let names: Vec<_> = (0..200).map(|n| format!("details.k{n}.list.x")).collect();
        let fields = Fields::parse(&names).unwrap();
        let text = to_json(&event, &fields).unwrap();
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown["details"], details);
    }

    proptest! {
        #[test]
        fn cells_are_what_comparing_every_leaf_finds(
            keys in prop::collection::vec("[a-b]{1,2}", 1..8),
            wanted in prop::collection::vec(r"[a-b]{1,2}(\.[a-b]{1,2}){0,2}", 1..6),
        ) {
            let mut details = json!({"last": 1});
            for (n, key) in keys.iter().enumerate() {
                let inner = json!([{(key.as_str()): n}, {"b": ["x", n]}, n]);
                details[key] = if n % 2 == 0 { inner } else { json!({(key.as_str()): inner}) };
            }
            let event = event(&details);
            let row = row(&event);
            let paths = Paths::of(wanted.iter().map(String::as_str));
            let parts = Parts::of(&row, &paths);
            for path in &wanted {
                prop_assert_eq!(parts.at(&row, path), compared(&row, path));
            }
        }
    }
}
