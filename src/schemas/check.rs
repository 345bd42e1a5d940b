//! Whether a schema may be registered.
//!
//! It may refer to nothing but itself, by pointer, and not in circles: then it is a finite tree, nothing is fetched or
//! read from a disk for it, and what a check costs is bounded by its size and the event's. Patterns are of the kind
//! that takes time in proportion to the text, and take no more memory than [`patterns`] lets them.

use jsonschema::Validator;
use serde_json::Value;

use super::references::{Under, target};
use super::{patterns, weight};
use crate::control::command::SCHEMA_BYTES_MAX;
use crate::event::draft::Problem;
use crate::event::json::pointer::push_step;

/// How many steps deep a schema may be as it is written.
const DEPTH_MAX: usize = 64;
/// How many of the things that are wrong with a schema are said: each with its place, which may be long.
pub const PROBLEMS_MAX: usize = 20;

/// Reads a schema: what may not stand in one is named by its place.
pub fn read(text: &str) -> Result<Value, Vec<Problem>> {
    let whole = |detail: String| vec![Problem::new("", detail)];
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(whole(format!("must have at most {} KiB", SCHEMA_BYTES_MAX >> 10)));
    }
    let schema: Value =
        serde_json::from_str(text).map_err(|error| whole(format!("it is no JSON: {error}")))?;
    if !(schema.is_object() || schema.is_boolean()) {
        return Err(whole("a JSON Schema is an object, or true or false".to_owned()));
    }
    let mut problems = Vec::new();
    draft(&schema, &mut problems);
    walk(&schema, &schema, &mut String::new(), 0, &mut problems);
    if problems.is_empty() {
        problems.extend(weight::weigh(&schema).err());
    }
    match problems.is_empty() {
        true => Ok(schema),
        false => Err(problems),
    }
}

/// A schema that events can be held to.
pub struct Compiled {
    /// What holds them to it.
    pub validator: Validator,
    /// How many things an event is held against.
    pub steps: usize,
    /// About how much memory it takes.
    pub bytes: usize,
}

/// Compiles a schema that was read. It takes a while where there are large patterns.
pub fn compile(schema: &Value) -> Result<Compiled, Vec<Problem>> {
    let weight = weight::weigh(schema).map_err(|problem| vec![problem])?;
    let patterns = patterns::weigh(schema).map_err(|problem| vec![problem])?;
    let options = jsonschema::options().with_pattern_options(patterns::options());
    let validator = options.build(schema).map_err(|error| {
        let field = error.instance_path().as_str().to_owned();
        let mut detail = format!("it is no JSON Schema: {error}");
        if field.contains("pattern") {
            detail = format!("{detail}; {}", patterns::WHAT_IS_TAKEN);
        }
        vec![Problem::new(field, detail)]
    })?;
    Ok(Compiled {
        validator,
        steps: weight.steps,
        bytes: weight.bytes + patterns,
    })
}

/// Versions of JSON Schema that are understood; 2020-12 where none is named.
const DRAFTS: [&str; 5] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
];

fn draft(schema: &Value, problems: &mut Vec<Problem>) {
    let Some(named) = schema.get("$schema") else {
        return;
    };
    let named = named.as_str().unwrap_or_default().trim_end_matches('#');
    if !DRAFTS.contains(&named) {
        let detail = format!("must be one of {}", DRAFTS.join(", "));
        problems.push(Problem::new("/$schema", detail));
    }
}

fn walk(root: &Value, value: &Value, at: &mut String, depth: usize, problems: &mut Vec<Problem>) {
    if problems.len() >= PROBLEMS_MAX {
        return;
    }
    if depth > DEPTH_MAX {
        problems.push(Problem::new(
            at.as_str(),
            format!("is more than {DEPTH_MAX} steps deep"),
        ));
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let length = at.len();
                push_step(at, name);
                // A property may be called `$ref`: then its value is a schema and no text.
                if let (true, Some(problem)) = (member.is_string(), refused(root, name, member, depth)) {
                    problems.push(Problem::new(at.as_str(), problem));
                }
                // Nor is it data where it is called `enum`.
                if Under::keyword(name) != Under::Data || member.is_object() {
                    walk(root, member, at, depth + 1, problems);
                }
                at.truncate(length);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let length = at.len();
                push_step(at, &index.to_string());
                walk(root, element, at, depth + 1, problems);
                at.truncate(length);
            }
        }
        _ => {}
    }
}

