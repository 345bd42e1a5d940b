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

fn any_rank() -> impl Strategy<Value = Rank> {
    let number = prop_oneof![Just(1), Just(NUMBER_MAX), 1..=NUMBER_MAX];
    (any::<bool>(), number).prop_map(|(redacted, number)| Rank { redacted, number })
}

fn any_offset() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(OFFSET_MAX), 0..=OFFSET_MAX]
}

proptest! {
    /// Versions are ordered as ranks are, and of one rank the first in the log stands on top; all of it can be read back.
    #[test]
    fn versions_are_ranks_and_places(one in any_rank(), other in any_rank(), a in any_offset(), b in any_offset()) {
        let version = version_of(one, a);
        let order = one.cmp(&other).then(b.cmp(&a));
        prop_assert_eq!(version.cmp(&version_of(other, b)), order);
        prop_assert_eq!(version >= REDACTED_VERSION, one.redacted);
        prop_assert_eq!(revision_of(version), one.number);
        // As the column `log_offset` has it.
        prop_assert_eq!(OFFSET_MAX - (version & OFFSET_MAX), a);
        prop_assert!(version > version_at(b) && revision_of(version_at(b)) == 0);
        prop_assert_eq!(version_at(a).cmp(&version_at(b)), b.cmp(&a));
    }
}
