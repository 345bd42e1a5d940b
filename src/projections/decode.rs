//! From a record to an event and its print: pure but for schemas the registry knows and we don't.

use std::sync::Arc;

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::event::{Event, TenantId, TimeFrom, schema};
use crate::log::framing::{Framed, unframe};
use crate::log::registry::Registry;
use crate::log::seen::Print;
use crate::log::{LogError, Record};

/// Reads the records of `audit.events`.
#[derive(Clone)]
pub struct Decoder {
    registry: Option<Arc<Registry>>,
}

/// Why a record gives no event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It never will.
    #[error("{0}")]
    Unreadable(String),
    /// The registry can't be asked now.
    #[error(transparent)]
    Later(LogError),
}

impl Decoder {
    /// A decoder; without a registry it reads single-object encoding only.
    pub fn new(registry: Option<Arc<Registry>>) -> Self {
        Self { registry }
    }

    /// The event of a record.
    pub async fn decode(&self, record: &Record) -> Result<Event, DecodeError> {
        let datum = match unframe(&record.payload) {
            Framed::SingleObject(fingerprint, datum) if fingerprint == schema::fingerprint() => datum,
            Framed::SingleObject(fingerprint, _) => {
                return Err(DecodeError::Unreadable(format!(
                    "schema {fingerprint:016x} is none of ours"
                )));
            }
            Framed::Confluent(id, datum) => {
                self.check_schema(id).await?;
                datum
            }
            Framed::Bare(_) => return Err(DecodeError::Unreadable("the record is no framed Avro".into())),
        };
        schema::decode(datum).map_err(|error| DecodeError::Unreadable(error.to_string()))
    }

    /// Only our own schema is ever written to `audit.events`, under whatever id the registry gave it.
    async fn check_schema(&self, id: u32) -> Result<(), DecodeError> {
        let Some(registry) = &self.registry else {
            return Err(DecodeError::Unreadable(format!(
                "the record names schema {id} of a registry, and log.schema_registry is not set"
            )));
        };
        let found = match registry.schema(id).await {
            Ok(found) => found,
            Err(LogError::Refused(why)) => return Err(DecodeError::Unreadable(why)),
            Err(error) => return Err(DecodeError::Later(error)),
        };
        let print = found.fingerprint::<apache_avro::rabin::Rabin>();
        if print.bytes == schema::fingerprint().to_le_bytes() {
            return Ok(());
        }
        Err(DecodeError::Unreadable(format!(
            "schema {id} of the registry is not the event's"
        )))
    }
}

/// What the seen window needs to know of an event.
pub fn print(event: &Event) -> Print {
    Print {
        identity: identity(&event.tenant_id, event.event_id),
        content: event.content_hash(),
        time: (event.time_from != TimeFrom::Received).then(|| event.time.micros()),
    }
}

fn identity(tenant: &TenantId, event_id: Uuid) -> u128 {
    let mut bytes = [0; 16 + 63];
    let name = tenant.as_str().as_bytes();
    let end = 16 + name.len().min(63);
    bytes[..16].copy_from_slice(event_id.as_bytes());
    bytes[16..end].copy_from_slice(&name[..end - 16]);
    xxh3_128(&bytes[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_id_of_two_tenants_is_two_identities() {
        let id = Uuid::from_u128(7);
        let tenant = |name| TenantId::parse(name).unwrap();
        assert_ne!(identity(&tenant("a"), id), identity(&tenant("b"), id));
        assert_eq!(identity(&tenant("a"), id), identity(&tenant("a"), id));
    }
}
