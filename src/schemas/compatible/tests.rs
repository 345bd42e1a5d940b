//! Pairs of schemas, and the rule that all of it serves.

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
            inner.prop_map(|one| json!({"$defs": {"d": one}, "properties": {"a": {"$ref": "#/$defs/d"}}})),
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

/// Nested `allOf` is compared in ever more combinations: what takes too many is not let through, and said to be so.
#[test]
fn what_takes_too_long_to_compare_is_not_let_through() {
    let nested = |kind: &str| (0..28).fold(json!({"type": kind}), |inner, _| json!({"allOf": [inner]}));
    let found = narrowings(&nested("string"), &nested("number"));
    assert_eq!((found.len(), found[0].field.as_str()), (1, ""));
    assert!(found[0].detail.contains("too much"), "{found:?}");
    let many = |first: i32| json!({"enum": (first..first + 8_000).collect::<Vec<_>>()});
    assert!(narrowings(&many(0), &many(0)).is_empty());
    assert!(narrowings(&many(0), &many(1))[0].detail.contains("leaves out"));
}

#[test]
fn so_many_places_are_named_and_no_more() {
    let with = |kind: &str| {
        let named: Map<_, _> = (0..100)
            .map(|n| (format!("p{n}"), json!({"type": kind})))
            .collect();
        json!({ "properties": named })
    };
    assert_eq!(narrowings(&with("string"), &with("null")).len(), PROBLEMS_MAX);
}
