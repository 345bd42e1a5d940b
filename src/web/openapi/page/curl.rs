//! An operation as a line for a shell.

use serde_json::Value;

use super::{items, text};

/// The request with what it can't do without; `$URL` and `$TOKEN` as everywhere in the documentation.
pub(super) fn line(method: &str, path: &str, operation: &Value) -> String {
    let mut line = "curl -s".to_owned();
    if operation["x-stream"] == true {
        line.push('N');
    }
    if method != "get" {
        line += &format!(" -X {}", method.to_uppercase());
    }
    line += &format!(" \"$URL{}{}\"", filled(path), query(operation));
    if !items(&operation["security"]).is_empty() {
        line += " -H \"Authorization: Bearer $TOKEN\"";
    }
    if let Some(example) = operation["requestBody"]["content"]["application/json"].get("example") {
        let body = example.to_string().replace('\'', r"'\''");
        line += &format!(" \\\n  -H 'content-type: application/json' -d '{body}'");
    }
    line
}

/// `{id}` as `$ID`.
fn filled(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        name.map_or_else(|| segment.to_owned(), |name| format!("${}", name.to_uppercase()))
    });
    segments.collect::<Vec<_>>().join("/")
}

fn query(operation: &Value) -> String {
    let needed = items(&operation["parameters"])
        .iter()
        .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
    let given = needed.map(|parameter| {
        let name = text(&parameter["name"]);
        let example = text(&parameter["schema"]["example"]);
        match example.is_empty() {
            true => format!("{name}=…"),
            false => format!("{name}={example}"),
        }
    });
    let given = given.collect::<Vec<_>>().join("&");
    if given.is_empty() {
        given
    } else {
        format!("?{given}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_needed_is_in_the_line() {
        let operation = json!({
            "security": [{"token": []}],
            "parameters": [
                {"name": "reason", "in": "query", "required": true, "schema": {"example": "asked+for"}},
                {"name": "tenant_id", "in": "query", "required": false, "schema": {}},
            ],
            "requestBody": {"content": {"application/json": {"example": {"name": "Ada's"}}}},
        });
        assert_eq!(
            line("patch", "/a/{id}", &operation),
            "curl -s -X PATCH \"$URL/a/$ID?reason=asked+for\" -H \"Authorization: Bearer $TOKEN\" \\\n  -H 'content-type: application/json' -d '{\"name\":\"Ada'\\''s\"}'"
        );
        assert_eq!(
            line("get", "/healthz", &json!({"security": []})),
            "curl -s \"$URL/healthz\""
        );
    }
}
