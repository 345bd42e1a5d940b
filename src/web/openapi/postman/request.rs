//! One request of the collection: its address, its body, what is kept of its answer, and an answer to look at.
//!
//! A `POST` to `…/users` keeps the `id` of its answer as the variable `users_id`, which `…/users/{id}` then has. Each
//! request checks that it was answered as is documented.

use serde_json::{Value, json};

use super::super::order::in_order;
use super::bearer;

/// An operation of the document.
pub(super) struct Operation<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) said: &'a Value,
    pub(super) place: usize,
}

/// Names what a run makes.
const NAME_RUN: &str = "pm.collectionVariables.set('run', Date.now());";
/// Logs in as the user that the run made.
const AS_ITS_USER: &str = "pm.sendRequest({url: pm.variables.replaceIn('{{url}}/login'), method: 'POST', header: {'Content-Type': 'application/json'}, body: {mode: 'raw', raw: pm.variables.replaceIn('{\"username\": \"user-{{run}}\", \"password\": \"{{user_password}}\"}')}}, (error, answer) => pm.collectionVariables.set('user_token', error ? '' : answer.json().token));";
const KEEP_TOKENS: &str = "for (const name of ['token', 'refresh_token']) pm.collectionVariables.set(name, pm.response.json()[name]);";
/// Without a token, nothing that follows works.
const STOP_WITHOUT: &str = "if (pm.response.code !== 200) postman.setNextRequest(null);";
/// A file can be fetched when it is written.
const ASK_AGAIN: &str = "if (['queued', 'running'].includes(pm.response.json().state)) { postman.setNextRequest(pm.info.requestId); setTimeout(() => {}, 200); }";

