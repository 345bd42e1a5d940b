//! Sizes of schemas that are small as they are written.

use serde_json::{Map, json};

use super::*;

fn refused(schema: &Value) -> String {
    assert!(
        schema.to_string().len() <= 64 << 10,
        "{} bytes",
        schema.to_string().len()
    );
    let problem = weigh(schema).unwrap_err();
    format!("{}: {}", problem.field, problem.detail)
}

fn named(count: usize, schema: &Value) -> Map<String, Value> {
    (0..count).map(|n| (format!("p{n}"), schema.clone())).collect()
}

#[test]
fn a_long_list_counts_as_often_as_it_is_referred_to() {
    let countries: Vec<_> = (0..250).map(|n| format!("C{n}")).collect();
    let referred_to = |list: Value, times: usize| {
        let one = json!({"$ref": "#/$defs/list"});
        json!({"$defs": {"list": {"enum": list}}, "anyOf": vec![one; times]})
    };
    let weight = weigh(&referred_to(json!(countries), 40)).unwrap();
    assert_eq!(weight.steps, 2 + (2 + 251) * 40);
    let one = weigh(&referred_to(json!(countries), 1)).unwrap();
    assert!(
        weight.bytes < 10 * one.bytes,
        "it is compiled once: {one:?} {weight:?}"
    );
    let refusal = refused(&referred_to(json!(vec![1; 20_000]), 900));
    assert!(
        refusal.starts_with(": with its references followed it has 1802 parts"),
        "{refusal}"
    );
    assert!(refusal.contains("refer less often"), "{refusal}");
}

#[test]
fn data_and_names_count_and_no_schema_that_is_short_enough_is_refused_for_them() {
    for schema in [
        json!({"enum": vec![1; 32_000]}),
        json!({"const": vec![json!({}); 20_000]}),
        json!({"required": named(6_000, &json!(1)).keys().collect::<Vec<_>>()}),
        json!({"properties": named(1_900, &json!({"type": "string"}))}),
        json!({"$defs": named(5_000, &json!({}))}),
        json!({"description": "x".repeat(60_000)}),
    ] {
        assert!(schema.to_string().len() <= 64 << 10);
        let weight = weigh(&schema).unwrap();
        assert!(weight.bytes > schema.to_string().len(), "{weight:?}");
    }
    let named = json!({"$defs": {"d": {"properties": {"x".repeat(1_000): {}}}}, "anyOf": vec![json!({"$ref": "#/$defs/d"}); 600]});
    assert!(refused(&named).contains("KiB"));
}

#[test]
fn a_long_name_counts_for_each_place_below_it() {
    let below = |name: usize| json!({"properties": {"x".repeat(name): {"allOf": vec![json!({"type": "string"}); 500]}}});
    assert!(weigh(&below(100)).is_ok());
    let refusal = refused(&below(40_000));
    assert!(
        refusal.contains("MiB") && refusal.contains("shorten"),
        "{refusal}"
    );
    let needs = json!({"dependentRequired": named(1_000, &json!(["a"]))});
    assert!(refused(&json!({"properties": {"x".repeat(30_000): needs}})).contains("shorten"));
}

#[test]
fn what_looks_at_the_rest_again_counts_again() {
    let mut nested = json!({"properties": named(100, &json!({}))});
    for _ in 0..4 {
        nested = json!({"properties": {"a": nested}, "unevaluatedProperties": false});
    }
    let weight = weigh(&nested).unwrap();
    assert!((500..1_000).contains(&weight.steps), "{weight:?}");
    for _ in 0..20 {
        nested = json!({"allOf": [nested], "unevaluatedProperties": false});
    }
    assert!(refused(&nested).contains("parts"));
}

#[test]
fn references_that_lead_on_and_on_are_too_deep() {
    let chain = |links: usize| {
        let mut defs = Map::new();
        defs.insert("d0".to_owned(), json!({}));
        for n in 1..links {
            defs.insert(format!("d{n}"), json!({"$ref": format!("#/$defs/d{}", n - 1)}));
        }
        json!({"$defs": defs, "$ref": format!("#/$defs/d{}", links - 1)})
    };
    assert!(weigh(&chain(100)).is_ok());
    assert!(refused(&chain(1_900)).contains("deep"));
    // Also where most of it is known already.
    let mut schema = chain(120);
    let further = (0..12).fold(json!({"$ref": "#/$defs/d119"}), |inner, _| json!({"not": inner}));
    schema["allOf"] = json!([further]);
    assert!(refused(&schema).contains("deep"));
}

#[test]
fn a_property_that_is_called_as_a_keyword_counts_as_any_other() {
    for name in ["definitions", "$defs", "enum", "const", "$ref"] {
        let schema = json!({"properties": {name: {"anyOf": vec![json!({}); 100]}}});
        assert_eq!(weigh(&schema).unwrap().steps, 104, "{name}");
    }
}
