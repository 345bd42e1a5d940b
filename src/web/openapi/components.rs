//! What the document takes from `schemas/`: the shapes of what goes over the wire, and examples of it.

use serde_json::{Map, Value, json};

/// The words at its beginning.
pub(super) const ABOUT: &str = include_str!("../../../schemas/api/about.md");

/// Files of a folder under their names.
macro_rules! files {
    ($folder:literal: $($name:literal),*) => {
        &[$(($name, include_str!(concat!("../../../schemas/", $folder, "/", $name, ".json")))),*]
    };
}

/// Shapes.
const SCHEMAS: &[(&str, &str)] = files!["api": "Amendment", "BulkReceipt", "CleanUp", "CloudEvent", "Event", "EventId", "EventPatch", "EventSchema", "EventSchemaPage", "EventToWrite", "EventsToWrite", "Export", "ExportPage", "ExportToMake", "GrantLimit", "Health", "JsonSchema", "Key", "KeyPage", "KeyPatch", "KeyRoles", "KeyToMake", "Login", "Logout", "Me", "Moment", "Ndjson", "NewPassword", "NotYet", "Page", "Problem", "Rate", "Readiness", "Receipt", "Refresh", "Roles", "SavedSearch", "SavedSearchPage", "SavedSearchPatch", "SearchQuery", "SearchToSave", "Share", "Stats", "Story", "Tenant", "TenantId", "TenantPage", "TenantPatch", "TenantToMake", "Ticket", "Tokens", "User", "UserPage", "UserPatch", "UserToMake", "Version"];

/// Requests that are taken as they stand, by the name of their route.
const REQUESTS: &[(&str, &str)] = files!["examples/requests": "amendEvent", "changeOwnPassword", "cloudEvent", "createExport", "createKey", "createSavedSearch", "createTenant", "createUser", "logIn", "logOut", "putSchema", "refreshTokens", "updateKey", "updateSavedSearch", "updateTenant", "updateUser", "writeEvent", "writeEvents"];

/// Answers that the server gave, by the name of their route; beside them frames of the stream, and problems.
const ANSWERS: &[(&str, &str)] = files!["examples/answers": "amendEvent", "changeOwnPassword", "cleanUpEvents", "correlateEvents", "countEvents", "createExport", "createKey", "createSavedSearch", "createStreamTicket", "createTenant", "createUser", "getEvent", "getExport", "getHealth", "getKey", "getMe", "getReadiness", "getSavedSearch", "getSchema", "getTenant", "getUser", "incompatible-schema", "listExports", "listKeys", "listSavedSearches", "listSchemas", "listTenants", "listUsers", "logIn", "precondition-failed", "putSchema", "redactEvent", "refreshTokens", "searchEvents", "stream-error", "stream-event", "stream-heartbeat", "stream-lagged", "updateKey", "updateSavedSearch", "updateTenant", "updateUser", "writeEvent", "writeEvents"];

/// All shapes, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let written = SCHEMAS
        .iter()
        .filter_map(|(name, text)| Some(((*name).to_owned(), read(text)?)));
    let mut schemas: Map<String, Value> = written.collect();
    let named = schemas.clone();
    schemas.values_mut().for_each(|schema| nullable(schema, &named));
    schemas
}

/// What is of a named shape or null is written out as that shape with null among its types: generators of clients take
/// a choice between a reference and null for a union, or overlook the null.
fn nullable(schema: &mut Value, named: &Map<String, Value>) {
    match schema {
        Value::Object(members) => {
            let shape = members.get("anyOf").and_then(|choice| or_null(choice, named));
            if let Some(shape) = shape {
                members.remove("anyOf");
                for (word, said) in shape {
                    members.entry(word).or_insert(said);
                }
            }
            members.values_mut().for_each(|member| nullable(member, named));
        }
        Value::Array(all) => all.iter_mut().for_each(|one| nullable(one, named)),
        _ => {}
    }
}

