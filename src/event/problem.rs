//! What can be wrong with something that was sent, in words for its sender; and how large its parts may be.

use serde::Serialize;

use super::json::pointer::{line_and_column, pointer_at};
use super::json::scan::{Fault, FaultKind, Limits};

/// The largest event, in bytes as it came.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;
/// How the types of the server's own events begin. Searches leave these out unless they are asked for, so nobody who
/// sends events may hide one among them.
pub const SYSTEM_PREFIX: &str = "trailhouse.";
/// The longest `event_type` and `action`, in bytes.
pub const TYPE_MAX: usize = 256;
/// The longest id, name, address or type of an actor or a resource, in bytes.
pub const NAME_MAX: usize = 1_024;
/// The longest user agent, in bytes.
pub const USER_AGENT_MAX: usize = 4_096;
/// The longest message, in bytes.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// The most tags of an event.
pub const TAGS_MAX: usize = 64;
/// The longest tag, in bytes.
pub const TAG_MAX: usize = 256;

/// Something wrong with one field of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A JSON pointer into the item (`/actor/ip`; empty: the whole), or the name of a parameter or header.
    pub field: String,
    /// What is wrong, what was expected.
    pub detail: String,
}

impl Problem {
    /// A problem of one field.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            detail: detail.into(),
        }
    }

    /// What the scanner found, for somebody who sees only the text.
    pub(crate) fn from_fault(text: &str, fault: Fault) -> Self {
        let detail = match fault.kind {
            FaultKind::Syntax(expected) => {
                let (line, column) = line_and_column(text.as_bytes(), fault.at);
                format!("not JSON: {expected}, at line {line}, column {column}")
            }
            FaultKind::TooDeep => format!("nested deeper than {} levels", Limits::EVENT.depth),
            FaultKind::TooManyKeys => format!("more than {} keys in one event", Limits::EVENT.keys),
            FaultKind::TooSpread => format!(
                "the names above what it holds, written before each of it, are over {} MiB: shorten those above long lists",
                Limits::EVENT.paths >> 20
            ),
            FaultKind::Nul => "a NUL character (\\u0000) can't be stored".to_owned(),
            FaultKind::Surrogate => "half of a surrogate pair is no character".to_owned(),
            FaultKind::Twice => "this key stands twice in its object".to_owned(),
        };
        let mut field = pointer_at(text, fault.at);
        if field.len() > NAME_MAX {
            let end = (0..=NAME_MAX)
                .rev()
                .find(|&end| field.is_char_boundary(end))
                .unwrap_or_default();
            field.truncate(end);
            field.push('…');
        }
        Self::new(field, detail)
    }
}
