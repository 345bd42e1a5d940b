//! The document as a page for people: one file, without scripts and without anything from elsewhere.

mod curl;

use std::fmt::Write as _;

use serde_json::Value;

use super::order::in_order;

const HEAD: &str = include_str!("page.head.html");
/// Where the problems are told of, each with its cause.
const HTTP: &str = include_str!("../../../docs/http.md");
const SHELL: &str = "In the lines for a shell, `$URL` is the address of this server, `$TOKEN` the token that `POST /login` answers, and `$ID` the id of what is meant.";

/// The page.
pub fn page(document: &Value) -> String {
    let mut html = HEAD.to_owned();
    let (mut contents, mut sections) = (String::new(), String::new());
    for tag in items(&document["tags"]) {
        let name = text(&tag["name"]);
        let operations = of_tag(document, name);
        if operations.is_empty() {
            continue;
        }
        let _ = write!(contents, "<h2>{}</h2><ul>", escaped(name));
        let _ = write!(
            sections,
            "<h2>{}</h2><p>{}</p>",
            escaped(name),
            escaped(text(&tag["description"]))
        );
        for (method, path, operation) in operations {
            let id = escaped(text(&operation["operationId"]));
            let title = format!("<b>{}</b> {}", method.to_uppercase(), escaped(path));
            let _ = write!(contents, "<li><a href=\"#{id}\">{title}</a></li>");
            let _ = write!(sections, "<section id=\"{id}\"><h3>{title}</h3>");
            let line = escaped(&curl::line(method, path, operation));
            section(&mut sections, document, operation, &line);
            sections.push_str("</section>");
        }
        contents.push_str("</ul>");
    }
    contents.push_str("<h2><a href=\"#problems\">Problems</a></h2>");
    let _ = write!(sections, "<h2 id=\"problems\">Problems</h2>{}", problems());
    let about = prose(text(&document["info"]["description"])) + &prose(SHELL);
    let version = escaped(text(&document["info"]["version"]));
    let _ = writeln!(
        html,
        "<nav><h1>Trailhouse {version}</h1>{contents}</nav><main>{about}{sections}</main></body></html>"
    );
    html
}

/// Method, path and operation of all that stand under a heading.
fn of_tag<'a>(document: &'a Value, tag: &str) -> Vec<(&'a str, &'a str, &'a Value)> {
    let mut found = Vec::new();
    for (path, methods) in members(&document["paths"]) {
        for (method, operation) in members(methods) {
            if text(&operation["tags"][0]) == tag {
                found.push((method, path, operation));
            }
        }
    }
    found
}

/// What can go wrong: the table in the documentation.
fn problems() -> String {
    let rows = HTTP
        .lines()
        .skip_while(|line| !line.starts_with("| `urn:trailhouse:problem:"))
        .take_while(|line| line.starts_with('|'))
        .filter(|line| !line.starts_with("|---"));
    let rows = rows.map(|line| {
        let cells = line.trim_matches('|').split(" | ");
        let cells = cells.map(|cell| format!("<td>{}</td>", coded(cell.trim())));
        format!("<tr>{}</tr>", cells.collect::<String>())
    });
    format!("<table>{}</table>", rows.collect::<String>())
}

fn section(html: &mut String, document: &Value, operation: &Value, line: &str) {
    let _ = write!(
        html,
        "<p class=\"summary\">{}</p>",
        escaped(text(&operation["summary"]))
    );
    html.push_str(&prose(text(&operation["description"])));
    let _ = write!(html, "<pre>{line}</pre>");
    let parameters = items(&operation["parameters"]);
    if !parameters.is_empty() {
        html.push_str("<table><tr><th>Parameter</th><th>In</th><th>What it is</th></tr>");
        for parameter in parameters {
            let needed = if parameter["required"] == true {
                ", needed"
            } else {
                ""
            };
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}{needed}</td><td>{}{}</td></tr>",
                escaped(text(&parameter["name"])),
                escaped(text(&parameter["in"])),
                escaped(text(&parameter["description"])),
                shape(document, &parameter["schema"]),
            );
        }
        html.push_str("</table>");
    }
    for (media, content) in members(&operation["requestBody"]["content"]) {
        let _ = write!(html, "<h4>Body, <code>{}</code></h4>", escaped(media));
        body(html, document, content);
    }
    for (status, answer) in members(&operation["responses"]) {
        let _ = write!(
            html,
            "<h4>{}</h4><p>{}</p>",
            escaped(status),
            escaped(text(&answer["description"]))
        );
        for (media, content) in members(&answer["content"]) {
            if media != super::PROBLEM {
                let _ = write!(html, "<p><code>{}</code></p>", escaped(media));
                body(html, document, content);
            }
        }
    }
}

