//! Values that a column holds in a form of its own: enumerations as numbers, bytes as a `String`.

use crate::event::{Outcome, Severity, TimeFrom};

pub(super) const fn time_from_code(from: TimeFrom) -> i8 {
    match from {
        TimeFrom::Client => 0,
        TimeFrom::Id => 1,
        TimeFrom::Received => 2,
    }
}

/// Who said when, by the number of the column.
pub const fn time_from(code: i8) -> Option<TimeFrom> {
    match code {
        0 => Some(TimeFrom::Client),
        1 => Some(TimeFrom::Id),
        2 => Some(TimeFrom::Received),
        _ => None,
    }
}

pub(super) const fn severity_code(severity: Severity) -> i8 {
    match severity {
        Severity::Info => 1,
        Severity::Warning => 2,
        Severity::Error => 3,
        Severity::Critical => 4,
    }
}

/// How serious, by the number of the column.
pub fn severity(code: i8) -> Option<Severity> {
    Severity::ALL
        .into_iter()
        .find(|severity| severity_code(*severity) == code)
}

pub(super) const fn outcome_code(outcome: Outcome) -> i8 {
    match outcome {
        Outcome::Unknown => 0,
        Outcome::Success => 1,
        Outcome::Failure => 2,
    }
}

/// How it ended, by the number of the column.
pub fn outcome(code: i8) -> Option<Outcome> {
    Outcome::ALL
        .into_iter()
        .find(|outcome| outcome_code(*outcome) == code)
}

/// Bytes that are no text, as a `String` column takes them.
pub(super) mod bytes {
    use std::borrow::Cow;
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de: 'a, 'a, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Cow<'a, [u8]>, D::Error> {
        struct Borrowed;

        impl<'de> Visitor<'de> for Borrowed {
            type Value = &'de [u8];

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(bytes)
            }
        }

        deserializer.deserialize_bytes(Borrowed).map(Cow::Borrowed)
    }
}
