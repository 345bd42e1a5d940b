//! The OpenAPI document: made of the table of routes, so that it lists what there is and nothing else.
//!
//! A route's [`Doc`](super::doc::Doc) says what can't be seen from the route; what follows from the route is added here:
//! the credential it asks for and the problems that come with it. Shapes are components, written down in `schemas/api`;
//! examples are answers that the server gave, in `schemas/examples/answers`. From the same document come the form for
//! tools that know OpenAPI 3.0 ([`downgrade`]), the page for people ([`page`]) and the collection for Postman
//! ([`postman`]).

mod components;
mod downgrade;
mod order;
mod page;
mod postman;

use serde_json::{Map, Value, json};

use super::doc::{Answer, Content, Doc, PROBLEM, Param, component_ref};
use super::routes::{Access, Route};
use crate::control::{Role, Roles};

pub use downgrade::to_3_0;
pub use order::written;
pub use page::page;
pub use postman::collection;

/// The headings, in the order in which they are read.
const TAGS: &[(&str, &str)] = &[
    (
        "Events",
        "Writing events, and reading them: search, statistics, export, stream.",
    ),
    ("Sessions", "Logging in and out."),
    ("Access", "Users and API keys."),
    (
        "Tenants",
        "Who shares this server, each behind a wall of its own.",
    ),
    ("Searches", "Searches that are kept under a name."),
    ("Schemas", "What events of a type must look like."),
    ("Exports", "Large exports, made in the background."),
    ("Server", "How the server is, and what it can do."),
];

/// The document, in OpenAPI 3.1.
pub fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let Some(doc) = &route.doc else { continue };
        let of_path = paths.entry(route.path).or_insert_with(|| json!({}));
        of_path[route.method.as_str().to_ascii_lowercase()] = operation(route, doc);
    }
    let tags: Vec<Value> = TAGS
        .iter()
        .map(|(name, description)| json!({"name": name, "description": description}))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Trailhouse",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": components::ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components::schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token from `POST /login`, a token of your identity provider, or an API key.",
                },
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "An API key, where `Authorization` can't be set.",
                },
            },
        },
    })
}

fn operation(route: &Route, doc: &Doc) -> Value {
    let needs_credential = matches!(
        route.access,
        Access::Needs(..) | Access::NeedsOrTicket(..) | Access::Known(_)
    );
    let mut operation = json!({
        "operationId": doc.id,
        "tags": [doc.tag],
        "summary": doc.summary,
        "responses": responses(route, doc),
        "security": if needs_credential { json!([{"token": []}, {"key": []}]) } else { json!([]) },
    });
    let text = [doc.text, &permission(route.access)].join("\n\n");
    operation["description"] = text.trim().into();
    if doc.is_stream {
        operation["x-stream"] = true.into();
    }
    if !doc.params.is_empty() {
        operation["parameters"] = doc.params.iter().map(parameter).collect();
    }
    if !doc.bodies.is_empty() {
        let example = components::request(doc.id);
        operation["requestBody"] = json!({
            "required": !doc.body_optional,
            "content": contents(&doc.bodies, example.as_ref()),
        });
    }
    operation
}

fn permission(access: Access) -> String {
    match access {
        Access::Open => "For anyone.".to_owned(),
        Access::Loopback => "For callers on the server's own machine.".to_owned(),
        Access::Known(_) => "For everybody with a credential.".to_owned(),
        Access::Needs(permission, _) | Access::NeedsOrTicket(permission, _) => {
            let may = |role: &Role| Roles::of(&[*role]).can(permission);
            let roles: Vec<&str> = Role::ALL
                .iter()
                .filter(|role| may(role))
                .map(|role| role.as_str())
                .collect();
            format!("For: {}.", roles.join(", "))
        }
    }
}

fn parameter(param: &Param) -> Value {
    let mut said = json!({
        "name": param.name,
        "in": param.place,
        "description": param.text,
        "required": param.required,
        "schema": param.schema,
    });
    match param.schema["type"].as_str() {
        Some("array") if param.place == "query" => {
            said["style"] = "form".into();
            said["explode"] = true.into();
        }
        Some("object") => {
            said["style"] = "form".into();
            said["explode"] = true.into();
        }
        _ => {}
    }
    said
}

