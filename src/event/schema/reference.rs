//! The `apache-avro` crate as the reference for our own datum codec: equal in both directions, for any event.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use uuid::Uuid;

use super::{decode, encode, schema};
use crate::clock::Timestamp;
use crate::event::{Actor, Event, Json, Outcome, Raw, Resource, Severity, Source, TenantId, TimeFrom};

fn json() -> impl Strategy<Value = Json> {
    (any::<String>(), any::<i64>())
        .prop_map(|(text, number)| Json::from_value(&serde_json::json!({ "text": text, "n": [number] })))
}

prop_compose! {
    fn actor()(texts in vec(of(any::<String>()), 6), ip in of(any::<std::net::IpAddr>())) -> Actor {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap();
        Actor { id: next(), kind: next(), name: next(), email: next(), session_id: next(), user_agent: next(), ip }
    }
}

prop_compose! {
    fn raw()(bytes in vec(any::<u8>(), 0..40), sha256 in any::<[u8; 32]>(), redacted in vec(any::<String>(), 0..3)) -> Raw {
        Raw { bytes, sha256, redacted }
    }
}

prop_compose! {
    pub fn any_event()(
        id in any::<u128>(), numbers in any::<(i64, i64)>(), offset in of(any::<i16>()),
        choices in (0..3usize, 0..4usize, 0..3usize), event_type in any::<String>(),
        texts in vec(of(any::<String>()), 9), jsons in vec(of(json()), 4), actor in actor(),
        tags in vec(any::<String>(), 0..4), raw in of(raw()),
    ) -> Event {
        let (mut texts, mut jsons) = (texts.into_iter(), jsons.into_iter());
        let mut text = || texts.next().unwrap();
        let mut json = || jsons.next().unwrap();
        Event {
            event_id: Uuid::from_u128(id), source_event_id: text(), tenant_id: TenantId::parse("acme-1").unwrap(),
            time: Timestamp::from_micros(numbers.0), time_offset: offset,
            time_from: [TimeFrom::Client, TimeFrom::Id, TimeFrom::Received][choices.0],
            received_at: Timestamp::from_micros(numbers.1), event_type, action: text(),
            severity: Severity::ALL[choices.1], outcome: Outcome::ALL[choices.2], actor,
            resource: Resource { kind: text(), id: text(), name: text() }, message: text(),
            before: json(), after: json(), details: json(), request_id: text(), trace_id: text(), tags,
            source: Source { kind: "http".into(), id: text(), provenance: json() }, raw, revision: 0,
        }
    }
}

fn optional<T>(value: Option<T>, avro: impl FnOnce(T) -> Value) -> Value {
    match value {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(value) => Value::Union(1, Box::new(avro(value))),
    }
}

fn text(value: &Option<String>) -> Value {
    optional(value.clone(), Value::String)
}

fn json_text(value: &Option<Json>) -> Value {
    optional(value.as_ref().map(|json| json.as_str().to_owned()), Value::String)
}

fn record(fields: Vec<(&str, Value)>) -> Value {
    Value::Record(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn texts(values: &[String]) -> Value {
    Value::Array(values.iter().cloned().map(Value::String).collect())
}

fn as_avro(event: &Event) -> Value {
    let actor = &event.actor;
    let symbol = |index: usize, name: &str| Value::Enum(index as u32, name.to_owned());
    record(vec![
        ("event_id", Value::Uuid(event.event_id)),
        ("tenant_id", Value::String(event.tenant_id.to_string())),
        ("time", Value::TimestampMicros(event.time.micros())),
        (
            "time_offset",
            optional(event.time_offset, |offset| Value::Int(offset.into())),
        ),
        (
            "time_from",
            symbol(event.time_from as usize, event.time_from.as_str()),
        ),
        ("received_at", Value::TimestampMicros(event.received_at.micros())),
        ("event_type", Value::String(event.event_type.clone())),
        ("action", text(&event.action)),
        (
            "severity",
            symbol(event.severity as usize, event.severity.as_str()),
        ),
        ("outcome", symbol(event.outcome as usize, event.outcome.as_str())),
        (
            "actor",
            record(vec![
                ("id", text(&actor.id)),
                ("type", text(&actor.kind)),
                ("name", text(&actor.name)),
                ("email", text(&actor.email)),
                ("session_id", text(&actor.session_id)),
                ("ip", optional(actor.ip, |ip| Value::String(ip.to_string()))),
                ("user_agent", text(&actor.user_agent)),
            ]),
        ),
        (
            "resource",
            record(vec![
                ("type", text(&event.resource.kind)),
                ("id", text(&event.resource.id)),
                ("name", text(&event.resource.name)),
            ]),
        ),
        ("message", text(&event.message)),
        ("before", json_text(&event.before)),
        ("after", json_text(&event.after)),
        ("details", json_text(&event.details)),
        ("request_id", text(&event.request_id)),
        ("trace_id", text(&event.trace_id)),
        ("tags", texts(&event.tags)),
        ("source_event_id", text(&event.source_event_id)),
        (
            "source",
            record(vec![
                ("kind", Value::String(event.source.kind.clone())),
                ("id", text(&event.source.id)),
                ("provenance", json_text(&event.source.provenance)),
            ]),
        ),
        (
            "raw",
            optional(event.raw.as_ref(), |raw| {
                record(vec![
                    ("bytes", Value::Bytes(raw.bytes.clone())),
                    ("sha256", Value::Fixed(32, raw.sha256.to_vec())),
                    ("redacted", texts(&raw.redacted)),
                ])
            }),
        ),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn our_codec_and_the_reference_are_one(event in any_event()) {
        let schema = schema().unwrap();
        let mut ours = Vec::new();
        encode(&event, &mut ours);

        let theirs = GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(as_avro(&event)).unwrap();
        prop_assert_eq!(decode(&theirs).unwrap(), event.clone());

        let read = GenericDatumReader::builder(schema).build().unwrap().read_value(&mut ours.as_slice()).unwrap();
        prop_assert_eq!(read, as_avro(&event));
        prop_assert_eq!(decode(&ours).unwrap(), event);
    }

    #[test]
    fn cut_or_altered_bytes_never_panic(event in any_event(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        let at = cut.index(bytes.len());
        prop_assert!(decode(&bytes[..at]).is_err());
        bytes[at] = byte;
        let _ = decode(&bytes);
        bytes.push(0);
        prop_assert!(decode(&bytes).is_err() || at < bytes.len());
    }
}
