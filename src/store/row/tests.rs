//! Events go into rows and come back.

use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::event::{Outcome, Severity};

fn some_text() -> impl Strategy<Value = Option<String>> {
    option::of("[a-zé%'\" -]{1,8}")
}

fn some_json() -> impl Strategy<Value = Option<Json>> {
    option::of(prop_oneof![
        Just("{}"),
        Just(r#"{"a":{"b":[1,"x"]},"n":1.10}"#),
        Just(r#"{"":"","k.e":[{}],"é":null}"#),
    ])
    .prop_map(|text| text.map(|text| Json::from_compact(text.to_owned())))
}

fn some_raw() -> impl Strategy<Value = Option<Raw>> {
    option::of((prop::collection::vec(any::<u8>(), 1..20), any::<bool>())).prop_map(|raw| {
        raw.map(|(bytes, whole)| Raw {
            sha256: if whole {
                Sha256::digest(&bytes).into()
            } else {
                [7; 32]
            },
            redacted: if whole {
                Vec::new()
            } else {
                vec!["/password".to_owned()]
            },
            bytes,
        })
    })
}

prop_compose! {
    fn any_event()(
        texts in prop::collection::vec(some_text(), 16),
        jsons in prop::collection::vec(some_json(), 4),
        tags in prop::collection::vec("[a-z]{0,3}", 0..3),
        raw in some_raw(),
        ip in option::of(prop_oneof![
            any::<u32>().prop_map(|ip| IpAddr::V4(ip.into())),
            (1u128 << 64..).prop_map(|ip| IpAddr::V6(ip.into())),
        ]),
        (time, received, time_offset) in (0..4_000_000_000_000_000i64, any::<i64>(), option::of(-900i16..900)),
        (id, severity, outcome, from) in (any::<u128>(), 0..4usize, 0..3usize, 0..3i8),
    ) -> Event {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().flatten();
        let mut jsons = jsons.into_iter();
        let mut json = || jsons.next().flatten();
        Event {
            event_id: Uuid::from_u128(id),
            source_event_id: text(),
            tenant_id: TenantId::default_tenant(),
            time: Timestamp::from_micros(time),
            time_offset,
            time_from: time_from(from).unwrap(),
            received_at: Timestamp::from_micros(received),
            event_type: text().unwrap_or_default(),
            action: text(),
            severity: Severity::ALL[severity],
            outcome: Outcome::ALL[outcome],
            actor: Actor {
                id: text(), kind: text(), name: text(), email: text(), session_id: text(), ip, user_agent: text(),
            },
            resource: Resource { kind: text(), id: text(), name: text() },
            message: text(),
            before: json(),
            after: json(),
            details: json(),
            request_id: text(),
            trace_id: text(),
            tags,
            source: Source { kind: "http".to_owned(), id: text(), provenance: json() },
            raw,
            revision: 0,
        }
    }
}

proptest! {
    #[test]
    fn an_event_comes_back_from_its_row(event in any_event()) {
        let row = EventRow::from_event(&event, Uuid::nil(), 3, version_at(9));
        prop_assert_eq!(row.clone().into_event(), Ok(event.clone()));
    }
}

#[test]
fn versions_fall_as_offsets_rise_and_replacements_stand_above() {
    assert!(version_at(0) > version_at(1));
    let ranked = [
        version_at(OFFSET_MAX),
        version_at(0),
        version_of(1, OFFSET_MAX),
        version_of(1, 0),
        version_of(2, 7),
        version_of(crate::event::revision::NUMBER_MAX, 0),
    ];
    assert!(ranked.is_sorted() && ranked.windows(2).all(|two| two[0] < two[1]));
    assert_eq!(ranked.map(revision_of), [0, 0, 1, 1, 2, (1 << 19) - 1]);
}
