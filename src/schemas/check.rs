//! Whether a schema may be registered.
//!
//! It may refer to nothing but itself, by pointer, and not in circles: then it is a finite tree, nothing is fetched or
//! read from a disk for it, and what a check costs is bounded by its size and the event's. Patterns are of the kind
//! that takes time in proportion to the text, and take no more memory than [`patterns`] lets them.

use std::collections::HashMap;

use jsonschema::Validator;
use serde_json::{Map, Value};

use super::patterns;
use crate::event::draft::Problem;
use crate::event::json::pointer::push_step;

/// How many steps deep a schema may be.
const DEPTH_MAX: usize = 64;
/// How many schemas it may consist of once its references are followed.
const PARTS_MAX: usize = 2_000;
/// How much larger than its text one is when it is compiled, about, patterns left aside.
const COMPILED_TO_TEXT: usize = 16;

/// Keywords whose value is no schema: what stands in it is data.
const DATA: [&str; 5] = ["enum", "const", "default", "examples", "required"];

/// Reads a schema: everything that may not stand in one is named by its place.
pub fn read(text: &str) -> Result<Value, Vec<Problem>> {
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| vec![Problem::new("", format!("it is no JSON: {error}"))])?;
    if !(schema.is_object() || schema.is_boolean()) {
        return Err(vec![Problem::new(
            "",
            "a JSON Schema is an object, or true or false",
        )]);
    }
    let mut problems = Vec::new();
    draft(&schema, &mut problems);
    walk(&schema, &schema, &mut String::new(), 0, &mut problems);
    if problems.is_empty() {
        let parts = Parts {
            root: &schema,
            counted: HashMap::new(),
            within: Vec::new(),
        };
        if let Err(problem) = parts.check() {
            problems.push(problem);
        }
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
    /// About how much memory it takes.
    pub bytes: usize,
}

/// Compiles a schema that was read. It takes a while where there are large patterns.
pub fn compile(schema: &Value) -> Result<Compiled, Vec<Problem>> {
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
        bytes: patterns + COMPILED_TO_TEXT * inlined(schema, schema).to_string().len(),
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
                if !DATA.contains(&name.as_str()) || member.is_object() {
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

/// What a reference within the schema means.
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    // Percent-encoding is another way to write what can be written without: not taken.
    let found = root.pointer(pointer).filter(|_| !pointer.contains('%'));
    found.filter(|target| target.is_object() || target.is_boolean())
}

/// Counts the schemas there are once references are followed.
struct Parts<'a> {
    root: &'a Value,
    counted: HashMap<String, usize>,
    within: Vec<String>,
}

impl Parts<'_> {
    fn check(mut self) -> Result<(), Problem> {
        let root = self.root;
        match self.count(root)? {
            parts if parts > PARTS_MAX => Err(Problem::new(
                "",
                format!("with its references followed it has {parts} parts; at most {PARTS_MAX}"),
            )),
            _ => Ok(()),
        }
    }

    fn count(&mut self, value: &Value) -> Result<usize, Problem> {
        let mut parts: usize = 1;
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let of_member = match (name.as_str(), member) {
                        ("$ref", Value::String(reference)) => self.of_reference(reference)?,
                        ("$defs" | "definitions", _) => 0,
                        (name, member) if DATA.contains(&name) && !member.is_object() => 0,
                        (_, member) => self.count(member)?,
                    };
                    parts = parts.saturating_add(of_member);
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    parts = parts.saturating_add(self.count(element)?);
                }
            }
            _ => return Ok(0),
        }
        Ok(parts)
    }

    fn of_reference(&mut self, reference: &str) -> Result<usize, Problem> {
        if let Some(parts) = self.counted.get(reference) {
            return Ok(*parts);
        }
        if self.within.iter().any(|outer| outer == reference) {
            let detail =
                "the schema contains itself by this reference, which is not taken: events are finite";
            return Err(Problem::new(reference.trim_start_matches('#'), detail));
        }
        let Some(target) = target(self.root, reference) else {
            return Ok(0);
        };
        self.within.push(reference.to_owned());
        let parts = self.count(target)?;
        self.within.pop();
        self.counted.insert(reference.to_owned(), parts);
        Ok(parts)
    }
}

/// The schema with what its references mean in their places: a finite tree, since none leads in a circle.
pub(super) fn inlined(root: &Value, schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut written: Map<String, Value> = members
                .iter()
                .filter(|(name, member)| {
                    !(is_definition(name) || name.as_str() == "$ref" && member.is_string())
                })
                .map(|(name, member)| {
                    let is_data = DATA.contains(&name.as_str()) && !member.is_object();
                    let member = if is_data {
                        member.clone()
                    } else {
                        inlined(root, member)
                    };
                    (name.clone(), member)
                })
                .collect();
            let meant = members
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| target(root, reference));
            let Some(meant) = meant.map(|meant| inlined(root, meant)) else {
                return Value::Object(written);
            };
            if written.is_empty() {
                return meant;
            }
            match written.get_mut("allOf").and_then(Value::as_array_mut) {
                Some(all) => all.push(meant),
                None => drop(written.insert("allOf".to_owned(), Value::Array(vec![meant]))),
            }
            Value::Object(written)
        }
        Value::Array(elements) => elements.iter().map(|element| inlined(root, element)).collect(),
        other => other.clone(),
    }
}

fn is_definition(name: &str) -> bool {
    name == "$defs" || name == "definitions"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let mut deep = json!(true);
        for _ in 0..100 {
            deep = json!({"not": deep});
        }
        assert!(fields(deep)[0].starts_with("/not/not"));
    }
}
