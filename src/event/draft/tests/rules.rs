//! Rules that need more than one event, or more of it than an example should hold.

use proptest::prelude::*;

use super::*;
use crate::clock::FixedClock;
use crate::event::{TimeFrom, schema};

const V4: &str = "8f14e45f-ceea-467f-9a36-dcd2a5b1c0de";

fn received_at() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap().0
}

/// Where items come from in these tests: any door, any tenant.
struct Door {
    tenant: TenantId,
    clock: FixedClock,
    source_id: Option<&'static str>,
    client_id: Option<&'static str>,
    place: Option<&'static str>,
    actor: Option<&'static str>,
}

impl Door {
    fn of(tenant: &str) -> Self {
        Self {
            tenant: TenantId::parse(tenant).unwrap(),
            clock: FixedClock::at(received_at()),
            source_id: None,
            client_id: None,
            place: None,
            actor: None,
        }
    }

    fn intake(&self) -> Intake<'_> {
        Intake {
            tenant: &self.tenant,
            received_at: self.clock.now(),
            source_kind: "http",
            source_id: self.source_id,
            client_id: self.client_id,
            fallback: self
                .place
                .map_or(FallbackId::Mint(&self.clock), FallbackId::Derived),
            actor: self.actor,
        }
    }

    fn takes(&self, body: &str) -> Accepted {
        self.accept(body)
            .unwrap_or_else(|refusal| panic!("{body}: {refusal}"))
    }

    fn accept(&self, body: &str) -> Result<Accepted, Refusal> {
        accept(body.as_bytes(), &self.intake())
    }

    fn problems(&self, body: &str) -> Vec<String> {
        match self.accept(body) {
            Err(Refusal::Invalid(problems)) => problems.into_iter().map(|problem| problem.field).collect(),
            other => panic!("{body}: {other:?}"),
        }
    }
}

fn same_content(a: &Event, b: &Event) -> bool {
    a.content().agrees_with(&b.content())
}

fn cloudevent(source: &str, id: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"{source}","type":"order.placed"}}"#)
}

