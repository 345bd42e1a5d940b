//! The document for tools that know OpenAPI 3.0 alone: what 3.1 took over from JSON Schema is written in the older way.

use serde_json::{Map, Value, json};

/// The same document in OpenAPI 3.0.3.
pub fn to_3_0(document: &Value) -> Value {
    let mut older = walked(document, false);
    older["openapi"] = "3.0.3".into();
    if let Some(info) = older["info"].as_object_mut() {
        info.remove("summary");
        if let Some(license) = info.get_mut("license").and_then(Value::as_object_mut) {
            license.remove("identifier");
        }
    }
    older
}

/// `is_schema`: whether `value` is a schema, so that its words are JSON Schema's.
fn walked(value: &Value, is_schema: bool) -> Value {
    match value {
        Value::Array(all) => all.iter().map(|one| walked(one, is_schema)).collect(),
        Value::Object(members) if is_schema => schema(members),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let value = match name.as_str() {
                    "schema" => walked(value, true),
                    "schemas" => each(value),
                    "example" | "examples" => value.clone(),
                    _ => walked(value, false),
                };
                (name.clone(), value)
            })
            .collect(),
        other => other.clone(),
    }
}

/// Each member of an object is a schema.
fn each(schemas: &Value) -> Value {
    let Value::Object(members) = schemas else {
        return walked(schemas, true);
    };
    members
        .iter()
        .map(|(name, schema)| (name.clone(), walked(schema, true)))
        .collect()
}

fn schema(members: &Map<String, Value>) -> Value {
    // Beside a reference, 3.0 reads nothing.
    if let Some(reference) = members.get("$ref") {
        return json!({"$ref": reference});
    }
    let mut older = Map::new();
    for (name, value) in members {
        match name.as_str() {
            "$schema" | "$id" | "propertyNames" | "patternProperties" | "$comment" => {}
            "type" => types(value, &mut older),
            "const" => {
                older.insert("enum".into(), json!([value]));
            }
            "examples" => {
                if let Some(first) = value.get(0) {
                    older.insert("example".into(), first.clone());
                }
            }
            "example" | "default" | "enum" | "required" => {
                older.insert(name.clone(), value.clone());
            }
            "properties" => {
                older.insert(name.clone(), each(value));
            }
            "anyOf" => choice(value, &mut older),
            "exclusiveMinimum" => {
                older.insert("minimum".into(), value.clone());
                older.insert("exclusiveMinimum".into(), true.into());
            }
            _ => {
                older.insert(name.clone(), walked(value, true));
            }
        }
    }
    Value::Object(older)
}

/// One of several; null among them says that the rest is nullable.
fn choice(value: &Value, older: &mut Map<String, Value>) {
    let all: Vec<Value> = value.as_array().into_iter().flatten().cloned().collect();
    let (null, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one["type"] == "null");
    if !null.is_empty() {
        older.insert("nullable".into(), true.into());
    }
    let word = if rest.len() == 1 { "allOf" } else { "anyOf" };
    older.insert(word.into(), rest.iter().map(|one| walked(one, true)).collect());
}

/// `["string", "null"]` is a string that is nullable. Of several types, any.
fn types(value: &Value, older: &mut Map<String, Value>) {
    let Value::Array(all) = value else {
        older.insert("type".into(), value.clone());
        return;
    };
    let is_null = |one: &&Value| *one == "null";
    if all.iter().any(|one| is_null(&one)) {
        older.insert("nullable".into(), true.into());
    }
    let rest: Vec<&Value> = all.iter().filter(|one| !is_null(one)).collect();
    match rest.as_slice() {
        [one] => {
            older.insert("type".into(), (*one).clone());
        }
        several => {
            let any: Vec<Value> = several.iter().map(|one| json!({"type": one})).collect();
            older.insert("anyOf".into(), any.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_3_1_says_is_said_in_the_older_way() {
        let document = json!({
            "openapi": "3.1.0",
            "info": {"title": "x", "summary": "y", "license": {"name": "z", "identifier": "z"}},
            "paths": {"/": {"get": {"parameters": [{"name": "type", "schema": {"type": ["integer", "null"]}, "example": {"const": 1}}]}}},
            "components": {"schemas": {"A": {
                "properties": {"type": {"type": ["string", "null"], "examples": ["a", "b"]}, "const": {"const": 1}},
                "required": ["type"],
                "items": {"$ref": "#/x", "description": "lost"},
            }}},
        });
        assert_eq!(
            to_3_0(&document),
            json!({
                "openapi": "3.0.3",
                "info": {"title": "x", "license": {"name": "z"}},
                "paths": {"/": {"get": {"parameters": [{"name": "type", "schema": {"type": "integer", "nullable": true}, "example": {"const": 1}}]}}},
                "components": {"schemas": {"A": {
                    "properties": {"type": {"type": "string", "nullable": true, "example": "a"}, "const": {"enum": [1]}},
                    "required": ["type"],
                    "items": {"$ref": "#/x"},
                }}},
            })
        );
    }
}
