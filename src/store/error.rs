//! What can go wrong between us and ClickHouse, by what the caller should do about it.

use clickhouse::error::Error;

use super::row::StrangeRow;

/// Why ClickHouse gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It is away, starting, or overloaded: the same question can succeed later.
    #[error("ClickHouse is not available: {0}")]
    Unavailable(String),
    /// The question takes longer than it may: a narrower one can succeed, or the same one with more time.
    #[error("the query takes longer than it may: {0}")]
    TooSlow(String),
    /// The question costs more memory, or reads more, than it may: a narrower one can succeed.
    #[error("the query costs more than it may: {0}")]
    TooCostly(String),
    /// It refuses the statement or the data, and will again.
    #[error("ClickHouse refused (code {code}): {message}")]
    Refused {
        /// ClickHouse's error code.
        code: u32,
        /// Its explanation.
        message: String,
    },
    /// The answer can't be read: a fault of ours, or a table that somebody changed.
    #[error("unreadable answer from ClickHouse: {0}")]
    Broken(String),
}

/// ClickHouse's codes for a query over its time, or one that is going to be.
const TOO_SLOW: [u32; 2] = [159, 160];

/// ClickHouse's codes for a query over its other bounds: rows, set size, memory, bytes, rows or bytes.
const TOO_COSTLY: [u32; 5] = [158, 191, 241, 307, 396];
/// What 241 says where it is not the query that takes too much, but all that run together.
const OF_ALL: &str = "(total)";

/// ClickHouse's codes for a bad moment: too many queries, socket and network trouble, read-only table, too many
/// parts, unknown status of an insert, all replicas stale, lost keeper, cancelled or aborted (a server that stops), not initialised yet.
const UNAVAILABLE: [u32; 14] = [
    202, 203, 209, 210, 236, 242, 252, 319, 369, 394, 439, 733, 745, 999,
];

impl StoreError {
    /// No answer within the time that was given.
    pub(crate) fn no_answer() -> Self {
        Self::Unavailable("no answer in time".to_owned())
    }

    fn from_answer(text: &str) -> Self {
        match code(text) {
            Some(code) if TOO_SLOW.contains(&code) => Self::TooSlow(first_line(text)),
            Some(241) if text.contains(OF_ALL) => Self::Unavailable(first_line(text)),
            Some(code) if TOO_COSTLY.contains(&code) => Self::TooCostly(first_line(text)),
            Some(code) if UNAVAILABLE.contains(&code) => Self::Unavailable(first_line(text)),
            Some(code) => Self::Refused {
                code,
                message: first_line(text),
            },
            // Whatever answers there, it is not ClickHouse: a proxy, or a server that is going down.
            None => Self::Unavailable(first_line(text)),
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::BadResponse(text) => Self::from_answer(&text),
            Error::Network(_) | Error::TimedOut => Self::Unavailable(causes(&error)),
            error => Self::Broken(causes(&error)),
        }
    }
}

impl From<StrangeRow> for StoreError {
    fn from(row: StrangeRow) -> Self {
        Self::Broken(row.to_string())
    }
}

/// The number in `Code: 159. DB::Exception: …`.
fn code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// Error answers can hold a stack trace; its first line says all.
fn first_line(text: &str) -> String {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("an empty answer")
        .chars()
        .take(500)
        .collect()
}

/// The error with all that lies beneath it: `network error: client error (Connect): … Connection refused`.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let line = next.to_string();
        if !text.ends_with(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> StoreError {
        Error::BadResponse(text.to_owned()).into()
    }

    #[test]
    fn answers_are_sorted_by_what_to_do() {
        let timeout =
            "Code: 159. DB::Exception: Timeout exceeded: elapsed 9.1 seconds. (TIMEOUT_EXCEEDED)\nstack";
        assert!(matches!(answer(timeout), StoreError::TooSlow(text) if !text.contains("stack")));
        assert!(matches!(
            answer("Code: 241. DB::Exception: Query memory limit exceeded"),
            StoreError::TooCostly(_)
        ));
        assert!(matches!(
            answer("Code: 241. DB::Exception: (total) memory limit exceeded: would use 2.1 GiB"),
            StoreError::Unavailable(_)
        ));
        assert!(matches!(
            answer("Code: 252. DB::Exception: Too many parts"),
            StoreError::Unavailable(_)
        ));
        assert!(matches!(
            answer("Code: 60. DB::Exception: no table"),
            StoreError::Refused { code: 60, .. }
        ));
        assert!(matches!(answer("<html>Bad gateway"), StoreError::Unavailable(_)));
        assert!(matches!(answer(""), StoreError::Unavailable(_)));
        assert!(matches!(Error::NotEnoughData.into(), StoreError::Broken(_)));
    }
}
