//! JSON Merge Patch (RFC 7396) on JSON text, so that numbers and the order of keys stay as they were written.

use crate::event::json::scan::members;
use crate::event::json::text::Span;
use crate::event::json::{Json, Value};

/// The target as the patch makes it; `None` where the patch is `null`, which removes.
pub fn merged(target: Option<&Value<'_>>, patch: &Value<'_>) -> Option<Json> {
    if matches!(patch, Value::Null) {
        return None;
    }
    let mut out = String::new();
    write(target, patch, &mut out);
    Some(Json::from_compact(out))
}

/// The patch is no `null`.
fn write(target: Option<&Value<'_>>, patch: &Value<'_>, out: &mut String) {
    match patch {
        Value::Object(patch) => {
            let target = match target {
                Some(Value::Object(target)) => Some(*target),
                _ => None,
            };
            write_object(target, *patch, out);
        }
        value => value.write_compact(out),
    }
}

fn write_object(target: Option<Span<'_>>, patch: Span<'_>, out: &mut String) {
    let (target, patch) = (target.map(members).unwrap_or_default(), members(patch));
    out.push('{');
    let mut is_first = true;
    let mut next = |out: &mut String| {
        if !std::mem::take(&mut is_first) {
            out.push(',');
        }
    };
    for member in &target {
        let key = member.key.decode();
        let change = patch.iter().find(|change| change.key.decode() == key);
        if change.is_some_and(|change| matches!(change.value, Value::Null)) {
            continue;
        }
        next(out);
        Value::Text(member.key).write_compact(out);
        out.push(':');
        match change {
            Some(change) => write(Some(&member.value), &change.value, out),
            None => member.value.write_compact(out),
        }
    }
    for change in &patch {
        let key = change.key.decode();
        let is_new = !target.iter().any(|member| member.key.decode() == key);
        if is_new && !matches!(change.value, Value::Null) {
            next(out);
            Value::Text(change.key).write_compact(out);
            out.push(':');
            write(None, &change.value, out);
        }
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Tree;

    use super::*;

    /// The algorithm of RFC 7396, section 2, as it stands there.
    fn by_the_book(target: Tree, patch: &Tree) -> Tree {
        let Tree::Object(patch) = patch else {
            return patch.clone();
        };
        let mut target = match target {
            Tree::Object(target) => target,
            _ => serde_json::Map::new(),
        };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                let old = target.remove(name).unwrap_or(Tree::Null);
                target.insert(name.clone(), by_the_book(old, value));
            }
        }
        Tree::Object(target)
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::from),
            (0..3).prop_map(Tree::from),
            "[a/\"]?".prop_map(Tree::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Tree::from),
                proptest::collection::btree_map("[ab\"]{0,2}", inner, 0..4)
                    .prop_map(|map| Tree::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_does_what_the_rfc_says(target in tree(), patch in tree()) {
            let (before, change) = (Json::from_value(&target), Json::from_value(&patch));
            let found = merged(Some(&before.read()), &change.read());
            let expected = by_the_book(target, &patch);
            prop_assert_eq!(found.map_or(Tree::Null, |json| json.to_value()), expected);
        }
    }

    #[test]
    fn what_is_not_touched_stays_as_it_was_written() {
        let json = |text: &str| Json::parse(text).unwrap();
        let before = json(r#"{"z":1.10,"a":{"n":123456789012345678901234567890,"x":null},"k":[1]}"#);
        let patch = json(r#"{"a":{"y":2.0},"k":null}"#);
        let after = merged(Some(&before.read()), &patch.read()).unwrap();
        assert_eq!(
            after.as_str(),
            r#"{"z":1.10,"a":{"n":123456789012345678901234567890,"x":null,"y":2.0}}"#
        );
    }
}