/// The shape that a choice offers beside null.
fn or_null(choice: &Value, named: &Map<String, Value>) -> Option<Map<String, Value>> {
    let [reference, null] = choice.as_array()?.as_slice() else {
        return None;
    };
    let name = reference["$ref"].as_str()?.rsplit('/').next()?;
    let mut shape = named.get(name)?.as_object()?.clone();
    if null["type"] != "null" {
        return None;
    }
    shape["type"] = json!([shape.get("type")?, "null"]);
    Some(shape)
}

/// The example of a route's request.
pub(super) fn request(id: &str) -> Option<Value> {
    of(REQUESTS, id)
}

/// The example of a route's usual answer.
pub(super) fn answer(id: &str) -> Option<Value> {
    of(ANSWERS, id)
}

fn of(files: &[(&str, &str)], name: &str) -> Option<Value> {
    files
        .iter()
        .find(|(known, _)| *known == name)
        .and_then(|(_, text)| read(text))
}

/// A test makes sure that all can be read.
fn read(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::web::openapi::document;
    use crate::web::routes::table;

    /// The names of a folder's files.
    fn names(folder: &str) -> BTreeSet<String> {
        let folder = format!("{}/schemas/{folder}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        files
            .filter(|file| file.extension().is_some_and(|kind| kind == "json"))
            .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn every_file_is_listed_and_can_be_read() {
        for (folder, files) in [
            ("api", SCHEMAS),
            ("examples/requests", REQUESTS),
            ("examples/answers", ANSWERS),
        ] {
            let listed = files.iter().map(|(name, _)| (*name).to_owned());
            assert_eq!(listed.collect::<BTreeSet<_>>(), names(folder), "{folder}");
            for (name, text) in files {
                assert!(read(text).is_some(), "{folder}/{name}");
            }
        }
    }

    /// Every schema that has an example, in itself or beside it, and where.
    fn examples(value: &Value, place: &str, found: &mut Vec<(String, Value, Value)>) {
        match value {
            Value::Object(members) => {
                if let Some(example) = members.get("example") {
                    let schema = members.get("schema").unwrap_or(value);
                    found.push((place.to_owned(), schema.clone(), example.clone()));
                }
                for (name, member) in members.iter().filter(|(name, _)| *name != "example") {
                    examples(member, &format!("{place}/{name}"), found);
                }
            }
            Value::Array(all) => all.iter().for_each(|one| examples(one, place, found)),
            _ => {}
        }
    }

    #[test]
    fn every_example_is_as_its_schema_says() {
        let document = document(&table());
        let mut found = Vec::new();
        examples(&document, "", &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for (place, mut schema, example) in found {
            schema["components"] = document["components"].clone();
            let validator = jsonschema::options().should_validate_formats(true).build(&schema);
            let wrong = validator.unwrap().validate(&example).err();
            assert!(wrong.is_none(), "{place}: {wrong:?}");
        }
    }

    #[test]
    fn a_shape_or_null_is_one_shape() {
        let named = Map::from_iter([(
            "Rate".to_owned(),
            json!({"type": "integer", "minimum": 1, "description": "a"}),
        )]);
        let reference = json!({"$ref": "#/components/schemas/Rate"});
        let mut schema =
            json!({"properties": {"rate": {"anyOf": [reference, {"type": "null"}], "description": "b"}}});
        nullable(&mut schema, &named);
        let rate = json!({"type": ["integer", "null"], "minimum": 1, "description": "b"});
        assert_eq!(schema, json!({"properties": {"rate": rate}}));
        let unlike = json!({"anyOf": [reference, {"type": "string"}]});
        let mut same = unlike.clone();
        nullable(&mut same, &named);
        assert_eq!(same, unlike);
    }

    #[test]
    fn shapes_are_valid_and_name_only_shapes_that_there_are() {
        let schemas = schemas();
        for (name, schema) in &schemas {
            assert!(jsonschema::meta::is_valid(schema), "{name}");
            let text = schema.to_string();
            for (_, rest) in text
                .match_indices("#/components/schemas/")
                .map(|(at, found)| (at, &text[at + found.len()..]))
            {
                let named = rest.split('"').next().unwrap();
                assert!(schemas.contains_key(named), "{name} names {named}");
            }
        }
    }
}
