//! From a record to an event and its print: pure but for schemas the registry knows and we don't.

use std::sync::Arc;

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::framing::{Framed, unframe};
use super::registry::Registry;
use super::seen::Print;
use super::{LogError, Record};
use crate::clock::Timestamp;
use crate::event::revision::{HEADER, History, Rank};
use crate::event::{Event, TenantId, schema};

/// What a record says: an event, as it was taken or as a revision leaves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The event.
    pub event: Event,
    /// Where it is a revision: what was changed, this time and before.
    pub history: Option<Box<History>>,
}

impl Decoded {
    /// What a record says by its bytes alone, whatever a registry knows of its schema: for one that is known to be ours.
    pub fn of(record: &Record) -> Result<Self, String> {
        Self::with_schema(record).map(|(decoded, _)| decoded)
    }

    /// The same, and the id under which a registry must know the schema.
    fn with_schema(record: &Record) -> Result<(Self, Option<u32>), String> {
        let (mut event, schema) = read(&record.payload)?;
        let history = history(record)?;
        event.revision = history.as_ref().map_or(0, |history| history.number());
        Ok((Self { event, history }, schema))
    }

    /// What it counts among the records of its event.
    pub fn rank(&self) -> Rank {
        self.history
            .as_ref()
            .map_or(Rank::default(), |history| history.rank())
    }

    /// What the seen window needs to know of it. A revision is no copy of the event that it revises, but one of itself
    /// when it was appended twice.
    pub fn print(&self) -> Print {
        let content = self.event.content();
        let revision = self.history.as_ref().and_then(|history| history.last());
        Print {
            identity: identity(
                &self.event.tenant_id,
                self.event.event_id,
                revision.map(|entry| entry.id),
            ),
            content: content.hash,
            time: content.stated.map(Timestamp::micros),
        }
    }
}

/// Reads the records of `audit.events`.
#[derive(Clone)]
pub struct Decoder {
    registry: Option<Arc<Registry>>,
}

/// Why a record gives no event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It never will: its bytes are no event, whatever a registry says.
    #[error("{0}")]
    Unreadable(String),
    /// It looks like an event, and the registry can't confirm it now: it is away, not set, or lacks the schema.
    #[error(transparent)]
    Later(LogError),
}

impl Decoder {
    /// A decoder; without a registry it reads single-object encoding only.
    pub fn new(registry: Option<Arc<Registry>>) -> Self {
        Self { registry }
    }

    /// The event of a record. What is unreadable is so by its bytes alone, so that every reader, whatever its
    /// settings, comes to the same verdict.
    pub async fn decode(&self, record: &Record) -> Result<Decoded, DecodeError> {
        let (decoded, schema) = Decoded::with_schema(record).map_err(DecodeError::Unreadable)?;
        if let Some(id) = schema {
            self.check_schema(id).await.map_err(DecodeError::Later)?;
        }
        Ok(decoded)
    }

    /// Only our own schema is ever written to `audit.events`, under whatever id the registry gave it.
    async fn check_schema(&self, id: u32) -> Result<(), LogError> {
        let Some(registry) = &self.registry else {
            return Err(LogError::Misconfigured(format!(
                "events name schema {id} of a registry, and log.schema_registry is not set: set it to the registry they were written with"
            )));
        };
        let found = match registry.schema(id).await {
            Ok(found) => found,
            Err(LogError::Refused(why)) => {
                return Err(LogError::Misconfigured(format!(
                    "events name schema {id}, which the registry at log.schema_registry can't give: {why}; restore it there"
                )));
            }
            Err(error) => return Err(error),
        };
        let print = found.fingerprint::<apache_avro::rabin::Rabin>();
        if print.bytes == schema::fingerprint().to_le_bytes() {
            return Ok(());
        }
        registry.forget(id);
        Err(LogError::Misconfigured(format!(
            "events name schema {id}, which is another one in the registry at log.schema_registry: it is not the registry they were written with"
        )))
    }
}

/// The event, and the id under which a registry must know its schema.
fn read(payload: &[u8]) -> Result<(Event, Option<u32>), String> {
    let (datum, id) = match unframe(payload) {
        Framed::SingleObject(fingerprint, datum) if fingerprint == schema::fingerprint() => (datum, None),
        Framed::SingleObject(fingerprint, _) => {
            return Err(format!("schema {fingerprint:016x} is none of ours"));
        }
        Framed::Confluent(id, datum) => (datum, Some(id)),
        Framed::Bare(_) => return Err("the record is no framed Avro".into()),
    };
    let event = schema::decode(datum).map_err(|error| error.to_string())?;
    Ok((event, id))
}

