//! The difference between two states, as operations of RFC 6902.
//!
//! Objects are compared key by key, arrays place by place. Applying the operations in order to `before` gives
//! `after`. Beside what the RFC asks for, `remove` and `replace` carry the `old` value, so that a reader sees what
//! was lost. Numbers are the same when they are written the same.

use serde::Serialize;

use crate::event::json::pointer::push_step;
use crate::event::json::scan::{elements, members};
use crate::event::json::{Json, Value};

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `add`, `remove` or `replace`.
    pub op: &'static str,
    /// JSON pointer of what changed.
    pub path: String,
    /// What is there now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
    /// What was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Json>,
}

/// What leads from one state to the other; empty when they are the same.
pub fn changes(before: &Json, after: &Json) -> Vec<Change> {
    let mut found = Vec::new();
    compare(&mut String::new(), &before.read(), &after.read(), &mut found);
    found
}

fn compare(path: &mut String, before: &Value<'_>, after: &Value<'_>, found: &mut Vec<Change>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let (a, b) = (keyed(members(*a)), keyed(members(*b)));
            for (key, old) in &a {
                match b.iter().find(|(other, _)| other == key) {
                    Some((_, new)) => below(path, key, |path| compare(path, old, new, found)),
                    None => below(path, key, |path| note(path, Some(old), None, found)),
                }
            }
            for (key, new) in b
                .iter()
                .filter(|(key, _)| !a.iter().any(|(other, _)| other == key))
            {
                below(path, key, |path| note(path, None, Some(new), found));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            let (a, b) = (elements(*a), elements(*b));
            for (i, (old, new)) in a.iter().zip(&b).enumerate() {
                below(path, &i.to_string(), |path| compare(path, old, new, found));
            }
            // From the end, so that the places before stay where they are.
            for (i, old) in a.iter().enumerate().skip(b.len()).rev() {
                below(path, &i.to_string(), |path| note(path, Some(old), None, found));
            }
            for (i, new) in b.iter().enumerate().skip(a.len()) {
                below(path, &i.to_string(), |path| note(path, None, Some(new), found));
            }
        }
        (old, new) if Json::from_checked(old) == Json::from_checked(new) => {}
        (old, new) => note(path, Some(old), Some(new), found),
    }
}

fn keyed<'a>(members: Vec<crate::event::json::Member<'a>>) -> Vec<(std::borrow::Cow<'a, str>, Value<'a>)> {
    members
        .into_iter()
        .map(|member| (member.key.decode(), member.value))
        .collect()
}

fn below(path: &mut String, step: &str, visit: impl FnOnce(&mut String)) {
    let length = path.len();
    push_step(path, step);
    visit(path);
    path.truncate(length);
}

fn note(path: &str, old: Option<&Value<'_>>, new: Option<&Value<'_>>, found: &mut Vec<Change>) {
    let op = match (old, new) {
        (None, _) => "add",
        (_, None) => "remove",
        _ => "replace",
    };
    found.push(Change {
        op,
        path: path.to_owned(),
        value: new.map(Json::from_checked),
        old: old.map(Json::from_checked),
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Tree;

    use super::*;

    /// Applies operations as RFC 6902 says, and checks each `old` on the way.
    fn apply(tree: &mut Tree, changes: &[Change]) {
        for change in changes {
            let value = change.value.as_ref().map(Json::to_value);
            let old = change.old.as_ref().map(Json::to_value);
            let Some((parent, step)) = change.path.rsplit_once('/') else {
                assert_eq!((change.op, Some(&*tree)), ("replace", old.as_ref()));
                *tree = value.unwrap();
                continue;
            };
            let step = step.replace("~1", "/").replace("~0", "~");
            let found = match tree.pointer_mut(parent).unwrap() {
                Tree::Object(map) => match value {
                    Some(value) => map.insert(step, value),
                    None => map.remove(&step),
                },
                Tree::Array(list) => match (change.op, step.parse::<usize>().unwrap()) {
                    ("add", at) => {
                        list.insert(at, value.unwrap());
                        None
                    }
                    ("remove", at) => Some(list.remove(at)),
                    (_, at) => Some(std::mem::replace(&mut list[at], value.unwrap())),
                },
                _ => panic!("{} points below a scalar", change.path),
            };
            assert_eq!(found, old, "{change:?}");
        }
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::from),
            (0..3).prop_map(Tree::from),
            "[a/~]?".prop_map(Tree::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::from),
                proptest::collection::btree_map("[ab/~]{0,2}", inner, 0..4)
                    .prop_map(|map| Tree::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn applying_the_changes_to_before_gives_after(before in tree(), after in tree()) {
            let found = changes(&Json::from_value(&before), &Json::from_value(&after));
            prop_assert_eq!(found.is_empty(), before == after);
            let mut tree = before;
            apply(&mut tree, &found);
            prop_assert_eq!(tree, after);
        }
    }

    #[test]
    fn numbers_too_large_for_a_float_are_told_apart() {
        let json = |text: &str| Json::parse(text).unwrap();
        let found = changes(
            &json(r#"{"n":10000000000000000000001}"#),
            &json(r#"{"n":10000000000000000000002}"#),
        );
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].value.as_ref().map(Json::as_str),
            Some("10000000000000000000002")
        );
    }
}
