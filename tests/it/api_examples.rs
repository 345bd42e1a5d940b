//! The examples of answers in the OpenAPI document (`schemas/examples/answers`) are answers that the server gives: each
//! operation is called, one after another, with the example of its request, and its answer is held against the example
//! of its answer. `TRAILHOUSE_BLESS=1` writes the answers anew; read what changed.

use std::collections::HashMap;
use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};
use trailhouse::web::openapi;
use trailhouse::web::routes::table;

use crate::support::app::PASSWORD;
use crate::support::shape::expect_shape;
use crate::support::{App, Caller};

/// Every operation that answers JSON, in an order in which they work, each with its parameters.
const CALLS: &[(&str, &str)] = &[
    ("logIn", ""),
    ("refreshTokens", ""),
    ("getMe", ""),
    ("writeEvent", "?wait=indexed"),
    ("writeEvents", "?wait=indexed"),
    ("searchEvents", "?event_type=document.update&count=true&limit=1"),
    ("getEvent", ""),
    ("cleanUpEvents", "?before=2025-01-01"),
    ("createStreamTicket", ""),
    ("createTenant", ""),
    ("listTenants", ""),
    ("getTenant", ""),
    ("updateTenant", ""),
    ("createUser", ""),
    ("listUsers", ""),
    ("getUser", ""),
    ("updateUser", ""),
    ("createKey", ""),
    ("listKeys", ""),
    ("getKey", ""),
    ("updateKey", ""),
    ("createSavedSearch", ""),
    ("listSavedSearches", ""),
    ("getSavedSearch", ""),
    ("updateSavedSearch", ""),
    ("putSchema", ""),
    ("listSchemas", ""),
    ("getSchema", ""),
    ("createExport", ""),
    ("listExports", ""),
    ("getHealth", ""),
    ("getReadiness", ""),
    ("changeOwnPassword", ""),
];

/// Documents, of which an example would say nothing; and what stories of their own hold against its example.
const NOT_HERE: [&str; 8] = [
    "getOpenapi",
    "getOpenapi30",
    "getPostmanCollection",
    "countEvents",
    "correlateEvents",
    "getExport",
    "amendEvent",
    "redactEvent",
];

/// What is not shown of an answer.
const SECRETS: [&str; 4] = ["token", "refresh_token", "key", "ticket"];

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_in_the_document_is_one_that_the_server_gives() {
    let document = openapi::document(&table());
    let operations = operations(&document);
    let mut expected: Vec<&str> = operations
        .iter()
        .filter(|(id, operation)| !NOT_HERE.contains(id) && operation.answers_json)
        .map(|(id, _)| *id)
        .collect();
    let mut called: Vec<&str> = CALLS.iter().map(|(id, _)| *id).collect();
    expected.sort_unstable();
    called.sort_unstable();
    assert_eq!(
        called, expected,
        "every operation that answers JSON is called once"
    );

    let app = App::start_with(&[]).await;
    let operator = app.operator().await;
    let mut run = Run {
        operator,
        made: HashMap::new(),
        refresh_token: String::new(),
    };
    for (id, parameters) in CALLS {
        let answer = run.call(id, &operations[id], parameters).await;
        match std::env::var_os("TRAILHOUSE_BLESS") {
            Some(_) => bless(id, &answer),
            None => expect_shape(&answer, id),
        }
    }
}

struct Operation {
    method: Method,
    path: String,
    answers_json: bool,
}

fn operations(document: &Value) -> HashMap<&str, Operation> {
    let paths = document["paths"].as_object().unwrap().iter();
    let each = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, said)| {
            let responses = said["responses"].as_object().unwrap();
            let answers_json = responses
                .iter()
                .filter(|(status, _)| status.starts_with('2'))
                .any(|(_, response)| {
                    let content = response["content"].as_object();
                    content
                        .is_some_and(|content| content.len() == 1 && content.contains_key("application/json"))
                });
            let operation = Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                answers_json,
            };
            (said["operationId"].as_str().unwrap(), operation)
        })
    });
    each.collect()
}

/// What has happened so far.
struct Run {
    operator: Caller,
    /// The last id that was made at a path.
    made: HashMap<String, String>,
    refresh_token: String,
}

impl Run {
    async fn call(&mut self, id: &str, operation: &Operation, parameters: &str) -> Value {
        let path = match operation.path.split_once("/{") {
            Some((parent, "event_type}")) => format!("{parent}/invoice.sent"),
            Some((parent, _)) => format!("{parent}/{}", self.made[parent]),
            None => operation.path.clone(),
        };
        let body = self.body(id).map(|body| body.to_string());
        let headers: &[_] = match body {
            Some(_) => &[("content-type", "application/json")],
            None => &[],
        };
        let path = format!("{path}{parameters}");
        let answer = self
            .operator
            .send(operation.method.clone(), &path, headers, body.unwrap_or_default())
            .await;
        assert!(answer.status.is_success(), "{id}: {}", answer.text());
        let told = answer.json();
        if operation.method == Method::POST {
            let made = told["id"].as_str().or(told["event_id"].as_str());
            self.made
                .extend(made.map(|made| (operation.path.clone(), made.to_owned())));
        }
        if let Some(token) = told["refresh_token"].as_str() {
            self.refresh_token = token.to_owned();
        }
        told
    }

    /// The example of the request, with the secrets of this server.
    fn body(&self, id: &str) -> Option<Value> {
        match id {
            "logIn" => Some(json!({"username": "admin", "password": PASSWORD})),
            "refreshTokens" => Some(json!({"refresh_token": self.refresh_token})),
            "changeOwnPassword" => {
                Some(json!({"old_password": PASSWORD, "password": "a new one that nobody guesses"}))
            }
            _ => {
                let text = std::fs::read_to_string(example("requests", id)).ok()?;
                Some(serde_json::from_str(&text).unwrap())
            }
        }
    }
}

fn example(folder: &str, id: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/examples/{folder}/{id}.json"))
}

fn bless(id: &str, answer: &Value) {
    let mut answer = answer.clone();
    mask(&mut answer);
    std::fs::write(example("answers", id), format!("{answer:#}\n")).unwrap();
}

fn mask(answer: &mut Value) {
    match answer {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(secret) if SECRETS.contains(&name.as_str()) => {
                        *value = format!("{}…", secret.chars().take(12).collect::<String>()).into();
                    }
                    _ => mask(value),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(mask),
        _ => {}
    }
}
