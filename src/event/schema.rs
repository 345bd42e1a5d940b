//! The event on the wire: `schemas/event.v1.avsc`, and the Avro datum of an event.
//!
//! Encoding and decoding are written out for this one schema ([`datum`]), which is several times faster than a
//! general writer; tests hold them equal to the `apache-avro` crate in both directions. The framing (Confluent or
//! single-object) is the log's.

mod datum;
#[cfg(test)]
mod reference;

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;

pub use datum::{decode, encode};

/// The schema, as it is committed and registered.
pub const SCHEMA_JSON: &str = include_str!("../../schemas/event.v1.avsc");

/// Why bytes are no event of this schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// They end within a field.
    #[error("the record ends within `{0}`")]
    Short(&'static str),
    /// Bytes are left over.
    #[error("{0} bytes are left over after the last field")]
    TooLong(usize),
    /// A field holds what it can't.
    #[error("`{field}` {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

static PARSED: LazyLock<Result<(Schema, u64), String>> = LazyLock::new(|| {
    let schema = Schema::parse_str(SCHEMA_JSON).map_err(|error| error.to_string())?;
    let bytes = schema.fingerprint::<Rabin>().bytes;
    let fingerprint = bytes
        .as_slice()
        .try_into()
        .map_err(|_| "a CRC-64-AVRO has eight bytes".to_owned())?;
    Ok((schema, u64::from_le_bytes(fingerprint)))
});

/// The parsed schema; `None` never, as a test makes sure.
pub fn schema() -> Option<&'static Schema> {
    PARSED.as_ref().ok().map(|(schema, _)| schema)
}

/// CRC-64-AVRO of the schema's canonical form. Single-object encoding writes it little-endian.
pub fn fingerprint() -> u64 {
    PARSED.as_ref().map_or(0, |(_, fingerprint)| *fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_valid_and_its_fingerprint_stands() {
        assert!(schema().is_some(), "{:?}", PARSED.as_ref().err());
        // Records in logs carry it: it may only change together with the file's name.
        assert_eq!(format!("{:016x}", fingerprint()), "7cf35f7e60754b28");
    }
}
