//! Whether a new version of a schema accepts all that the old one accepted, by rules that rather say no: what they let
//! through is sure to be wider, and some that is wider they do not see.
//!
//! References are followed first, so places are those of the schema with its references written out.

use serde_json::{Map, Value};

use super::references::inlined;
use crate::event::draft::Problem;
use crate::event::json::pointer::push_step;

/// Where the new version is narrower, or may be; empty when it takes everything that the old one took.
pub fn narrowings(old: &Value, new: &Value) -> Vec<Problem> {
    let mut found = Found::default();
    if old.get("$schema") != new.get("$schema") {
        found.at("/$schema", "names another version of JSON Schema");
        return found.problems;
    }
    found.compare(&inlined(old, old), &inlined(new, new), &mut String::new());
    found.problems
}

/// What has no meaning for what is accepted.
const ANNOTATIONS: [&str; 11] = [
    "$schema",
    "$id",
    "$comment",
    "$anchor",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
];
/// Where the new value must not be above the old, and must not be new.
const AT_LEAST: [&str; 5] = [
    "minimum",
    "exclusiveMinimum",
    "minLength",
    "minItems",
    "minProperties",
];
/// Where it must not be below.
const AT_MOST: [&str; 5] = [
    "maximum",
    "exclusiveMaximum",
    "maxLength",
    "maxItems",
    "maxProperties",
];
/// What may only be left as it is, or taken away.
const AS_IT_WAS: [&str; 18] = [
    "multipleOf",
    "pattern",
    "format",
    "uniqueItems",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "propertyNames",
    "contains",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "id",
];

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
}

/// Whether a schema says nothing.
fn takes_all(schema: &Value) -> bool {
    match schema {
        Value::Bool(takes) => *takes,
        Value::Object(members) => members.keys().all(|name| ANNOTATIONS.contains(&name.as_str())),
        _ => false,
    }
}

const ANYTHING: Value = Value::Bool(true);

impl Found {
    fn at(&mut self, place: &str, detail: impl Into<String>) {
        self.problems.push(Problem::new(place, detail));
    }

    fn under(&mut self, at: &mut String, name: &str, look: impl FnOnce(&mut Self, &mut String)) {
        let length = at.len();
        push_step(at, name);
        look(self, at);
        at.truncate(length);
    }

    fn compare(&mut self, old: &Value, new: &Value, at: &mut String) {
        if old == new || takes_all(new) || *old == Value::Bool(false) {
            return;
        }
        let nothing = Map::new();
        let Value::Object(new) = new else {
            return self.at(at, "takes nothing any more");
        };
        let old = old.as_object().unwrap_or(&nothing);
        // What is said of the rest depends on all that is said of the others.
        for name in ["unevaluatedProperties", "unevaluatedItems"] {
            if new.contains_key(name) {
                self.under(at, name, |found, at| {
                    found.at(at, "stands beside a change, which can't be judged then");
                });
            }
        }
        for (name, value) in new.iter().filter(|(name, value)| old.get(*name) != Some(value)) {
            self.under(at, name, |found, at| found.keyword(old, name, value, at));
        }
        self.lists(old, new, at);
        self.properties(old, new, at);
    }

    /// A keyword that is new, or has another value than before.
    fn keyword(&mut self, old: &Map<String, Value>, name: &str, value: &Value, at: &mut String) {
        let before = old.get(name);
        match name {
            "type" if !before.is_some_and(|before| covers(value, before)) => {
                self.at(at, "takes fewer types than before");
            }
            "enum" | "const" => {
                let taken: &[Value] = match value {
                    Value::Array(values) if name == "enum" => values,
                    value => std::slice::from_ref(value),
                };
                if !values(old).is_some_and(|before| before.iter().all(|value| taken.contains(value))) {
                    self.at(at, "leaves out values that were taken before");
                }
            }
            "required" => {
                let before = before.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let more: Vec<_> = value.as_array().into_iter().flatten().collect();
                for name in more.into_iter().filter(|name| !before.contains(name)) {
                    self.at(at, format!("needs {name}, which was not needed before"));
                }
            }
            "anyOf" => {
                let branches = value.as_array().map_or(&[][..], Vec::as_slice);
                let before = before.and_then(Value::as_array);
                if !before.is_some_and(|before| before.iter().all(|branch| branches.contains(branch))) {
                    self.at(at, "lacks a branch as it was before");
                }
            }
            "allOf" => self.all_of(old, value, at),
            name if AT_LEAST.contains(&name) && !is_ordered(Some(value), before) => {
                self.at(at, "is a higher bound than before");
            }
            name if AT_MOST.contains(&name) && !is_ordered(before, Some(value)) => {
                self.at(at, "is a lower bound than before");
            }
            "uniqueItems" if *value == Value::Bool(false) => {}
            name if AS_IT_WAS.contains(&name) => self.at(at, "is new, or another than before"),
            _ => {}
        }
    }

