//! The document as a Postman collection (format 2.1), which Postman opens and newman runs.
//!
//! Folders are the headings of the document, and requests stand in an order in which they work one after another: log
//! in, make, list, read, change, remove, log out. A run touches what it made itself and nothing else: names and ids
//! carry the variable `run`, which logging in sets anew, and what a request made is read by those that follow
//! ([`request`]).
//!
//! Format: <https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html>.

mod request;

use serde_json::{Value, json};

use request::Operation;

const ABOUT: &str = "**A run writes.** Set `url`, `username` (an operator) and `password`, and run it against a server that you may write to. Everything it makes has the time of the run in its name, and nothing else is changed or removed. What stays: a tenant, a disabled user, a revoked key, four events of the tenant `default` (one of them amended, then redacted), and the record of all this. Requests that are run by hand use what was made last.";

/// The last folder: nothing works after it.
const LAST: &str = "Log out";

/// The collection.
pub fn collection(document: &Value) -> Value {
    let mut operations = operations(document);
    operations.sort_by_key(|operation| operation.rank());
    let tags = document["tags"].as_array().into_iter().flatten();
    let mut tags: Vec<&str> = tags.filter_map(|tag| tag["name"].as_str()).collect();
    // Who has no token has to log in first.
    tags.sort_by_key(|tag| *tag != "Sessions");
    let folders = tags.into_iter().chain([LAST]).map(|folder| {
        let items = operations
            .iter()
            .filter(|operation| operation.folder() == folder)
            .map(|operation| operation.item(document));
        json!({"name": folder, "item": items.collect::<Vec<_>>()})
    });
    let about = document["info"]["description"].as_str().unwrap_or_default();
    json!({
        "info": {
            "name": "Trailhouse",
            "description": format!("{ABOUT}\n\n{about}"),
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        },
        "auth": bearer("{{token}}"),
        "variable": [
            {"key": "url", "value": "http://127.0.0.1:8080"},
            {"key": "username", "value": "admin"},
            {"key": "password", "value": ""},
            {"key": "token", "value": ""},
            {"key": "run", "value": "0"},
            {"key": "user_password", "value": "a-long-password"},
            {"key": "user_token", "value": ""},
        ],
        "item": folders.collect::<Vec<_>>(),
    })
}

fn bearer(token: &str) -> Value {
    json!({"type": "bearer", "bearer": [{"key": "token", "value": token, "type": "string"}]})
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

    fn folder(&self) -> &str {
        match self.id() {
            "logOut" => LAST,
            // It is done as the user that is made there.
            "changeOwnPassword" => "Access",
            _ => self.said["tags"][0].as_str().unwrap_or_default(),
        }
    }

    /// In which order the requests of a folder work: what is removed can't be read.
    fn rank(&self) -> (u8, usize) {
        let step = match self.method {
            _ if self.id() == "logIn" => 0,
            _ if self.id() == "changeOwnPassword" => 5,
            "post" | "put" if !self.path.contains('{') => 1,
            "put" => 2,
            "get" if !self.path.contains('{') => 3,
            "get" => 4,
            "post" | "patch" => 5,
            _ => 6,
        };
        (step, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stand_in_an_order_in_which_they_work() {
        let operation = |id: &str, tag: &str| json!({"operationId": id, "tags": [tag], "summary": id, "responses": {"200": {}, "404": {}}, "security": [{}]});
        let document = json!({"tags": [{"name": "Access"}, {"name": "Sessions"}], "paths": {
            "/logout": {"post": operation("logOut", "Sessions")},
            "/users": {"get": operation("list", "Access"), "post": operation("make", "Access")},
            "/users/{id}": {"delete": operation("remove", "Access"), "get": operation("read", "Access")},
            "/zlogin": {"post": operation("logIn", "Sessions")},
        }});
        let collection = collection(&document);
        let names = |folder: usize| -> Vec<&str> {
            let items = collection["item"][folder]["item"].as_array().unwrap();
            items.iter().map(|item| item["name"].as_str().unwrap()).collect()
        };
        assert_eq!(names(0), ["logIn"]);
        assert_eq!(names(1), ["make", "list", "read", "remove"]);
        assert_eq!(names(2), ["logOut"]);
        let access = &collection["item"][1]["item"];
        let made = &access[0]["event"][0]["script"]["exec"];
        assert!(made.to_string().contains("set('users_id'"), "{made}");
        assert_eq!(
            access[2]["request"]["url"]["path"],
            json!(["users", "{{users_id}}"])
        );
        assert!(made[0].as_str().unwrap().contains("[200]"), "{made}");
    }
}
