//! What a record of the inbox holds: JSON, a CloudEvent, or Avro with a schema that is known.

use super::avro;
use crate::event::{draft, schema};
use crate::ingest::Form;
use crate::log::framing::{Framed, unframe};
use crate::log::registry::Registry;
use crate::log::rejected::Reason;
use crate::log::{LogError, Record};

/// The body to be taken in.
pub enum Body {
    /// The payload as it stands.
    AsIs,
    /// The datum of an event of our own schema, from this byte of the payload on.
    Datum(usize),
    /// What an Avro payload of another schema says, as JSON.
    Json(Vec<u8>),
}

/// A record that can't be read, now or later.
pub struct Unread {
    /// What it counts as.
    pub reason: Reason,
    /// In a sentence.
    pub detail: String,
}

/// Reads the payload. `Err` when the registry can't be asked now.
pub async fn body(record: &Record, registry: Option<&Registry>) -> Result<Result<Body, Unread>, LogError> {
    let unread = |detail: String| {
        Ok(Err(Unread {
            reason: Reason::Unreadable,
            detail,
        }))
    };
    match (unframe(&record.payload), registry) {
        (Framed::Bare(_), _) => Ok(Ok(Body::AsIs)),
        (Framed::SingleObject(fingerprint, datum), _) if fingerprint == schema::fingerprint() => {
            Ok(Ok(Body::Datum(record.payload.len() - datum.len())))
        }
        (Framed::SingleObject(fingerprint, _), _) => unread(format!(
            "Avro schema {fingerprint:016x} is not known: write JSON, or use a schema registry"
        )),
        (Framed::Confluent(id, _), None) => unread(format!(
            "the record names schema {id} of a registry, and log.schema_registry is not set"
        )),
        (Framed::Confluent(id, datum), Some(registry)) => match registry.schema(id).await {
            Ok(schema) => match avro::to_json(&schema, datum) {
                Ok(json) => Ok(Ok(Body::Json(json))),
                Err(why) => unread(why),
            },
            Err(LogError::Refused(why)) => unread(why),
            Err(error) => Err(error),
        },
    }
}

/// The headers of a record, borrowed.
pub fn headers(record: &Record) -> Vec<(&str, &[u8])> {
    record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect()
}

/// The item a record becomes. CloudEvents in binary mode have their attributes in headers `ce_…` (Kafka protocol
/// binding of CloudEvents 1.0.2, section 3.2); in structured mode the body says what it is.
pub fn form<'a>(record: &'a Record, body: &'a Body, headers: &'a [(&'a str, &'a [u8])]) -> Form<'a> {
    let body = match body {
        Body::AsIs => record.payload.as_slice(),
        Body::Json(json) => json.as_slice(),
        Body::Datum(from) => {
            let record = record.payload.get(*from..).unwrap_or_default();
            return Form::Mapped {
                record,
                map: draft::accept_datum,
            };
        }
    };
    if headers.iter().any(|(name, _)| *name == "ce_specversion") {
        let content_type = record
            .header("content-type")
            .and_then(|value| std::str::from_utf8(value).ok());
        return Form::CloudEvent {
            headers,
            content_type,
            body,
        };
    }
    Form::Event(body)
}