fn body(html: &mut String, document: &Value, content: &Value) {
    html.push_str(&fields(document, &content["schema"]));
    if let Some(example) = content.get("example") {
        let pretty = serde_json::to_string_pretty(example).unwrap_or_default();
        let _ = write!(
            html,
            "<details><summary>Example</summary><pre>{}</pre></details>",
            escaped(&pretty)
        );
    }
}

/// The fields of an object, one row each.
fn fields(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    let properties = members(&schema["properties"]);
    if properties.is_empty() {
        let said = text(&schema["description"]);
        return if said.is_empty() {
            String::new()
        } else {
            prose(said)
        };
    }
    let mut html = "<table><tr><th>Field</th><th>What it is</th></tr>".to_owned();
    for (name, property) in properties {
        let said = text(&resolved(document, property)["description"]);
        let said = if text(&property["description"]).is_empty() {
            said
        } else {
            text(&property["description"])
        };
        let _ = write!(
            html,
            "<tr><td><code>{}</code></td><td>{}{}</td></tr>",
            escaped(name),
            escaped(said),
            shape(document, property)
        );
    }
    html.push_str("</table>");
    html
}

/// What a value may be, in a few words.
fn shape(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    let mut said = Vec::new();
    if let Some(all) = schema["enum"].as_array() {
        let values: Vec<String> = all
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect();
        said.push(values.join(", "));
    } else if let Some(kind) = schema["type"].as_str() {
        said.push(kind.to_owned());
    }
    for (word, name) in [
        ("minimum", "from"),
        ("maximum", "to"),
        ("default", "default"),
        ("maxLength", "at most"),
    ] {
        if let Some(bound) = schema.get(word) {
            said.push(format!(
                "{name} {}",
                bound.as_str().map_or_else(|| bound.to_string(), str::to_owned)
            ));
        }
    }
    match said.is_empty() {
        true => String::new(),
        false => format!(" <small>{}</small>", escaped(&said.join(", "))),
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix('#'));
    pointer
        .and_then(|pointer| document.pointer(pointer))
        .unwrap_or(schema)
}

/// Paragraphs, and `code` in them.
fn prose(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty());
    paragraphs
        .map(|paragraph| format!("<p>{}</p>", coded(paragraph)))
        .collect()
}

fn coded(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let mark = |(index, part): (usize, &str)| match index % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    };
    parts.map(mark).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(value: &Value) -> Vec<(&str, &Value)> {
    let members = value.as_object().into_iter().flat_map(in_order);
    members.map(|(name, value)| (name.as_str(), value)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_is_on_the_page_and_nothing_is_markup_that_was_text() {
        let document = json!({
            "info": {"version": "1", "description": "About `x < y`."},
            "tags": [{"name": "A", "description": "<b>"}, {"name": "Empty"}],
            "paths": {"/a/{id}": {"get": {
                "operationId": "a", "tags": ["A"], "summary": "Gets", "parameters": [{"name": "<p>", "in": "query", "schema": {"type": "integer", "maximum": 5}}],
                "responses": {"200": {"description": "fine", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/T"}, "example": {"t": "</pre>"}}}}},
            }}},
            "components": {"schemas": {"T": {"properties": {"t": {"type": "string", "description": "the t"}}}}},
        });
        let html = page(&document);
        for part in [
            "<code>x &lt; y</code>",
            "&lt;b&gt;",
            "<b>GET</b> /a/{id}",
            "&lt;p&gt;",
            "integer, to 5",
            "the t",
            "&lt;/pre&gt;",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("Empty") && !html.contains("<script") && !html.contains("http:"));
    }
}
