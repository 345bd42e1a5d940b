//! JSON inside an event: `details`, `before`, `after` and provenance.
//!
//! It is kept as text, in the client's order of keys and with numbers as they were written, so that nothing is lost
//! to a float; only blanks and needless escapes are gone. [`scan`] checks text and takes it apart.

pub mod scan;
pub mod text;

use std::fmt;

use serde::{Serialize, Serializer};

pub use scan::{Fault, FaultKind, Limits, Member, Value};
pub use text::{Span, Text};

/// A JSON value as compact text, checked when it was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Box<str>);

impl Json {
    /// Checks and compacts a text. `None` when it is no JSON, holds a NUL or half a surrogate pair, or has a key twice.
    pub fn parse(text: &str) -> Option<Self> {
        let (value, faults) = scan::whole(
            text,
            Limits {
                unique: true,
                ..Limits::STORED
            },
        )
        .ok()?;
        faults.is_empty().then(|| Self::from_checked(&value))
    }

    /// The compact form of a value that the scanner gave.
    pub fn from_checked(value: &Value<'_>) -> Self {
        let mut out = String::new();
        value.write_compact(&mut out);
        Self(out.into_boxed_str())
    }

    /// Takes over compact text that Trailhouse itself wrote; the caller has put it together from checked parts.
    pub(crate) fn from_compact(text: String) -> Self {
        Self(text.into_boxed_str())
    }

    /// Checks text that is compact already, as it stands in the log, and keeps it as it is.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        scan::whole(text, Limits::STORED).ok().map(|_| Self(text.into()))
    }

    /// From a tree.
    pub fn from_value(value: &serde_json::Value) -> Self {
        Self(value.to_string().into_boxed_str())
    }

    /// As a tree. Numbers beyond 64 bits lose digits there; the text does not.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or(serde_json::Value::Null)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value, taken apart one level.
    pub fn read(&self) -> Value<'_> {
        scan::whole(&self.0, Limits::STORED).map_or(Value::Null, |(value, _)| value)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Json {
    /// Writes the text itself where the format is JSON.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&serde_json::value::RawValue>(&self.0)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_digits_survive() {
        let text = r#"{"z":1.0,"a":123456789012345678901234567890,"m":[1e3]}"#;
        let json = Json::parse(&text.replace(',', " , ")).unwrap();
        assert_eq!(json.as_str(), text);
        assert_eq!(serde_json::to_string(&vec![&json]).unwrap(), format!("[{text}]"));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for text in ["", "{", r#""\u0000""#, r#"["\udc00"]"#, r#"{"a":1,"a":1}"#] {
            assert!(Json::parse(text).is_none(), "{text}");
        }
    }
}
