//! What the engine says when it refuses, and how that looks to an HTTP client: a code, a name, a text and a status.

use std::fmt;

use http::StatusCode;

/// An engine's refusal, or one of the front in the engine's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exception {
    pub code: i32,
    pub name: String,
    pub message: String,
    /// Answered as 503 with `Retry-After`, whatever the code says: nothing was done, come again.
    pub overloaded: bool,
}

impl Exception {
    pub(super) fn new(code: i32, name: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            name: name.to_owned(),
            message: message.into(),
            overloaded: false,
        }
    }

    /// Reads the engine's text, `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`, unwrapping the copies that it nests
    /// when an exception passes through its own client layer, and leaving out the pipes and files of this process.
    pub(super) fn parse(text: &str) -> Self {
        let mut text = text.trim();
        let mut code = 1001;
        while let Some((number, rest)) = code_prefix(text) {
            code = number;
            text = rest;
        }
        let (mut message, name) = split_name(text);
        let name = name.unwrap_or("STD_EXCEPTION").to_owned();
        loop {
            message = match split_name(message) {
                (shorter, Some(again)) if again == name => shorter,
                _ => match strip_version(message) {
                    Some(shorter) => shorter,
                    None => break,
                },
            };
        }
        Self {
            code,
            name,
            message: hide_descriptors(message),
            overloaded: false,
        }
    }

    /// The status that the real server gives for this code.
    pub(super) fn status(&self) -> StatusCode {
        if self.overloaded {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167 | 168
            | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 202 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            159 => StatusCode::REQUEST_TIMEOUT,
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            381 => StatusCode::LENGTH_REQUIRED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The whole line as clients expect it.
    pub(super) fn text(&self, version: &str) -> String {
        format!("{self} (version {version} (embedded))")
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stop = if self.message.ends_with('.') { "" } else { "." };
        write!(
            f,
            "Code: {}. DB::Exception: {}{stop} ({})",
            self.code, self.message, self.name
        )
    }
}

fn code_prefix(text: &str) -> Option<(i32, &str)> {
    let rest = text.strip_prefix("Code: ")?;
    let (number, rest) = rest.split_once(". ")?;
    let code = number.parse().ok()?;
    let rest = rest.strip_prefix("DB::").unwrap_or(rest);
    let (kind, rest) = rest.split_once(": ")?;
    kind.ends_with("Exception").then_some((code, rest))
}

/// Splits `message. (NAME)` at its end.
fn split_name(text: &str) -> (&str, Option<&str>) {
    let text = text.trim_end();
    let split = text.strip_suffix(')').and_then(|inner| inner.rsplit_once('('));
    match split {
        Some((message, name))
            if !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_') =>
        {
            (message.trim_end(), Some(name))
        }
        _ => (text, None),
    }
}

/// Cuts a trailing `(version 26.5.1.1)` and the full stop after it.
fn strip_version(text: &str) -> Option<&str> {
    let inner = text.trim_end_matches('.').strip_suffix(')')?;
    let at = inner.rfind(" (version ")?;
    Some(&inner[..at])
}

/// Leaves out what the front put into the statement: clauses that name its pipes and files.
fn hide_descriptors(message: &str) -> String {
    let mut message = message.to_owned();
    for (start, end, instead) in [
        ("(in file/uri /proc/self/fd/", ")", "(in the request's data)"),
        ("INTO OUTFILE '/proc/self/fd/", "'none' ", ""),
        ("FROM INFILE '/proc/self/fd/", "'none' ", ""),
    ] {
        while let Some(at) = message.find(start) {
            let Some(length) = message[at..].find(end) else {
                break;
            };
            message.replace_range(at..at + length + end.len(), instead);
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_code_name_and_message() {
        let exception =
            Exception::parse("Code: 60. DB::Exception: Unknown table expression 'nope'. (UNKNOWN_TABLE)");
        assert_eq!((exception.code, exception.name.as_str()), (60, "UNKNOWN_TABLE"));
        assert_eq!(exception.status(), StatusCode::NOT_FOUND);
        assert_eq!(
            exception.text("26.5.1.1"),
            "Code: 60. DB::Exception: Unknown table expression 'nope'. (UNKNOWN_TABLE) (version 26.5.1.1 (embedded))"
        );
    }

    #[test]
    fn unwraps_what_passed_through_the_client_layer() {
        let text = "Code: 33. DB::Exception: Code: 33. DB::Exception: Cannot read all data. Bytes read: 1: (at row 1)\n: (in file/uri /proc/self/fd/17): While executing File. (CANNOT_READ_ALL_DATA) (version 26.5.1.1). (CANNOT_READ_ALL_DATA)";
        let exception = Exception::parse(text);
        assert_eq!(exception.code, 33);
        assert_eq!(
            exception.message,
            "Cannot read all data. Bytes read: 1: (at row 1)\n: (in the request's data): While executing File."
        );
    }

    #[test]
    fn a_text_of_another_shape_is_kept() {
        let exception = Exception::parse("something odd (with) parens");
        assert_eq!(
            (exception.code, exception.message.as_str()),
            (1001, "something odd (with) parens")
        );
    }
}
