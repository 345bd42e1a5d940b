//! What the document takes from `schemas/`: the shapes of what goes over the wire, and examples of it.

use serde_json::{Map, Value};

/// The words at its beginning.
pub(super) const ABOUT: &str = include_str!("../../../schemas/api/about.md");

/// Files of a folder under their names.
macro_rules! files {
    ($folder:literal: $($name:literal),*) => {
        &[$(($name, include_str!(concat!("../../../schemas/", $folder, "/", $name, ".json")))),*]
    };
}

/// Shapes.
const SCHEMAS: &[(&str, &str)] = files!["api": "Amendment", "BulkReceipt", "CleanUp", "CloudEvent", "CloudEventToWrite", "CloudEvents", "Event", "EventId", "EventPatch", "EventSchema", "EventSchemaPage", "EventToWrite", "EventsToWrite", "Export", "ExportPage", "ExportToMake", "GrantLimit", "Health", "JsonSchema", "Key", "KeyPage", "KeyPatch", "KeyRoles", "KeyToMake", "Login", "Logout", "Me", "Moment", "Ndjson", "NewPassword", "NotYet", "Page", "Problem", "Rate", "Readiness", "Receipt", "Refresh", "Roles", "SavedSearch", "SavedSearchPage", "SavedSearchPatch", "SearchQuery", "SearchToSave", "Share", "Stats", "Story", "Tenant", "TenantId", "TenantPage", "TenantPatch", "TenantToMake", "Ticket", "Tokens", "User", "UserPage", "UserPatch", "UserToMake", "Version"];

/// Requests that are taken as they stand, by the name of their route.
const REQUESTS: &[(&str, &str)] = files!["examples/requests": "amendEvent", "changeOwnPassword", "createExport", "createKey", "createSavedSearch", "createTenant", "createUser", "logIn", "logOut", "putSchema", "refreshTokens", "updateKey", "updateSavedSearch", "updateTenant", "updateUser", "writeEvent", "writeEvents"];

/// Answers that the server gave, by the name of their route; beside them frames of the stream, and problems.
const ANSWERS: &[(&str, &str)] = files!["examples/answers": "amendEvent", "changeOwnPassword", "cleanUpEvents", "correlateEvents", "countEvents", "createExport", "createKey", "createSavedSearch", "createStreamTicket", "createTenant", "createUser", "getEvent", "getExport", "getHealth", "getKey", "getMe", "getReadiness", "getSavedSearch", "getSchema", "getTenant", "getUser", "incompatible-schema", "listExports", "listKeys", "listSavedSearches", "listSchemas", "listTenants", "listUsers", "logIn", "precondition-failed", "putSchema", "redactEvent", "refreshTokens", "searchEvents", "stream-error", "stream-event", "stream-heartbeat", "stream-lagged", "updateKey", "updateSavedSearch", "updateTenant", "updateUser", "writeEvent", "writeEvents"];

/// All shapes, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let written = SCHEMAS
        .iter()
        .filter_map(|(name, text)| Some(((*name).to_owned(), read(text)?)));
    let mut schemas: Map<String, Value> = written.collect();
    let chosen = schemas.get("Event").map(chosen);
    schemas.extend(chosen.map(|chosen| ("ChosenEvent".to_owned(), chosen)));
    schemas
}

/// An event of which `fields` has chosen: nothing of it needs to be there, at any depth.
fn chosen(event: &Value) -> Value {
    let mut chosen = event.clone();
    chosen["description"] = "What `fields` has chosen of an event.".into();
    for of in [None, Some("actor"), Some("resource"), Some("source")] {
        let part = match of {
            None => Some(&mut chosen),
            Some(name) => chosen["properties"].get_mut(name),
        };
        if let Some(Value::Object(part)) = part {
            part.remove("required");
        }
    }
    chosen
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
