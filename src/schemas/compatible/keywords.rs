//! What keywords mean for what is accepted.

use serde_json::{Map, Value};

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
pub(super) const AT_LEAST: [&str; 5] = [
    "minimum",
    "exclusiveMinimum",
    "minLength",
    "minItems",
    "minProperties",
];
/// Where it must not be below.
pub(super) const AT_MOST: [&str; 5] = [
    "maximum",
    "exclusiveMaximum",
    "maxLength",
    "maxItems",
    "maxProperties",
];
/// What may only be left as it is, or taken away.
pub(super) const AS_IT_WAS: [&str; 18] = [
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

/// Whether a schema says nothing.
pub(super) fn takes_all(schema: &Value) -> bool {
    match schema {
        Value::Bool(takes) => *takes,
        Value::Object(members) => members.keys().all(|name| ANNOTATIONS.contains(&name.as_str())),
        _ => false,
    }
}

/// Whether each type of `old` is one of `new`; integers are numbers.
pub(super) fn covers(new: &Value, old: &Value) -> bool {
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
pub(super) fn values(schema: &Map<String, Value>) -> Option<&[Value]> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(std::slice::from_ref(only)),
        (None, Some(Value::Array(values))) => Some(values),
        _ => None,
    }
}

/// What stands under a keyword by names.
pub(super) fn named<'a>(
    schema: &'a Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + Clone {
    schema
        .get(keyword)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

/// Whether there are two numbers, and the first is no greater. Whole ones are compared as such.
pub(super) fn is_ordered(a: Option<&Value>, b: Option<&Value>) -> bool {
    let (Some(Value::Number(a)), Some(Value::Number(b))) = (a, b) else {
        return false;
    };
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a <= b,
        _ => a.as_f64() <= b.as_f64(),
    }
}