impl Operation<'_> {
    pub(super) fn item(&self, document: &Value) -> Value {
        let request = self.request(document);
        let mut item = json!({
            "id": self.id(),
            "name": self.said["summary"],
            "response": self.answers(&request),
            "request": request,
            "event": [script("test", self.checks())],
        });
        let before = match self.id() {
            "logIn" => Some(NAME_RUN),
            "changeOwnPassword" => Some(AS_ITS_USER),
            _ => None,
        };
        if let (Some(before), Value::Array(events)) = (before, &mut item["event"]) {
            events.push(script("prerequest", vec![before.to_owned()]));
        }
        item
    }

    fn request(&self, document: &Value) -> Value {
        let mut request = json!({
            "method": self.method.to_uppercase(),
            "description": self.said["description"],
            "header": [],
            "url": self.url(document),
        });
        if self.said["security"].as_array().is_some_and(Vec::is_empty) {
            request["auth"] = json!({"type": "noauth"});
        }
        if self.id() == "changeOwnPassword" {
            request["auth"] = bearer("{{user_token}}");
        }
        let bodies = self.said["requestBody"]["content"].as_object();
        if let Some((media, content)) = bodies.and_then(|all| in_order(all).next()) {
            request["header"] = json!([{"key": "Content-Type", "value": media}]);
            request["body"] = json!({
                "mode": "raw",
                "raw": format!("{:#}", self.body(&content["example"])),
                "options": {"raw": {"language": "json"}},
            });
        }
        request
    }

    /// The example, with what is this run's own: whose session it is, and names that nobody else has given.
    fn body(&self, example: &Value) -> Value {
        let mut body = example.clone();
        let own: &[(&str, &str)] = match self.id() {
            "logIn" => &[("/username", "{{username}}"), ("/password", "{{password}}")],
            "refreshTokens" => &[("/refresh_token", "{{refresh_token}}")],
            "changeOwnPassword" => &[
                ("/old_password", "{{user_password}}"),
                ("/password", "{{user_password}}"),
            ],
            "createTenant" => &[("/id", "tenant-{{run}}")],
            "createUser" => &[("/name", "user-{{run}}"), ("/password", "{{user_password}}")],
            "createSavedSearch" => &[("/name", "search {{run}}")],
            "writeEvent" => &[
                ("/event_id", "rename-{{run}}"),
                ("/request_id", "request-{{run}}"),
            ],
            "writeEvents" => &[
                ("/0/event_id", "login-1-{{run}}"),
                ("/1/event_id", "login-2-{{run}}"),
            ],
            _ => &[],
        };
        for (place, value) in own {
            if let Some(said) = body.pointer_mut(place) {
                *said = (*value).into();
            }
        }
        body
    }

    /// What a parameter that may be left out is sent with all the same.
    fn sent(&self, parameter: &str) -> Option<&'static str> {
        match (parameter, self.id()) {
            // What was written is read by the requests that follow.
            ("wait", _) => Some("indexed"),
            // Nobody's events are deleted to show how.
            ("dry_run", _) => Some("true"),
            // What this run wrote, and not all there is.
            ("request_id", "correlateEvents" | "exportEvents") => Some("request-{{run}}"),
            _ => None,
        }
    }

    /// The address, with what is needed in it; what may be left out is there and switched off.
    fn url(&self, document: &Value) -> Value {
        let segments: Vec<String> = self
            .path
            .trim_start_matches('/')
            .split('/')
            .map(|segment| self.segment(segment))
            .collect();
        let query = self.parameters("query").flat_map(|parameter| {
            let name = parameter["name"].as_str().unwrap_or_default();
            let sent = self.sent(name);
            let entry = |name: &str, value: String| {
                json!({
                    "key": name,
                    "value": value,
                    "description": parameter["description"],
                    "disabled": parameter["required"] != true && sent.is_none(),
                })
            };
            match (sent, &parameter["schema"]["example"]) {
                (Some(value), _) => vec![entry(name, value.to_owned())],
                // Each of its members is sent by itself.
                (None, Value::Object(members)) => members
                    .iter()
                    .map(|(name, value)| entry(name, shown(value)))
                    .collect(),
                (None, _) => vec![entry(name, example(document, parameter))],
            }
        });
        json!({"host": ["{{url}}"], "path": segments, "query": query.collect::<Vec<_>>()})
    }

    /// `{id}` is what an earlier request made.
    fn segment(&self, segment: &str) -> String {
        match segment {
            "{event_type}" => "invoice.sent.{{run}}".to_owned(),
            _ if segment.starts_with('{') => {
                let parent = self.path.split("/{").next().unwrap_or_default();
                format!("{{{{{}}}}}", variable(parent))
            }
            _ => segment.to_owned(),
        }
    }

    fn parameters(&self, place: &'static str) -> impl Iterator<Item = &Value> {
        let all = self.said["parameters"].as_array().into_iter().flatten();
        all.filter(move |parameter| parameter["in"] == place)
    }

    fn responses(&self) -> impl Iterator<Item = (&str, &Value)> {
        let all = self.said["responses"].as_object().into_iter().flatten();
        let all = all.map(|(status, response)| (status.as_str(), response));
        all.filter(|(status, _)| status.starts_with('2'))
    }

    /// Answers to look at without asking: the examples of the document.
    fn answers(&self, request: &Value) -> Vec<Value> {
        let each = self.responses().flat_map(|(status, response)| {
            let contents = response["content"].as_object().into_iter().flatten();
            contents.filter_map(move |(media, content)| {
                Some(json!({
                    "name": response["description"],
                    "originalRequest": request,
                    "code": status.parse::<u16>().ok()?,
                    "_postman_previewlanguage": "json",
                    "header": [{"key": "Content-Type", "value": media}],
                    "body": format!("{:#}", content.get("example")?),
                }))
            })
        });
        each.collect()
    }

    /// What is checked of the answer, and what is kept of it.
    fn checks(&self) -> Vec<String> {
        let fine: Vec<&str> = self.responses().map(|(status, _)| status).collect();
        let mut lines = vec![
            format!(
                "pm.test('is answered {}', () => pm.expect([{}]).to.include(pm.response.code));",
                fine.join(" or "),
                fine.join(", ")
            ),
            "pm.test('has a request id', () => pm.response.to.have.header('x-request-id'));".to_owned(),
        ];
        match self.id() {
            "logIn" => lines.extend([STOP_WITHOUT.to_owned(), KEEP_TOKENS.to_owned()]),
            "refreshTokens" => lines.push(KEEP_TOKENS.to_owned()),
            "getExport" => lines.push(ASK_AGAIN.to_owned()),
            _ if self.method == "post" && !self.path.contains('{') => {
                let keep = format!(
                    "const made = pm.response.code < 300 && pm.response.text() ? pm.response.json() : {{}}; if (made.id ?? made.event_id) pm.collectionVariables.set('{}', made.id ?? made.event_id);",
                    variable(self.path)
                );
                lines.push(keep);
            }
            _ => {}
        }
        lines
    }
}

fn script(listen: &str, lines: Vec<String>) -> Value {
    json!({"listen": listen, "script": {"type": "text/javascript", "exec": lines}})
}

/// The variable that holds the id of what was made there.
fn variable(path: &str) -> String {
    format!("{}_id", path.rsplit('/').next().unwrap_or_default())
}

fn example(document: &Value, parameter: &Value) -> String {
    let schema = &parameter["schema"];
    let referred = schema["$ref"]
        .as_str()
        .and_then(|reference| document.pointer(reference.strip_prefix('#')?));
    let said = [
        &schema["example"],
        &schema["default"],
        &schema["enum"][0],
        &schema["items"]["example"],
    ];
    let said = said.into_iter().find(|value| !value.is_null());
    said.or_else(|| referred.map(|schema| &schema["example"]))
        .map_or_else(String::new, shown)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