/// The history that a revision carries.
fn history(record: &Record) -> Result<Option<Box<History>>, String> {
    let Some(header) = record.header(HEADER) else {
        return Ok(None);
    };
    let history = std::str::from_utf8(header).ok().and_then(History::parse);
    let strange = || format!("the header `{HEADER}` is no history of an event");
    history.map(|history| Some(Box::new(history))).ok_or_else(strange)
}

fn identity(tenant: &TenantId, event_id: Uuid, revision: Option<Uuid>) -> u128 {
    let mut bytes = [0; 16 + 63 + 17];
    let name = tenant.as_str().as_bytes();
    let end = 16 + name.len().min(63);
    bytes[..16].copy_from_slice(event_id.as_bytes());
    bytes[16..end].copy_from_slice(&name[..end - 16]);
    let Some(revision) = revision else {
        return xxh3_128(&bytes[..end]);
    };
    // Behind a zero, which no name has.
    bytes[end + 1..end + 17].copy_from_slice(revision.as_bytes());
    xxh3_128(&bytes[..end + 17])
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::routing::get;
    use axum::{Json, Router};
    use confique::Config as _;
    use serde_json::json;

    use super::*;
    use crate::event::TimeFrom;
    use crate::log::Config;
    use crate::log::framing::Framing;

    fn record(framing: Framing, cut: usize) -> Record {
        let mut payload = Vec::new();
        framing.begin(&mut payload);
        schema::encode(&Event::sample(1), &mut payload);
        payload.truncate(payload.len() - cut);
        Record {
            topic: "audit.events".into(),
            partition: 0,
            offset: 0,
            appended_at: Timestamp::from_micros(0),
            key: Vec::new(),
            payload,
            headers: Vec::new(),
        }
    }

    #[tokio::test]
    async fn an_event_is_not_unreadable_because_a_registry_is_missing() {
        let decoder = Decoder::new(None);
        let ours = Framing::SingleObject(schema::fingerprint());
        assert!(decoder.decode(&record(ours, 0)).await.is_ok());
        let why = decoder
            .decode(&record(Framing::Confluent(3), 0))
            .await
            .unwrap_err();
        assert!(
            matches!(why, DecodeError::Later(LogError::Misconfigured(_))),
            "{why}"
        );
        assert!(why.to_string().contains("log.schema_registry"), "{why}");
        for strange in [
            record(ours, 1),
            record(Framing::SingleObject(7), 0),
            record(Framing::Confluent(3), 1),
        ] {
            let why = decoder.decode(&strange).await.unwrap_err();
            assert!(matches!(why, DecodeError::Unreadable(_)), "{why}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_gave_a_wrong_schema_is_asked_again() {
        let answers = Arc::new(Mutex::new(r#""string""#.to_owned()));
        let answer = {
            let answers = answers.clone();
            move || async move { Json(json!({"schema": *answers.lock().unwrap()})) }
        };
        let routes = Router::new().route("/schemas/ids/3", get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config {
            schema_registry: format!("http://{}", listener.local_addr().unwrap()),
            ..Config::builder().load().unwrap()
        };
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let decoder = Decoder::new(Registry::new(&config).unwrap().map(Arc::new));
        let record = record(Framing::Confluent(3), 0);

        let why = decoder.decode(&record).await.unwrap_err();
        assert!(
            matches!(why, DecodeError::Later(LogError::Misconfigured(_))),
            "{why}"
        );
        *answers.lock().unwrap() = schema::SCHEMA_JSON.to_owned();
        assert!(decoder.decode(&record).await.is_ok());
        // The right one is asked for once.
        *answers.lock().unwrap() = r#""string""#.to_owned();
        assert!(decoder.decode(&record).await.is_ok());
    }

    #[test]
    fn a_time_counts_where_it_counts_at_the_door() {
        for time_from in [TimeFrom::Client, TimeFrom::Id, TimeFrom::Received] {
            let event = Event {
                time_from,
                ..Event::sample(1)
            };
            let content = event.content();
            let history = None;
            let print = Decoded { event, history }.print();
            assert_eq!(print.time, content.stated.map(Timestamp::micros));
            assert_eq!(print.time.is_some(), time_from == TimeFrom::Client);
        }
    }

    #[test]
    fn the_same_id_of_two_tenants_is_two_identities() {
        let id = Uuid::from_u128(7);
        let tenant = |name| TenantId::parse(name).unwrap();
        let of = |name, revision| identity(&tenant(name), id, revision);
        assert_ne!(of("a", None), of("b", None));
        assert_eq!(of("a", None), of("a", None));
        // And so are an event and each of its revisions.
        let revision = |n| Some(Uuid::from_u128(n));
        assert_ne!(of("a", None), of("a", revision(0)));
        assert_ne!(of("a", revision(1)), of("a", revision(0)));
        assert_eq!(of("a", revision(1)), of("a", revision(1)));
    }
}
