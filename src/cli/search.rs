//! `trailhouse search`

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use serde_json::value::RawValue;

use super::ask::{get, parameters};
use super::connect::Remote;

/// Events that are asked for at once.
const PAGE: usize = 500;
/// What a table shows where nothing is said.
const COLUMNS: &str = "time,severity,event_type,actor.id,resource.id,message";
/// The widest a column becomes; the last one is as wide as it is.
const WIDTH_MAX: usize = 36;

#[derive(Args)]
pub(crate) struct Search {
    /// Filters such as user_id=ada, severity!=INFO, details.amount[gt]=5; other words are searched for in the text
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// What to show of each event: event_id,time,actor.id,details.amount
    #[arg(long, value_name = "LIST")]
    fields: Option<String>,
    /// How many events at most
    #[arg(long, default_value = "100")]
    limit: NonZeroUsize,
    /// Oldest first
    #[arg(long)]
    oldest: bool,
    /// A saved search, by its id
    #[arg(long, value_name = "ID")]
    saved: Option<String>,
    /// An event a line as JSON, as into a pipe
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(serde::Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

impl Search {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let is_table = !self.json && io::stdout().is_terminal();
        let mut params = parameters(&self.filters);
        let columns = self.fields.as_deref().unwrap_or(COLUMNS);
        if let Some(fields) = self.fields.as_deref().or(is_table.then_some(COLUMNS)) {
            params.push(("fields".to_owned(), fields.to_owned()));
        }
        if self.oldest {
            params.push(("sort".to_owned(), "time".to_owned()));
        }
        params.extend(self.saved.map(|id| ("saved".to_owned(), id)));
        let client = reqwest::Client::new();
        let mut out = BufWriter::new(io::stdout().lock());
        let (mut left, mut cursor, mut is_first) = (self.limit.get(), None::<String>, true);
        while left > 0 {
            let mut params = params.clone();
            params.push(("limit".to_owned(), left.min(PAGE).to_string()));
            params.extend(cursor.take().map(|cursor| ("cursor".to_owned(), cursor)));
            let page = get(&client, &self.remote, "/api/v1/logs", &params).await?;
            let page: Page = page
                .json()
                .await
                .context("the server's answer is no page of events")?;
            left -= page.data.len().min(left);
            match is_table {
                true => print_table(&mut out, columns, &page.data, is_first)?,
                false => {
                    for event in &page.data {
                        writeln!(out, "{event}")?;
                    }
                }
            }
            is_first = false;
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        out.flush()?;
        if cursor.is_some() {
            eprintln!(
                "{} shown, there are more: --limit N, or `trailhouse export`",
                self.limit.get() - left
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Rows under a header, each column as wide as this page needs.
fn print_table(
    out: &mut impl Write,
    columns: &str,
    events: &[Box<RawValue>],
    header: bool,
) -> io::Result<()> {
    let columns: Vec<&str> = columns
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    if header {
        rows.push(columns.iter().map(|column| column.to_uppercase()).collect());
    }
    for event in events {
        let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
        rows.push(columns.iter().map(|column| cell(&event, column)).collect());
    }
    let width = |index: usize| {
        let widths = rows
            .iter()
            .filter_map(|row| row.get(index))
            .map(|cell| cell.chars().count());
        widths.max().unwrap_or_default().min(WIDTH_MAX)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            match index + 1 == row.len() {
                true => line.push_str(cell),
                false => line.push_str(&format!("{:width$}  ", cut(cell, *width))),
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// What an event has in a column, safe to be printed: whoever wrote the event must not steer the reader's terminal.
fn cell(event: &Value, column: &str) -> String {
    let column = match column {
        "user_id" => "actor.id",
        other => other,
    };
    let direct = event.get(column);
    let nested = || column.split('.').try_fold(event, |value, step| value.get(step));
    let flat = || {
        let (group, name) = column.split_once('_')?;
        event.get(group)?.get(name)
    };
    let of_actor = || event.get("actor")?.get(column);
    let value = direct.or_else(nested).or_else(flat).or_else(of_actor);
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn cut(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &str, events: &[&str]) -> String {
        let events: Vec<Box<RawValue>> = events
            .iter()
            .map(|event| RawValue::from_string((*event).to_owned()).unwrap())
            .collect();
        let mut out = Vec::new();
        print_table(&mut out, columns, &events, true).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_stand_under_each_other() {
        let long = format!(
            r#"{{"event_type": "{}", "details": {{"n": 5}}, "actor": {{"ip": "::1"}}}}"#,
            "x".repeat(50)
        );
        let text = table(
            "event_type,details.n,ip,message",
            &[r#"{"event_type": "a", "message": "said"}"#, &long],
        );
        let wide = format!("{}…", "x".repeat(WIDTH_MAX - 1));
        let expected = format!(
            "{:36}  DETAILS.N  IP   MESSAGE\n{:36}                  said\n{wide}  5          ::1\n",
            "EVENT_TYPE", "a"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn no_event_steers_the_terminal() {
        let text = table("message", &[r#"{"message": "a\u001b[2Jb\nc"}"#]);
        assert_eq!(text, "MESSAGE\na\u{fffd}[2Jb\u{fffd}c\n");
    }
}