/// What is wrong with a member by its name.
fn refused(root: &Value, name: &str, member: &Value, depth: usize) -> Option<String> {
    let text = member.as_str().unwrap_or_default();
    match name {
        "$ref" if target(root, text).is_some() => None,
        "$ref" if text.starts_with('#') => {
            Some("leads nowhere: write it as a pointer, `#/$defs/…`".to_owned())
        }
        "$ref" => {
            Some("leads out of the schema; nothing is fetched: put what it means under $defs".to_owned())
        }
        "$dynamicRef" | "$recursiveRef" => Some("is not taken: write a $ref".to_owned()),
        "$id" if depth > 0 => Some("may stand at the top only".to_owned()),
        "$vocabulary" => Some("is not taken".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn fields(schema: Value) -> Vec<String> {
        match read(&schema.to_string()).and_then(|schema| compile(&schema).map(|_| ())) {
            Ok(()) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.field).collect(),
        }
    }

    #[test]
    fn ordinary_schemas_are_taken() {
        for schema in [
            json!(true),
            json!({}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://a.example/s"}),
            json!({"properties": {"$ref": {"type": "string"}, "enum": {"enum": ["$ref", {"$ref": "x"}]}}}),
            json!({"$defs": {"a/b": {"type": "string", "pattern": "^[a-z]+$"}},
                   "properties": {"x": {"$ref": "#/$defs/a~1b"}, "y": {"$ref": "#/$defs/a~1b"}}}),
        ] {
            assert!(
                fields(schema.clone()).is_empty(),
                "{schema}: {:?}",
                fields(schema.clone())
            );
        }
    }

    #[test]
    fn nothing_is_fetched_and_nothing_goes_in_circles() {
        for (schema, field) in [
            (
                json!({"properties": {"a": {"$ref": "https://evil.example/s"}}}),
                "/properties/a/$ref",
            ),
            (
                json!({"allOf": [{"$ref": "file:///etc/passwd"}]}),
                "/allOf/0/$ref",
            ),
            (json!({"$ref": "other.json"}), "/$ref"),
            (json!({"$ref": "#anchor"}), "/$ref"),
            (json!({"$ref": "#/$defs/none"}), "/$ref"),
            (json!({"$dynamicRef": "#x"}), "/$dynamicRef"),
            (json!({"items": {"$id": "https://a.example/"}}), "/items/$id"),
            (json!({"$schema": "https://evil.example/meta"}), "/$schema"),
            (json!({"properties": {"a": {"$ref": "#"}}}), ""),
            (
                json!({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"items": {"$ref": "#/$defs/a"}}},
                    "$ref": "#/$defs/a"}),
                "/$defs/a",
            ),
            (json!({"type": "strin"}), "/type"),
            (json!({"pattern": "(?=x)"}), "/pattern"),
            (json!({"pattern": r"(\w{1000}){100}"}), "/pattern"),
            (json!([]), ""),
        ] {
            assert_eq!(fields(schema.clone()), [field], "{schema}");
        }
        assert_eq!(read("{").unwrap_err().len(), 1);
    }

    #[test]
    fn a_schema_that_doubles_at_each_reference_is_too_large() {
        let mut defs = Map::new();
        defs.insert("d0".to_owned(), json!({"type": "string"}));
        for n in 1..40 {
            let one = json!({"$ref": format!("#/$defs/d{}", n - 1)});
            defs.insert(format!("d{n}"), json!({"anyOf": [one, one]}));
        }
        let schema = json!({"$defs": defs, "$ref": "#/$defs/d39"});
        let problems = read(&schema.to_string()).unwrap_err();
        assert!(problems[0].detail.contains("parts"), "{problems:?}");
    }

    #[test]
    fn what_is_very_deep_or_long_is_refused_and_so_much_is_said_of_it() {
        let mut deep = json!(true);
        for _ in 0..100 {
            deep = json!({"not": deep});
        }
        assert!(fields(deep)[0].starts_with("/not/not"));
        assert_eq!(fields(json!({"$comment": "x".repeat(64 << 10)})), [""]);
        let many = fields(json!({"anyOf": vec![json!({"$ref": "https://a.example/"}); 100]}));
        assert_eq!(many.len(), PROBLEMS_MAX);
    }
}
