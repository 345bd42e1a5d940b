//! Asking a server over its HTTP API: filters as people write them on a command line, and problems as sentences.

use anyhow::{Context, bail};
use reqwest::Response;
use serde_json::Value;

use super::connect::Remote;
use crate::query::params::query_of;

/// Parameters of a question. A filter is `name=value`, as in a URL but without its encoding (`user_id=ada`,
/// `severity!=INFO`, `details.amount[gt]=5`); whatever has no `=` is searched for in the text.
pub(super) fn parameters(filters: &[String]) -> Vec<(String, String)> {
    let (named, words): (Vec<_>, Vec<_>) = filters.iter().partition(|filter| is_named(filter));
    let mut params: Vec<(String, String)> = named
        .into_iter()
        .filter_map(|filter| filter.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if !words.is_empty() {
        let words: Vec<&str> = words.into_iter().map(String::as_str).collect();
        params.push(("q".to_owned(), words.join(" ")));
    }
    params
}

/// Words may hold a `=` behind a blank or a quote; names don't.
fn is_named(filter: &str) -> bool {
    let name = filter.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && !name.contains([' ', '"']))
}

/// Asks a route; what is no success is an error in the server's words.
pub(super) async fn get(
    client: &reqwest::Client,
    remote: &Remote,
    path: &str,
    params: &[(String, String)],
) -> anyhow::Result<Response> {
    let query = query_of(params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let request = client
        .get(remote.at(&format!("{path}?{query}")))
        .bearer_auth(remote.token()?);
    let answer = request.send().await.with_context(|| remote.unreachable())?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    match answer.json::<Value>().await {
        Ok(problem) => bail!(told(&problem).unwrap_or_else(|| status.to_string())),
        Err(_) => bail!("the server answered {status}"),
    }
}

/// What a problem says, and what to do about a credential that does not count.
pub(super) fn told(problem: &Value) -> Option<String> {
    let sentence = sentence(problem)?;
    Some(match problem["status"].as_u64() {
        Some(401) => format!("{sentence}\n  `trailhouse token` prints a new token"),
        _ => sentence,
    })
}

/// What a problem says, with all fields that are wrong.
pub(super) fn sentence(problem: &Value) -> Option<String> {
    let detail = problem["detail"].as_str()?.to_owned();
    let errors = problem["errors"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let fields = errors.iter().filter_map(|error| {
        let (field, detail) = (error["field"].as_str()?, error["detail"].as_str()?);
        Some(format!("\n  {field}: {detail}"))
    });
    match errors.len() {
        0 | 1 => Some(detail),
        _ => Some(detail + &fields.collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_have_names_and_the_rest_is_text() {
        let filters = [
            "user_id=ada",
            "fox",
            "severity!=INFO",
            "details.q=a=b",
            "\"brown = fox\"",
            "-cat",
        ];
        let params = parameters(&filters.map(str::to_owned));
        let expected = [
            ("user_id", "ada"),
            ("severity!", "INFO"),
            ("details.q", "a=b"),
            ("q", "fox \"brown = fox\" -cat"),
        ];
        assert_eq!(
            params,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn several_mistakes_are_told_line_by_line() {
        let error = |field| json!({"field": field, "detail": "unknown"});
        let one = json!({"detail": "a: unknown", "errors": [error("a")]});
        assert_eq!(sentence(&one).as_deref(), Some("a: unknown"));
        let two = json!({"detail": "2 fields", "errors": [error("a"), error("b")]});
        assert_eq!(
            sentence(&two).as_deref(),
            Some("2 fields\n  a: unknown\n  b: unknown")
        );
    }

    #[test]
    fn who_is_not_let_in_hears_where_tokens_come_from() {
        let of = |status| told(&json!({"status": status, "detail": "No."}));
        assert_eq!(of(403).as_deref(), Some("No."));
        assert_eq!(
            of(401).as_deref(),
            Some("No.\n  `trailhouse token` prints a new token")
        );
        assert_eq!(told(&json!({"status": 401})), None);
    }
}