fn contents(contents: &[Content], example: Option<&Value>) -> Value {
    let each = contents.iter().map(|content| {
        let mut said = Map::new();
        said.extend(content.schema.clone().map(|schema| ("schema".to_owned(), schema)));
        let example = example.and_then(|example| written_as(content.media, example));
        said.extend(example.map(|example| ("example".to_owned(), example)));
        (content.media.to_owned(), said.into())
    });
    Value::Object(each.collect())
}

/// What an example in JSON is in this form.
fn written_as(media: &str, example: &Value) -> Option<Value> {
    match media {
        "application/json" | "application/merge-patch+json" => Some(example.clone()),
        "application/cloudevents+json" => components::request("cloudEvent"),
        "application/cloudevents-batch+json" => Some(json!([components::request("cloudEvent")?])),
        "application/x-ndjson" => {
            let lines = example.as_array()?.iter().map(|one| format!("{one}\n"));
            Some(lines.collect::<String>().into())
        }
        _ => None,
    }
}

fn responses(route: &Route, doc: &Doc) -> Value {
    let mut responses = Map::new();
    let mut example = components::answer(doc.id);
    for answer in &doc.answers {
        // Of those that say that all is well, the first is the usual one, and the one that the example is of.
        let example = if answer.status < 300 { example.take() } else { None };
        let example = example.as_ref();
        responses.insert(answer.status.to_string(), response(answer, example));
    }
    for (status, text) in implied(route, doc) {
        responses
            .entry(status.to_string())
            .or_insert_with(|| problem_response(text));
    }
    Value::Object(responses)
}

fn response(answer: &Answer, example: Option<&Value>) -> Value {
    let mut headers = request_id_header();
    for (name, text) in &answer.headers {
        headers[*name] = json!({"description": text, "schema": {"type": "string"}});
    }
    let mut said = json!({"description": answer.text, "headers": headers});
    if !answer.content.is_empty() {
        said["content"] = contents(&answer.content, example);
    }
    said
}

fn problem_response(text: &str) -> Value {
    json!({
        "description": text,
        "headers": request_id_header(),
        "content": {PROBLEM: {"schema": component_ref("Problem")}},
    })
}

fn request_id_header() -> Value {
    json!({"x-request-id": {"description": "Names this request in the server's log.", "schema": {"type": "string"}}})
}

/// Problems that follow from what a route asks for.
fn implied(route: &Route, doc: &Doc) -> Vec<(u16, &'static str)> {
    let mut problems = vec![
        (400, "A parameter is unknown or wrong; `errors` names it."),
        (429, "Too many requests: come back after `Retry-After` seconds."),
        (500, "A fault of the server; its log says which."),
        (
            503,
            "The log, ClickHouse or the server itself can't do it now: come back after `Retry-After` seconds.",
        ),
    ];
    match route.access {
        Access::Needs(..) | Access::NeedsOrTicket(..) | Access::Known(_) => problems.extend([
            (401, "No credential, or one that does not count."),
            (403, "The role does not allow it, or another tenant is named."),
        ]),
        Access::Loopback => problems.push((403, "For callers on the server's own machine.")),
        Access::Open => {}
    }
    let names_tenant = doc.params.iter().any(|param| param.name == "tenant_id");
    if route.path.contains('{') {
        problems.push((
            404,
            "There is nothing of this id, or it belongs to another tenant.",
        ));
    } else if names_tenant {
        problems.push((404, "There is no such tenant."));
    }
    if !doc.bodies.is_empty() {
        problems.extend([
            (408, "The body pauses, or takes, too long."),
            (413, "The body is too large."),
            (415, "The body is of a kind that is not taken here."),
            (
                422,
                "Fields don't hold what they must; `errors` names all of them.",
            ),
        ]);
    }
    problems
}
