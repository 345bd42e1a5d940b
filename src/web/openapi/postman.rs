//! The document as a Postman collection (format 2.1), which Postman opens and newman runs.
//!
//! Its requests stand in an order in which they work one after another: log in, make, list, read, change, remove, log
//! out. What a request made is read by those that follow: a `POST` to `…/users` keeps the `id` of its answer as the
//! variable `users_id`, which `…/users/{id}` then has. Each request checks that it was answered as is documented.
//!
//! Format: <https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html>.

use serde_json::{Value, json};

use super::order::in_order;

/// The collection. Set `url`, `username` and `password` and run it.
pub fn collection(document: &Value) -> Value {
    let mut operations = operations(document);
    operations.sort_by_key(|operation| operation.rank());
    let items: Vec<Value> = operations
        .iter()
        .map(|operation| operation.item(document))
        .collect();
    json!({
        "info": {
            "name": "Trailhouse",
            "description": document["info"]["description"],
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "variable": [
            {"key": "url", "value": "http://127.0.0.1:8080"},
            {"key": "username", "value": "admin"},
            {"key": "password", "value": ""},
            {"key": "token", "value": ""},
        ],
        "item": items,
    })
}

struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    said: &'a Value,
    place: usize,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let each = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, said)| (path, method, said))
    });
    each.filter(|(_, _, said)| said["x-stream"] != true)
        .enumerate()
        .map(|(place, (path, method, said))| Operation {
            method,
            path,
            said,
            place,
        })
        .collect()
}

