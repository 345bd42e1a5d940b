//! What stands where in a schema, and what its references mean.
//!
//! Under `properties` and its like the members are named by whoever wrote the schema: there `enum` or `definitions` is a
//! property as any other, and no keyword.

use serde_json::{Map, Value};

/// What stands under a keyword.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Under {
    /// Values, whatever they look like.
    Data,
    /// Schemas that hold for nothing until they are referred to.
    Definitions,
    /// Schemas, each under a name.
    Named,
    /// A schema, a list of them, or a value that is none.
    Schemas,
}

impl Under {
    pub(super) fn keyword(name: &str) -> Self {
        match name {
            "enum" | "const" | "default" | "examples" | "required" | "dependentRequired" => Self::Data,
            "$defs" | "definitions" => Self::Definitions,
            "properties" | "patternProperties" | "dependentSchemas" | "dependencies" => Self::Named,
            _ => Self::Schemas,
        }
    }
}

/// What a reference within the schema means.
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    // Percent-encoding is another way to write what can be written without: not taken.
    let found = root.pointer(pointer).filter(|_| !pointer.contains('%'));
    found.filter(|target| target.is_object() || target.is_boolean())
}

/// The schema with what its references mean in their places. Of one that was read this is a finite tree, and `weight`
/// has bounded it.
pub(super) fn inlined(root: &Value, schema: &Value) -> Value {
    match schema {
        Value::Object(members) => with_meaning(root, members, keywords(root, members)),
        Value::Array(elements) => elements.iter().map(|element| inlined(root, element)).collect(),
        other => other.clone(),
    }
}

fn keywords(root: &Value, members: &Map<String, Value>) -> Map<String, Value> {
    let mut written = Map::new();
    for (name, member) in members {
        let member = match (Under::keyword(name), member) {
            (Under::Definitions, _) => continue,
            (Under::Schemas, Value::String(_)) if name == "$ref" => continue,
            (Under::Data, data) => data.clone(),
            (Under::Named, Value::Object(named)) => named
                .iter()
                .map(|(name, schema)| (name.clone(), inlined(root, schema)))
                .collect(),
            (Under::Named | Under::Schemas, schemas) => inlined(root, schemas),
        };
        written.insert(name.clone(), member);
    }
    written
}

/// What is written, and what is referred to beside it.
fn with_meaning(root: &Value, members: &Map<String, Value>, mut written: Map<String, Value>) -> Value {
    let reference = members.get("$ref").and_then(Value::as_str);
    let Some(meant) = reference.and_then(|reference| target(root, reference)) else {
        return Value::Object(written);
    };
    let meant = inlined(root, meant);
    if written.is_empty() {
        return meant;
    }
    match written.get_mut("allOf").and_then(Value::as_array_mut) {
        Some(all) => all.push(meant),
        None => drop(written.insert("allOf".to_owned(), Value::Array(vec![meant]))),
    }
    Value::Object(written)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_followed_where_they_are_keywords_and_names_are_let_be() {
        let schema = json!({
            "$defs": {"d": {"type": "string"}},
            "properties": {
                "definitions": {"$ref": "#/$defs/d"},
                "$ref": {"$ref": "#/$defs/d", "minLength": 1},
                "enum": {"enum": [{"$ref": "#/$defs/d"}]},
                "const": {"const": {"$ref": "#/$defs/d"}},
            },
        });
        let expected = json!({"properties": {
            "definitions": {"type": "string"},
            "$ref": {"minLength": 1, "allOf": [{"type": "string"}]},
            "enum": {"enum": [{"$ref": "#/$defs/d"}]},
            "const": {"const": {"$ref": "#/$defs/d"}},
        }});
        assert_eq!(inlined(&schema, &schema), expected);
    }
}