#[test]
fn one_id_in_two_tenants_or_two_sources_makes_two_events() {
    let body = r#"{"event_id":"evt_17","action":"VIEW"}"#;
    let (a, b) = (
        Door::of("acme").takes(body).event,
        Door::of("globex").takes(body).event,
    );
    assert_ne!(a.event_id, b.event_id);
    assert_eq!(
        (a.source_event_id.as_deref(), b.source_event_id.as_deref()),
        (Some("evt_17"), Some("evt_17"))
    );

    let inbox = Door {
        source_id: Some("src_1"),
        ..Door::of("acme")
    };
    assert_ne!(inbox.takes(body).event.event_id, a.event_id);

    // A UUID is kept from a plain client, whose ids have no source, but never from a CloudEvent.
    let door = Door::of("acme");
    let ids = ["/a", "/b"].map(|source| door.takes(&cloudevent(source, V4)).event);
    assert_ne!(ids[0].event_id, ids[1].event_id);
    assert!(
        ids.iter()
            .all(|event| event.source_event_id.as_deref() == Some(V4))
    );
    assert_eq!(door.takes(&cloudevent("/a", V4)).event.event_id, ids[0].event_id);
    assert_eq!(
        door.takes(&format!(r#"{{"event_id":"{V4}","action":"VIEW"}}"#))
            .event
            .event_id
            .to_string(),
        V4
    );
}

#[test]
fn the_idempotency_key_serves_where_the_body_has_no_id() {
    let door = Door {
        client_id: Some("order-17"),
        ..Door::of("acme")
    };
    let (first, second) = (
        door.takes(r#"{"action":"VIEW"}"#),
        door.takes(r#"{"action":"VIEW"}"#),
    );
    assert_eq!(
        (first.event.event_id, first.id),
        (second.event.event_id, IdOrigin::Derived)
    );
    assert_eq!(first.event.source_event_id.as_deref(), Some("order-17"));
    assert_eq!(
        door.takes(&format!(r#"{{"event_id":"{V4}","action":"VIEW"}}"#))
            .event
            .event_id
            .to_string(),
        V4
    );
    let door = Door {
        client_id: Some(V4),
        ..Door::of("acme")
    };
    assert_eq!(door.takes(r#"{"action":"VIEW"}"#).event.event_id.to_string(), V4);
}

#[test]
fn without_any_id_one_is_minted_or_taken_from_the_place() {
    let door = Door::of("acme");
    let (a, b) = (
        door.takes(r#"{"action":"VIEW"}"#),
        door.takes(r#"{"action":"VIEW"}"#),
    );
    assert_ne!(a.event.event_id, b.event.event_id);
    assert!(a.id == IdOrigin::Minted && a.event.event_id.get_version_num() == 7);
    let inbox = Door {
        place: Some("audit.inbox/0/17"),
        ..Door::of("acme")
    };
    let (a, b) = (
        inbox.takes(r#"{"action":"VIEW"}"#),
        inbox.takes(r#"{"action":"VIEW"}"#),
    );
    assert_eq!((a.event.event_id, a.id), (b.event.event_id, IdOrigin::Placed));
    assert_eq!(a.event.source_event_id, None);
}

#[test]
fn a_retry_without_a_time_equals_its_first_copy() {
    let door = Door::of("acme");
    let first = door
        .takes(r#"{"event_id":"e","action":"VIEW","details":{"a":1,"b":{"c":[1,2],"d":"x"}}}"#)
        .event;
    door.clock.advance(std::time::Duration::from_secs(3_600));
    let retry = door
        .takes(r#"{"event_id":"e","action":"VIEW","details":{"b":{"d":"\u0078","c":[1,2]},"a":1}}"#)
        .event;
    assert!(first.time < retry.time);
    assert!(same_content(&first, &retry));

    let with = |time: &str| {
        door.takes(&format!(r#"{{"event_id":"e","action":"VIEW","time":"{time}"}}"#))
            .event
    };
    let without = door.takes(r#"{"event_id":"e","action":"VIEW"}"#).event;
    assert!(same_content(
        &with("2026-11-20T10:00:00Z"),
        &with("2026-11-20T11:00:00+01:00")
    ));
    assert!(same_content(&with("2026-11-20T10:00:00Z"), &without));
    assert!(!same_content(
        &with("2026-11-20T10:00:00Z"),
        &with("2026-11-20T10:00:01Z")
    ));
}

#[test]
fn the_door_does_not_count_but_whatever_is_said_does() {
    let door = Door::of("acme");
    let base = r#"{"event_id":"e","action":"VIEW"}"#;
    let event = door.takes(base).event;
    let mut elsewhere = event.clone();
    elsewhere.source.kind = "kafka".into();
    elsewhere.source.id = Some("audit.inbox".into());
    elsewhere.received_at = received_at().plus(std::time::Duration::from_secs(9));
    assert!(same_content(&event, &elsewhere));
    for more in [
        r#""event_type":"x""#,
        r#""severity":"ERROR""#,
        r#""outcome":"success""#,
        r#""user_id":"u""#,
        r#""user_name":"u""#,
        r#""ip":"::1""#,
        r#""resource_id":"u""#,
        r#""message":"u""#,
        r#""before":1"#,
        r#""after":1"#,
        r#""details":{"a":1}"#,
        r#""request_id":"u""#,
        r#""trace_id":"u""#,
        r#""tags":["u"]"#,
    ] {
        let other = door
            .takes(&format!("{},{more}}}", base.trim_end_matches('}')))
            .event;
        assert!(!same_content(&event, &other), "{more}");
    }
    let details = |text: &str| {
        door.takes(&format!(r#"{{"event_id":"e","details":{text}}}"#))
            .event
            .content_hash()
    };
    assert_ne!(details(r#"{"a":1}"#), details(r#"{"a":1.0}"#));
    assert_ne!(details(r#"{"a":[1,2]}"#), details(r#"{"a":[2,1]}"#));
    assert_ne!(
        details(r#"{"a":{"b":1},"c":{}}"#),
        details(r#"{"a":{},"c":{"b":1}}"#)
    );
}

#[test]
fn who_may_only_write_as_itself_does() {
    let door = Door {
        actor: Some("alice"),
        ..Door::of("acme")
    };
    assert_eq!(
        door.takes(r#"{"action":"VIEW"}"#).event.actor.id.as_deref(),
        Some("alice")
    );
    assert_eq!(
        door.takes(r#"{"user_id":"alice"}"#).event.actor.id.as_deref(),
        Some("alice")
    );
    assert_eq!(
        door.problems(r#"{"action":"VIEW","actor":{"id":"bob"}}"#),
        ["/actor/id"]
    );
}

#[test]
fn size_and_number_of_keys_are_bounded() {
    let door = Door::of("acme");
    let sized = |bytes: usize| format!(r#"{{"details":{{"x":"{}"}}}}"#, "x".repeat(bytes - 20));
    assert_eq!(sized(100).len(), 100);
    assert!(door.accept(&sized(EVENT_BYTES_MAX)).is_ok());
    let (bytes, limit) = (EVENT_BYTES_MAX + 1, EVENT_BYTES_MAX);
    assert_eq!(
        door.accept(&sized(bytes)),
        Err(Refusal::TooLarge { bytes, limit })
    );
    let keyed = |keys: usize| {
        let members: Vec<_> = (1..keys).map(|i| format!(r#""k{i}":{i}"#)).collect();
        format!(r#"{{"details":{{{}}}}}"#, members.join(","))
    };
    assert!(door.accept(&keyed(1_000)).is_ok());
    assert_eq!(door.problems(&keyed(1_001)), ["/details/k1000"]);
    assert_eq!(
        door.problems(&format!(r#"{{"message":"{}"}}"#, "x".repeat(65_537))),
        ["/message"]
    );
    assert_eq!(
        door.problems(&format!(r#"{{"tags":[{}1]}}"#, r#""t","#.repeat(64))),
        ["/tags"]
    );
}

#[test]
fn no_type_that_is_made_up_is_one_of_the_servers_own() {
    let door = Door::of("acme");
    let type_of = |body: &str| door.takes(body).event.event_type;
    for body in [
        r#"{"action":"LOGIN","resource":{"type":"Trailhouse"}}"#,
        r#"{"action":"Trailhouse.login"}"#,
    ] {
        assert_eq!(type_of(body), UNSPECIFIED, "{body}");
    }
    assert_eq!(
        type_of(r#"{"event_type":"trailhouses.built"}"#),
        "trailhouses.built"
    );
}

#[test]
fn an_answer_is_not_much_larger_than_the_question() {
    let door = Door::of("acme");
    let key = "k".repeat(100_000);
    let body = format!(r#"{{"{key}":["{}"]}}"#, r"\u0000".repeat(20_000));
    let fields = door.problems(&body);
    assert_eq!(fields.len(), 32);
    assert!(
        fields
            .iter()
            .all(|field| field.len() < 1_100 && field.starts_with("/kk"))
    );
}

#[test]
fn a_cloudevent_is_the_same_in_both_modes() {
    let door = Door::of("acme");
    let structured = r#"{"specversion":"1.0","id":"1","source":"/a","type":"t","subject":"s","data":{"user_id":"u","x":1}}"#;
    let headers: [(&str, &[u8]); 6] = [
        ("CE-SpecVersion", b"1.0"),
        ("ce-id", b"1"),
        ("ce-source", b"/a"),
        ("ce-type", b"t"),
        ("ce-subject", b"s"),
        ("host", b"example.com"),
    ];
    let json = Some("application/json; charset=utf-8");
    let binary =
        accept_cloudevent_binary(&headers, json, br#"{"user_id":"u","x":1}"#, &door.intake()).unwrap();
    assert_eq!(binary, door.takes(structured));
}

#[test]
fn an_avro_event_goes_through_the_same_door() {
    let door = Door {
        place: Some("audit.inbox/0/1"),
        ..Door::of("acme")
    };
    let posted = format!(
        r#"{{"event_id":"{V4}","time":"2026-11-20T10:00:00+01:00","event_type":"t","actor":{{"id":"u","ip":"::1"}},
            "before":{{"a":1}},"details":{{"b":[1.0]}},"tags":["x"]}}"#
    );
    let event = door.takes(&posted).event;
    let datum = |event: &Event| {
        let mut bytes = Vec::new();
        schema::encode(event, &mut bytes);
        bytes
    };
    assert_eq!(accept_datum(&datum(&event), &door.intake()).unwrap().event, event);
    let stranger = Event {
        tenant_id: TenantId::parse("globex").unwrap(),
        ..event.clone()
    };
    assert!(matches!(
        accept_datum(&datum(&stranger), &door.intake()),
        Err(Refusal::OtherTenant { .. })
    ));
    let late = Event {
        time: Timestamp::from_micros(-1),
        time_from: TimeFrom::Client,
        ..event
    };
    assert!(matches!(
        accept_datum(&datum(&late), &door.intake()),
        Err(Refusal::Invalid(_))
    ));
    assert!(matches!(
        accept_datum(b"nonsense", &door.intake()),
        Err(Refusal::Invalid(_))
    ));
}

proptest! {
    #[test]
    fn nothing_panics_and_what_is_taken_survives_the_log(
        keys in proptest::collection::vec(("(event_id|time|user_id|actor|details|tags|ip|before|x|specversion|id|source|type|data)",
            prop_oneof![
                Just("null".to_owned()), Just("1795166130".to_owned()), Just(r#""2026-11-20""#.to_owned()), Just("{}".to_owned()),
                Just(r#"{"id":"a","x":[1]}"#.to_owned()), Just(r#"["a"]"#.to_owned()), Just(r#""::1""#.to_owned()), Just(r#""1.0""#.to_owned()),
                any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
            ]), 0..6),
    ) {
        let members: Vec<_> = keys.iter().map(|(key, value)| format!(r#""{key}" : {value}"#)).collect();
        if let Ok(accepted) = Door::of("acme").accept(&format!("{{{}}}", members.join(" , "))) {
            let mut bytes = Vec::new();
            schema::encode(&accepted.event, &mut bytes);
            prop_assert_eq!(schema::decode(&bytes).unwrap(), accepted.event);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_taken(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let door = Door::of("acme");
        let _ = accept(&bytes, &door.intake());
        let headers: [(&str, &[u8]); 2] = [("ce-id", &bytes), ("ce_source", &bytes)];
        let _ = accept_cloudevent_binary(&headers, None, &bytes, &door.intake());
        let _ = accept_datum(&bytes, &door.intake());
    }
}
