//! Every answer that a story gets is held against the OpenAPI document: a status, a media type or a field that is not
//! documented ends the story.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};
use trailhouse::web::openapi;
use trailhouse::web::routes::table;

use super::Answer;

/// The document, with objects closed to what it does not name.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = openapi::document(&table());
    close(&mut document["components"]["schemas"]);
    document
});

/// What an event has unless `fields` chose: the document says so in words, since an answer has the same shape both ways.
const ALWAYS: [&str; 12] = [
    "event_id",
    "tenant_id",
    "time",
    "time_from",
    "received_at",
    "event_type",
    "severity",
    "outcome",
    "actor",
    "resource",
    "tags",
    "source",
];

static VALIDATORS: Mutex<Option<HashMap<String, &'static Validator>>> = Mutex::new(None);

/// Panics where the answer is not as documented. What is no route is not looked at.
#[track_caller]
pub fn check(method: &Method, path: &str, answer: &Answer) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    // What a saved search or an export asks for is not seen here.
    let chosen = query.contains("fields=") || query.contains("saved=") || path.ends_with("/file");
    let Some(operation) = operation(method, path) else {
        return;
    };
    let status = answer.status.as_u16().to_string();
    let responses = &operation["responses"];
    let Some(documented) = responses.get(&status) else {
        panic!(
            "{method} {path} answers {status}, which is not documented: {}",
            answer.text()
        );
    };
    if answer.body.is_empty() || status == "304" {
        return;
    }
    let kind = answer.header("content-type").unwrap_or_default();
    let Some(content) = documented["content"].get(kind) else {
        panic!("{method} {path} answers {status} as {kind:?}, which is not documented");
    };
    if kind != "application/json" && !kind.ends_with("+json") {
        return;
    }
    let told = answer.json();
    let errors: Vec<String> = validator(&content["schema"], chosen)
        .iter_errors(&told)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{method} {path} {status}: {errors:#?}\n{told:#}"
    );
}

/// The operation of a path, one without parts to be filled in before one with them.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let fits = |template: &str| {
        let (mut template, mut path) = (template.split('/'), path.split('/'));
        loop {
            match (template.next(), path.next()) {
                (None, None) => return true,
                (Some(part), Some(given)) if part == given || part.starts_with('{') => {}
                _ => return false,
            }
        }
    };
    let method = method.as_str().to_ascii_lowercase();
    let found = paths.iter().filter(|(template, _)| fits(template));
    let found = found.min_by_key(|(template, _)| template.contains('{'))?.1;
    found.get(&method)
}

fn validator(schema: &Value, chosen: bool) -> &'static Validator {
    let mut all = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_with(HashMap::new);
    all.entry(format!("{chosen} {schema}")).or_insert_with(|| {
        let mut whole = schema.clone();
        whole["components"] = json!({"schemas": DOCUMENT["components"]["schemas"]});
        if !chosen {
            whole["components"]["schemas"]["Event"]["required"] = json!(ALWAYS);
        }
        Box::leak(Box::new(jsonschema::validator_for(&whole).unwrap()))
    })
}

/// Where an object's fields are listed and nothing is said of others, there are none.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let lists =
                members.get("properties").is_some_and(Value::is_object) && members.contains_key("type");
            if lists && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".into(), false.into());
            }
            members.values_mut().for_each(close);
        }
        Value::Array(all) => all.iter_mut().for_each(close),
        _ => {}
    }
}
