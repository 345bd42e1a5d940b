//! The fence around the user `readonly`. Four things stand between its text and the data, and none of them is a
//! parser of ours:
//!
//! 1. The engine parses the text alone, as one statement, and prints it anew: no comment, bracket or `;` of it can
//!    reach what we put around it.
//! 2. The engine lists the syntax tree of `SELECT * FROM (<that text>)`, which anything but a SELECT breaks, and
//!    [`scrutiny`] looks through both for functions that read files or reach out, for tables of `system` that tell of
//!    others, and for table functions but the harmless.
//! 3. The session takes on the role `reader`, which has SELECT on tables and nothing else: no sources (file, url, s3,
//!    remote, …), no DDL, no KILL.
//! 4. `readonly = 1` and limits are set last, and can't be set back.
//!
//! The second is needed because, in an embedded engine, the function `file()` asks for no right, and a table
//! function such as `format` computes the defaults of the structure it is given, `file()` among them.

use std::sync::Arc;

use super::exception::Exception;
use super::library::Connection;
use super::{quoted, scrutiny};

/// What one query of the read-only user may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Seconds a query may run.
    pub max_execution_time: u64,
    /// Rows a query may return.
    pub max_result_rows: u64,
    /// Bytes a query may return, as the engine counts them.
    pub max_result_bytes: u64,
    /// Bytes of memory a query may take.
    pub max_memory_usage: u64,
    /// Threads a query may use.
    pub max_threads: u64,
}

impl Default for ReaderLimits {
    fn default() -> Self {
        Self {
            max_execution_time: 30,
            max_result_rows: 1_000_000,
            max_result_bytes: 256 << 20,
            max_memory_usage: 512 << 20,
            max_threads: 2,
        }
    }
}

impl ReaderLimits {
    fn pairs(&self) -> [(&'static str, u64); 5] {
        [
            ("max_execution_time", self.max_execution_time),
            ("max_result_rows", self.max_result_rows),
            ("max_result_bytes", self.max_result_bytes),
            ("max_memory_usage", self.max_memory_usage),
            ("max_threads", self.max_threads),
        ]
    }

    /// Whether the user may send this setting: how results are written, and limits below its own.
    pub(super) fn allow(&self, name: &str, value: &str) -> bool {
        let limit = self.pairs().into_iter().find(|(limited, _)| *limited == name);
        match limit {
            Some((_, limit)) => value
                .parse::<u64>()
                .is_ok_and(|value| value > 0 && value <= limit),
            None => {
                WRITING.iter().any(|prefix| name.starts_with(prefix))
                    || ["session_timezone", "extremes", "date_time_output_format"].contains(&name)
            }
        }
    }

    /// The last statement before the user's: what it says can't be taken back under `readonly = 1`.
    fn close(&self, chosen: &[(String, String)]) -> String {
        let mut statement = "SET result_overflow_mode = 'throw'".to_owned();
        for (name, limit) in self.pairs() {
            let own = chosen
                .iter()
                .rev()
                .find(|(chosen, _)| chosen == name)
                .map(|(_, value)| value.as_str());
            statement += &format!(", {name} = {}", quoted(own.unwrap_or(&limit.to_string())));
        }
        statement + ", readonly = 1"
    }
}

/// Settings of how results are written, by their beginnings. (`output_format_schema` names a file to write to, so
/// the beginnings are spelled further than `output_format_`.)
const WRITING: [&str; 12] = [
    "output_format_json_",
    "output_format_native_",
    "output_format_binary_",
    "output_format_parquet_",
    "output_format_arrow_",
    "output_format_csv_",
    "output_format_tsv_",
    "output_format_pretty_",
    "output_format_decimal_",
    "output_format_write_",
    "output_format_values_",
    "output_format_markdown_",
];

/// What a statement of the read-only user needs besides its text.
pub(super) struct Fenced {
    pub limits: ReaderLimits,
    /// What follows the wrapping: where the rows go and how.
    pub tail: String,
    /// The names of all table functions of the engine, in lower case.
    pub table_functions: Arc<[String]>,
}

/// Lets the session in and returns the statement to run: `text`, checked and wrapped.
pub(super) fn fence(
    connection: &mut Connection,
    text: &[u8],
    settings: &[(String, String)],
    parameters: &[(String, String)],
    fenced: &Fenced,
) -> Result<Vec<u8>, Exception> {
    let text = std::str::from_utf8(text).map_err(|_| denied("its text is not UTF-8"))?;
    connection.tell("SET ROLE reader")?;
    let escaped = [("query".to_owned(), escape(text))];
    let printed = connection
        .ask("SELECT formatQuerySingleLine({query:String})", &escaped)
        .map_err(|exception| Exception {
            message: without_scope(&exception.message),
            ..exception
        })?;
    let wrapped = format!("SELECT * FROM (\n{printed}\n)");
    let tree = connection
        .ask(&format!("EXPLAIN AST {wrapped}"), parameters)
        .map_err(|exception| match exception.code {
            62 => denied("it is not a single SELECT"),
            _ => exception,
        })?;
    if let Some(reason) = scrutiny::refusal(&printed, &tree, &fenced.table_functions) {
        return Err(denied(&reason));
    }
    connection.tell(&fenced.limits.close(settings))?;
    Ok(format!("{wrapped}\n{}", fenced.tail).into_bytes())
}

/// The refusal of something that the read-only user may not do.
pub(super) fn denied(reason: &str) -> Exception {
    let text = format!("the user readonly may run one SELECT over tables, and this is refused: {reason}");
    Exception::new(497, "ACCESS_DENIED", text)
}

/// A value as `param_*` takes it.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len() + 16);
    for character in value.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\t' => escaped.push_str("\\t"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\0' => escaped.push_str("\\0"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn without_scope(message: &str) -> String {
    let end = message
        .find(": In scope SELECT formatQuery")
        .unwrap_or(message.len());
    message[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_can_only_be_lowered() {
        let limits = ReaderLimits::default();
        assert!(limits.allow("max_threads", "1") && limits.allow("output_format_json_quote_decimals", "1"));
        for (name, value) in [
            ("max_threads", "64"),
            ("max_execution_time", "0"),
            ("readonly", "0"),
            ("output_format_schema", "/tmp/x"),
            ("format_schema", "x"),
        ] {
            assert!(!limits.allow(name, value), "{name}");
        }
        let statement = limits.close(&[("max_threads".to_owned(), "1".to_owned())]);
        assert!(statement.contains("max_threads = '1'") && statement.ends_with("readonly = 1"));
    }
}
