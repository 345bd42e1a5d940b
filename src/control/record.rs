//! Envelope to record and back: Avro (`schemas/control.v1.avsc`) in single-object encoding, under a MAC.
//!
//! The MAC is checked before a byte of the record is parsed, so that whoever can merely write to the broker can say
//! nothing at all to the fold. It covers the record's key and value and stands in the header `mac`, behind the name
//! of its master key: `<key id>.<base64url>`.

use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::{By, Command, Envelope};
use crate::clock::Timestamp;
use crate::crypto;
use crate::event::TenantId;
use crate::keyring::Keyring;

const MAC_PURPOSE: &str = "control mac";

/// A control record as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `kind/id`.
    pub key: Vec<u8>,
    /// The envelope.
    pub payload: Vec<u8>,
    /// The header `mac`; empty when there is none.
    pub mac: Vec<u8>,
}

/// Why a record of the topic counts for nothing. It is skipped and reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// Not written by an instance with our master keys.
    #[error("its MAC is missing or wrong")]
    Mac,
    /// Under a master key that this instance does not hold. Genuine or not, nobody can tell without that key.
    #[error("it is under master key {0:?}, which is not in this instance's keyring")]
    UnknownKey(String),
    /// Genuine, but this version of the program can't read it.
    #[error("this version of the program can't read it: {0}")]
    Unreadable(String),
    /// Genuine, but of another log under the same master key.
    #[error("it belongs to another log")]
    Foreign,
}

/// The envelope in the schema's own terms.
#[derive(Serialize, Deserialize)]
#[serde(rename = "ControlCommand")]
struct Wire {
    request_id: String,
    log_id: String,
    expected_version: i64,
    by: WireBy,
    at: i64,
    kind: String,
    id: String,
    command: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "By")]
struct WireBy {
    who: String,
    tenant: Option<String>,
    ip: Option<String>,
    request_id: Option<String>,
}

/// Writes an envelope under the active master key. It fails only on what Avro or JSON can't hold.
pub fn write(envelope: &Envelope, keyring: &Keyring) -> Result<Record, String> {
    let wire = to_wire(envelope)?;
    let key = format!("{}/{}", wire.kind, wire.id).into_bytes();
    let mut payload = format()?.header();
    GenericDatumWriter::builder(&format()?.schema)
        .build()
        .and_then(|writer| writer.write_ser(&mut payload, &wire))
        .map_err(|error| error.to_string())?;
    let mac = mac(keyring, keyring.active(), &key, &payload).ok_or("the keyring is empty")?;
    let mac = format!("{}.{}", keyring.active(), URL_SAFE_NO_PAD.encode(mac));
    Ok(Record {
        key,
        payload,
        mac: mac.into_bytes(),
    })
}

/// Reads a record whose MAC is right.
pub fn read(record: &Record, keyring: &Keyring) -> Result<Envelope, Skip> {
    check_mac(record, keyring)?;
    let wire = parse(&record.payload).map_err(Skip::Unreadable)?;
    if format!("{}/{}", wire.kind, wire.id).as_bytes() != record.key {
        return Err(Skip::Unreadable("key and value disagree".into()));
    }
    from_wire(wire).map_err(Skip::Unreadable)
}

fn check_mac(record: &Record, keyring: &Keyring) -> Result<(), Skip> {
    let header = std::str::from_utf8(&record.mac).map_err(|_| Skip::Mac)?;
    let (id, given) = header.split_once('.').ok_or(Skip::Mac)?;
    let given = URL_SAFE_NO_PAD.decode(given).map_err(|_| Skip::Mac)?;
    let right = mac(keyring, id, &record.key, &record.payload)
        .ok_or_else(|| Skip::UnknownKey(id.chars().take(32).collect()))?;
    if crypto::same(&right, &given) {
        Ok(())
    } else {
        Err(Skip::Mac)
    }
}

fn mac(keyring: &Keyring, id: &str, key: &[u8], payload: &[u8]) -> Option<[u8; 32]> {
    Some(crypto::mac(&keyring.derive(MAC_PURPOSE, id)?, &[key, payload]))
}

fn to_wire(envelope: &Envelope) -> Result<Wire, String> {
    Ok(Wire {
        request_id: envelope.request_id.to_string(),
        log_id: envelope.log_id.to_string(),
        expected_version: i64::try_from(envelope.expected_version).map_err(|error| error.to_string())?,
        by: WireBy {
            who: envelope.by.who.clone(),
            tenant: envelope.by.tenant.as_ref().map(ToString::to_string),
            ip: envelope.by.ip.as_ref().map(ToString::to_string),
            request_id: envelope.by.request_id.clone(),
        },
        at: envelope.at.micros(),
        kind: envelope.command.kind().to_string(),
        id: envelope.id.clone(),
        command: serde_json::to_string(&envelope.command).map_err(|error| error.to_string())?,
    })
}