    /// Each part must take what the whole took, or what one of its parts did.
    fn all_of(&mut self, old: &Map<String, Value>, new: &Value, at: &mut String) {
        let whole = Value::Object(old.clone());
        let parts = old.get("allOf").and_then(Value::as_array);
        for (index, part) in new.as_array().into_iter().flatten().enumerate() {
            let is_wider = |before: &Value| {
                let mut found = Self::default();
                found.compare(before, part, &mut String::new());
                found.problems.is_empty()
            };
            if !is_wider(&whole) && !parts.is_some_and(|parts| parts.iter().any(is_wider)) {
                self.under(at, &index.to_string(), |found, at| {
                    found.at(at, "asks for more than before");
                });
            }
        }
    }

    fn lists(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &mut String) {
        let same = |name: &str| old.get(name) == new.get(name);
        // With tuples, what `items` is about shifts.
        let is_tuple = |value: Option<&Value>| value.is_some_and(Value::is_array);
        let shifts = !same("prefixItems") || is_tuple(new.get("items")) || is_tuple(old.get("items"));
        let changes = !(same("prefixItems") && same("items") && same("additionalItems"));
        if shifts && changes {
            if new.contains_key("prefixItems")
                || new.contains_key("items")
                || new.contains_key("additionalItems")
            {
                self.under(at, "items", |found, at| {
                    found.at(at, "lists by place can't be changed")
                });
            }
            return;
        }
        if let Some(items) = new.get("items") {
            let before = old.get("items").unwrap_or(&ANYTHING);
            self.under(at, "items", |found, at| found.compare(before, items, at));
        }
        for name in ["minContains", "maxContains"] {
            if new.contains_key("contains") && !same(name) {
                self.under(at, name, |found, at| found.at(at, "is another than before"));
            }
        }
    }

    /// A property was, and is, held to what stands under its name; else to what its name's pattern, and else to what is
    /// said of all others.
    fn properties(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &mut String) {
        let nothing = Map::new();
        let members =
            |schema: &'_ Map<String, Value>, name: &str| schema.get(name).and_then(Value::as_object).cloned();
        let [old_named, new_named] =
            [old, new].map(|schema| members(schema, "properties").unwrap_or_default());
        let [old_like, new_like] =
            [old, new].map(|schema| members(schema, "patternProperties").unwrap_or_else(|| nothing.clone()));
        let [old_rest, new_rest] =
            [old, new].map(|schema| schema.get("additionalProperties").unwrap_or(&ANYTHING).clone());

        for (name, schema) in &new_named {
            // A pattern may have held it to less than what is said of all others.
            let before = match old_named.get(name) {
                Some(before) => before,
                None if old_like.is_empty() => &old_rest,
                None => &ANYTHING,
            };
            self.under(at, "properties", |found, at| {
                found.under(at, name, |found, at| found.compare(before, schema, at));
            });
        }
        for (pattern, schema) in &new_like {
            let before = old_like.get(pattern).unwrap_or(&ANYTHING);
            self.under(at, "patternProperties", |found, at| {
                found.under(at, pattern, |found, at| found.compare(before, schema, at));
            });
        }
        // What lost its name falls under the patterns, and under what is said of the rest.
        for (name, before) in old_named
            .iter()
            .filter(|(name, _)| !new_named.contains_key(*name))
        {
            self.under(at, "properties", |found, at| {
                found.under(at, name, |found, at| {
                    new_like
                        .values()
                        .for_each(|schema| found.compare(before, schema, at));
                    found.compare(before, &new_rest, at);
                });
            });
        }
        for (pattern, before) in old_like
            .iter()
            .filter(|(pattern, _)| !new_like.contains_key(*pattern))
        {
            self.under(at, "patternProperties", |found, at| {
                found.under(at, pattern, |found, at| found.compare(before, &new_rest, at));
            });
        }
        self.under(at, "additionalProperties", |found, at| {
            found.compare(&old_rest, &new_rest, at);
        });
    }
}