impl Operation<'_> {
    fn id(&self) -> &str {
        self.said["operationId"].as_str().unwrap_or_default()
    }

    /// In which order requests work: who has no token has to log in first, and what is removed can't be read.
    fn rank(&self) -> (u8, u8, usize) {
        let step = match self.id() {
            "logIn" => 0,
            "refreshTokens" => 1,
            "logOut" => 9,
            "changeOwnPassword" => 8,
            _ => 5,
        };
        let method = match self.method {
            "post" | "put" if !self.path.contains('{') => 0,
            "put" => 1,
            "get" if !self.path.contains('{') => 2,
            "get" => 3,
            "post" | "patch" => 4,
            _ => 5,
        };
        (step, method, self.place)
    }

    fn item(&self, document: &Value) -> Value {
        let mut request = json!({
            "method": self.method.to_uppercase(),
            "description": self.said["description"],
            "header": [],
            "url": self.url(document),
        });
        if self.said["security"].as_array().is_some_and(Vec::is_empty) {
            request["auth"] = json!({"type": "noauth"});
        }
        if let Some((media, content)) = self.said["requestBody"]["content"]
            .as_object()
            .and_then(|all| in_order(all).next())
        {
            request["header"] = json!([{"key": "Content-Type", "value": media}]);
            request["body"] = json!({"mode": "raw", "raw": format!("{:#}", self.body(&content["example"]))});
        }
        json!({
            "name": self.said["summary"],
            "request": request,
            "event": [{"listen": "test", "script": {"type": "text/javascript", "exec": self.checks()}}],
        })
    }

    /// The example, with what is this run's own: whose session it is, and names that can be given once only.
    fn body(&self, example: &Value) -> Value {
        let mut body = example.clone();
        let own: &[(&str, &str)] = match self.id() {
            "logIn" => &[("username", "{{username}}"), ("password", "{{password}}")],
            "refreshTokens" => &[("refresh_token", "{{refresh_token}}")],
            "changeOwnPassword" => &[("old_password", "{{password}}"), ("password", "{{password}}")],
            "createTenant" => &[("id", "tenant-{{$timestamp}}")],
            "createUser" => &[("name", "user-{{$timestamp}}")],
            _ => &[],
        };
        for (name, value) in own {
            body[*name] = (*value).into();
        }
        body
    }

    /// Whether a parameter that may be left out is sent all the same.
    fn sends(&self, parameter: &str) -> bool {
        match parameter {
            // What was written is read by the requests that follow.
            "wait" => true,
            // Nobody's events are deleted to show how.
            "dry_run" => true,
            "request_id" => self.id() == "correlateEvents",
            _ => false,
        }
    }

    /// The address, with what is needed in it; what may be left out is there and switched off.
    fn url(&self, document: &Value) -> Value {
        let segments: Vec<String> = self
            .path
            .trim_start_matches('/')
            .split('/')
            .map(|segment| self.segment(document, segment))
            .collect();
        let query = self.parameters("query").map(|parameter| {
            let example = example(document, parameter);
            json!({
                "key": parameter["name"],
                "value": example,
                "description": parameter["description"],
                "disabled": parameter["required"] != true
                    && !self.sends(parameter["name"].as_str().unwrap_or_default()),
            })
        });
        json!({"host": ["{{url}}"], "path": segments, "query": query.collect::<Vec<_>>()})
    }

    /// `{id}` is what an earlier request made, unless the document has an example of it.
    fn segment(&self, document: &Value, segment: &str) -> String {
        let Some(name) = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) else {
            return segment.to_owned();
        };
        let documented = self
            .parameters("path")
            .find(|parameter| parameter["name"] == name);
        match documented.map(|parameter| example(document, parameter)) {
            Some(example) if !example.is_empty() => example,
            _ => format!(
                "{{{{{}}}}}",
                variable(self.path.split("/{").next().unwrap_or_default())
            ),
        }
    }

    fn parameters(&self, place: &'static str) -> impl Iterator<Item = &Value> {
        let all = self.said["parameters"].as_array().into_iter().flatten();
        all.filter(move |parameter| parameter["in"] == place)
    }

    /// What is checked of the answer, and what is kept of it.
    fn checks(&self) -> Vec<String> {
        let responses = self.said["responses"].as_object().into_iter().flatten();
        let fine: Vec<&str> = responses
            .map(|(status, _)| status.as_str())
            .filter(|status| status.starts_with('2'))
            .collect();
        let mut lines = vec![
            format!(
                "pm.test('is answered {}', () => pm.expect([{}]).to.include(pm.response.code));",
                fine.join(" or "),
                fine.join(", ")
            ),
            "pm.test('has a request id', () => pm.response.to.have.header('x-request-id'));".to_owned(),
        ];
        if matches!(self.id(), "logIn" | "refreshTokens" | "changeOwnPassword") {
            let keep = "for (const name of ['token', 'refresh_token']) pm.collectionVariables.set(name, pm.response.json()[name]);";
            lines.push(keep.to_owned());
        } else if self.method == "post" && !self.path.contains('{') {
            let keep = format!(
                "if (pm.response.code < 300 && pm.response.text()) {{ const made = pm.response.json(); pm.collectionVariables.set('{}', made.id ?? made.event_id); }}",
                variable(self.path)
            );
            lines.push(keep);
        }
        lines
    }
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
        &parameter["example"],
        &schema["example"],
        &schema["default"],
        &schema["enum"][0],
        &schema["items"]["example"],
    ];
    let said = said.into_iter().find(|value| !value.is_null());
    match said.or_else(|| referred.map(|schema| &schema["example"])) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stand_in_an_order_in_which_they_work() {
        let operation = |id: &str| json!({"operationId": id, "summary": id, "responses": {"200": {}, "404": {}}, "security": [{}]});
        let document = json!({"paths": {
            "/logout": {"post": operation("logOut")},
            "/users": {"get": operation("list"), "post": operation("make")},
            "/users/{id}": {"delete": operation("remove"), "get": operation("read")},
            "/zlogin": {"post": operation("logIn")},
        }});
        let collection = collection(&document);
        let names: Vec<&str> = collection["item"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["logIn", "make", "list", "read", "remove", "logOut"]);
        let made = &collection["item"][1]["event"][0]["script"]["exec"];
        assert!(made.to_string().contains("set('users_id'"), "{made}");
        assert_eq!(
            collection["item"][3]["request"]["url"]["path"],
            json!(["users", "{{users_id}}"])
        );
        assert!(made[0].as_str().unwrap().contains("[200]"), "{made}");
    }
}