fn from_wire(wire: Wire) -> Result<Envelope, String> {
    let uuid = |text: &str| Uuid::parse_str(text).map_err(|error| error.to_string());
    let tenant = wire
        .by
        .tenant
        .map(|name| TenantId::parse(&name).ok_or("not a tenant name"))
        .transpose()?;
    let ip = wire.by.ip.map(|ip| ip.parse().map_err(|_| "not an address"));
    let command: Command = serde_json::from_str(&wire.command).map_err(|error| error.to_string())?;
    if command.kind().as_str() != wire.kind {
        return Err("kind and command disagree".into());
    }
    Ok(Envelope {
        request_id: uuid(&wire.request_id)?,
        log_id: uuid(&wire.log_id)?,
        expected_version: u64::try_from(wire.expected_version).map_err(|error| error.to_string())?,
        by: By {
            who: wire.by.who,
            tenant,
            ip: ip.transpose()?,
            request_id: wire.by.request_id,
        },
        at: Timestamp::from_micros(wire.at),
        id: wire.id,
        command,
    })
}

fn parse(payload: &[u8]) -> Result<Wire, String> {
    let mut bytes = payload
        .strip_prefix(format()?.header().as_slice())
        .ok_or("another schema wrote it")?;
    GenericDatumReader::builder(&format()?.schema)
        .build()
        .and_then(|reader| reader.read_deser(&mut bytes))
        .map_err(|error| error.to_string())
}

/// The schema and its fingerprint.
struct Format {
    schema: Schema,
    fingerprint: Vec<u8>,
}

impl Format {
    /// What single-object encoding begins with.
    fn header(&self) -> Vec<u8> {
        [&[0xC3, 0x01], self.fingerprint.as_slice()].concat()
    }
}

fn format() -> Result<&'static Format, String> {
    static FORMAT: LazyLock<Result<Format, String>> = LazyLock::new(|| {
        let schema =
            Schema::parse_str(include_str!("../../schemas/control.v1.avsc")).map_err(|e| e.to_string())?;
        let fingerprint = schema.fingerprint::<Rabin>().bytes;
        Ok(Format { schema, fingerprint })
    });
    FORMAT.as_ref().map_err(Clone::clone)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            request_id: Uuid::from_u128(1),
            log_id: Uuid::from_u128(2),
            expected_version: 3,
            by: By {
                who: "ann".into(),
                tenant: Some(TenantId::default_tenant()),
                ip: Some([192, 0, 2, 7].into()),
                request_id: Some("r-1".into()),
            },
            at: Timestamp::from_millis(1_700_000_000_000),
            id: "u1".into(),
            command: Command::EndSessions,
        }
    }

    #[test]
    fn an_envelope_survives_the_log() {
        let keyring = Keyring::ephemeral();
        let record = write(&envelope(), &keyring).unwrap();
        assert_eq!(record.key, b"user/u1");
        assert_eq!(record.payload[..2], [0xC3, 0x01]);
        assert_eq!(read(&record, &keyring).unwrap(), envelope());
        let by_system = Envelope {
            by: By::system(),
            ..envelope()
        };
        assert_eq!(
            read(&write(&by_system, &keyring).unwrap(), &keyring).unwrap(),
            by_system
        );
    }

    #[test]
    fn without_our_master_key_nothing_is_said() {
        let (ours, theirs) = (Keyring::ephemeral(), Keyring::ephemeral());
        let record = write(&envelope(), &ours).unwrap();
        assert_eq!(
            read(&record, &theirs),
            Err(Skip::UnknownKey(ours.active().into()))
        );
        let unsigned = Record {
            mac: Vec::new(),
            ..record.clone()
        };
        assert_eq!(read(&unsigned, &ours), Err(Skip::Mac));
        let mut forged = write(&envelope(), &theirs).unwrap();
        forged.mac = String::from_utf8(forged.mac)
            .unwrap()
            .replace(theirs.active(), ours.active())
            .into();
        assert_eq!(read(&forged, &ours), Err(Skip::Mac));
    }

    #[test]
    fn a_record_cannot_be_moved_to_another_key() {
        let keyring = Keyring::ephemeral();
        let record = Record {
            key: b"user/u2".to_vec(),
            ..write(&envelope(), &keyring).unwrap()
        };
        assert_eq!(read(&record, &keyring), Err(Skip::Mac));
    }

    #[test]
    fn a_genuine_record_of_another_schema_is_reported_as_such() {
        let keyring = Keyring::ephemeral();
        let mut record = write(&envelope(), &keyring).unwrap();
        record.payload[3] ^= 1;
        let mac = mac(&keyring, keyring.active(), &record.key, &record.payload).unwrap();
        record.mac = format!("{}.{}", keyring.active(), URL_SAFE_NO_PAD.encode(mac)).into();
        assert!(matches!(read(&record, &keyring), Err(Skip::Unreadable(_))));
    }

    proptest! {
        #[test]
        fn one_changed_byte_anywhere_is_noticed(at: prop::sample::Index, by in 1u8..) {
            let keyring = Keyring::ephemeral();
            let mut record = write(&envelope(), &keyring).unwrap();
            let (key, payload) = (record.key.len(), record.payload.len());
            match at.index(key + payload + record.mac.len()) {
                i if i < key => record.key[i] ^= by,
                i if i < key + payload => record.payload[i - key] ^= by,
                i => record.mac[i - key - payload] ^= by,
            }
            prop_assert!(matches!(read(&record, &keyring), Err(Skip::Mac | Skip::UnknownKey(_))));
        }
    }
}