/// Whether each type of `old` is one of `new`; integers are numbers.
fn covers(new: &Value, old: &Value) -> bool {
    let names = |value: &Value| -> Vec<String> {
        let of = |value: &Value| value.as_str().map(str::to_owned);
        match value {
            Value::Array(values) => values.iter().filter_map(of).collect(),
            value => of(value).into_iter().collect(),
        }
    };
    let new = names(new);
    let is_covered =
        |name: &String| new.contains(name) || (name == "integer" && new.iter().any(|n| n == "number"));
    names(old).iter().all(is_covered)
}

/// The only values that a schema takes, where it names them.
fn values(schema: &Map<String, Value>) -> Option<Vec<Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(vec![only.clone()]),
        (None, Some(Value::Array(values))) => Some(values.clone()),
        _ => None,
    }
}

/// Whether there are two numbers, and the first is no greater. Whole ones are compared as such.
fn is_ordered(a: Option<&Value>, b: Option<&Value>) -> bool {
    let (Some(Value::Number(a)), Some(Value::Number(b))) = (a, b) else {
        return false;
    };
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a <= b,
        _ => a.as_f64() <= b.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::schemas::check;

    fn places(old: Value, new: Value) -> Vec<String> {
        let found = narrowings(&old, &new).into_iter();
        found.map(|problem| problem.field).collect()
    }

    #[test]
    fn what_is_wider_is_let_through() {
        for (old, new) in [
            (json!({"type": "integer"}), json!({"type": ["number", "null"]})),
            (json!({"enum": ["a"]}), json!({"enum": ["a", "b"]})),
            (json!({"const": "a"}), json!({"enum": ["a", "b"]})),
            (json!({"required": ["a", "b"]}), json!({"required": ["a"]})),
            (
                json!({"minLength": 3, "maximum": 5}),
                json!({"minLength": 2, "maximum": 5.5}),
            ),
            (json!({"pattern": "^a"}), json!({"title": "all"})),
            (
                json!({"additionalProperties": false}),
                json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            ),
            (
                json!({"properties": {"a": {"maxLength": 3}}}),
                json!({"properties": {"a": {"maxLength": 4}}}),
            ),
            (
                json!({"$defs": {"x": {"type": "integer"}}, "items": {"$ref": "#/$defs/x"}}),
                json!({"items": {"type": "number"}}),
            ),
            (
                json!({"type": "string"}),
                json!({"allOf": [{"type": ["string", "null"]}]}),
            ),
            (json!(false), json!({"type": "string"})),
        ] {
            assert_eq!(
                places(old.clone(), new.clone()),
                Vec::<String>::new(),
                "{old} {new}"
            );
        }
    }

    #[test]
    fn what_is_narrower_is_named_by_its_place() {
        for (old, new, place) in [
            (json!({}), json!({"type": "string"}), "/type"),
            (json!({"type": "number"}), json!({"type": "integer"}), "/type"),
            (json!({"enum": ["a", "b"]}), json!({"enum": ["a"]}), "/enum"),
            (json!({}), json!({"required": ["a"]}), "/required"),
            (json!({"minimum": 1}), json!({"minimum": 2}), "/minimum"),
            (json!({}), json!({"maxItems": 5}), "/maxItems"),
            (json!({"pattern": "^a"}), json!({"pattern": "^ab"}), "/pattern"),
            (
                json!({}),
                json!({"additionalProperties": false}),
                "/additionalProperties",
            ),
            (
                json!({"properties": {"a": {"type": "string"}}}),
                json!({"properties": {"a": {"type": "null"}}}),
                "/properties/a/type",
            ),
            (
                json!({}),
                json!({"properties": {"a": {"type": "string"}}}),
                "/properties/a/type",
            ),
            (
                json!({"properties": {"a": {}}, "additionalProperties": false}),
                json!({"additionalProperties": false}),
                "/properties/a",
            ),
            (
                json!({"patternProperties": {"^a": {}}, "additionalProperties": false}),
                json!({"additionalProperties": false}),
                "/patternProperties/^a",
            ),
            (
                json!({"items": {}}),
                json!({"items": {"minLength": 1}}),
                "/items/minLength",
            ),
            (
                json!({"contains": {}, "minContains": 0}),
                json!({"contains": {}}),
                "/minContains",
            ),
            (
                json!({"$schema": "http://json-schema.org/draft-07/schema"}),
                json!({}),
                "/$schema",
            ),
            (
                json!({}),
                json!({"unevaluatedProperties": false}),
                "/unevaluatedProperties",
            ),
            (json!({}), json!(false), ""),
        ] {
            assert_eq!(places(old.clone(), new.clone()), [place], "{old} {new}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-2i64..4).prop_map(Value::from),
            (0u8..6).prop_map(|half| json!(f64::from(half) / 2.0)),
            "[ab]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("[abc]", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn any_schema() -> impl Strategy<Value = Value> {
        let types = prop::sample::subsequence(
            vec![
                "null", "boolean", "integer", "number", "string", "array", "object",
            ],
            1..7,
        );
        let leaf = prop_oneof![
            Just(json!(true)),
            Just(json!({})),
            Just(json!(false)),
            types.prop_map(|types| json!({"type": types})),
            (0u8..4).prop_map(|n| json!({"minLength": n})),
            (0u8..4).prop_map(|n| json!({"maxLength": n, "maximum": n})),
            (-1i8..3).prop_map(|n| json!({"minimum": n, "maxItems": 2})),
            Just(json!({"enum": [null, 1, "a"]})),
            Just(json!({"enum": [1, "a"]})),
            Just(json!({"const": "a"})),
            Just(json!({"pattern": "^a", "uniqueItems": true})),
        ];
        leaf.prop_recursive(2, 16, 3, |inner| {
            let some = prop::collection::hash_map("[abc]", inner.clone(), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect()));
            let few = prop::collection::vec(inner.clone(), 1..3);
            prop_oneof![
                (some.clone(), prop::option::of(inner.clone())).prop_map(|(properties, rest)| match rest {
                    Some(rest) => json!({"properties": properties, "additionalProperties": rest}),
                    None => json!({"properties": properties}),
                }),
                (some, inner.clone()).prop_map(|(properties, like)| {
                    json!({"properties": properties, "patternProperties": {"^[ab]": like}})
                }),
                (inner.clone(), inner.clone()).prop_map(|(like, rest)| {
                    json!({"patternProperties": {"^a": like}, "additionalProperties": rest})
                }),
                prop::sample::subsequence(vec!["a", "b"], 0..3).prop_map(|names| json!({"required": names})),
                inner.clone().prop_map(|items| json!({"items": items})),
                (inner.clone(), inner.clone())
                    .prop_map(|(first, items)| json!({"prefixItems": [first], "items": items})),
                (inner.clone(), 0u8..2).prop_map(|(one, n)| json!({"contains": one, "minContains": n})),
                few.clone().prop_map(|all| json!({"allOf": all})),
                few.clone().prop_map(|any| json!({"anyOf": any})),
                few.prop_map(|one| json!({"oneOf": one})),
                inner.clone().prop_map(|not| json!({"not": not})),
                inner
                    .prop_map(|one| json!({"$defs": {"d": one}, "properties": {"a": {"$ref": "#/$defs/d"}}})),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// What the rules let through takes every value that was taken before.
        #[test]
        fn nothing_that_was_taken_is_refused_by_what_is_let_through(
            old in any_schema(),
            new in any_schema(),
            values in prop::collection::vec(any_value(), 8),
        ) {
            // A reference that was made for another place leads nowhere.
            let compiled = |schema: &Value| {
                let compiled = check::read(&schema.to_string()).and_then(|read| check::compile(&read));
                compiled.ok().map(|compiled| compiled.validator)
            };
            let Some(before) = compiled(&old) else { return Ok(()) };
            prop_assert!(narrowings(&old, &old).is_empty());
            let mut more = old.clone();
            if let (Some(members), Some(others)) = (more.as_object_mut(), new.as_object()) {
                members.extend(others.clone());
            }
            for next in [new, more] {
                let Some(after) = compiled(&next).filter(|_| narrowings(&old, &next).is_empty()) else {
                    continue;
                };
                for value in &values {
                    prop_assert!(!before.is_valid(value) || after.is_valid(value), "{} {}", next, value);
                }
            }
        }
    }
}
