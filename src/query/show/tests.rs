use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::event::view;

fn event(details: &Value) -> Event {
    let mut event = Event::sample(7);
    event.details = Some(Json::from_value(details));
    event
}

fn shown(event: &Event, fields: &str) -> Value {
    let fields = Fields::parse(&[fields.to_owned()]).unwrap();
    serde_json::from_str(&to_json(event, &fields).unwrap()).unwrap()
}

#[test]
fn chosen_fields_stand_where_they_always_do() {
    let details =
        json!({"amount": 5, "cart": {"items": [{"sku": "A", "n": 1}, {"sku": "B"}]}, "cartridge": true});
    let mut event = event(&details);
    event.actor.id = Some("ada".to_owned());
    for (fields, expected) in [
        (
            "event_type,actor.id",
            json!({"event_type": "sample", "actor": {"id": "ada"}}),
        ),
        ("actor.name", json!({"actor": {}})),
        ("details.amount", json!({"details": {"amount": 5}})),
        ("details.cart", json!({"details": {"cart": details["cart"]}})),
        (
            "details.cart.items.sku",
            json!({"details": {"cart": {"items": [{"sku": "A"}, {"sku": "B"}]}}}),
        ),
        ("details.nothing,message", json!({})),
        ("details,details.amount", json!({"details": details})),
        ("time,tags", json!({"time": "1970-01-01T00:00:00Z", "tags": []})),
    ] {
        assert_eq!(shown(&event, fields), expected, "{fields}");
    }
}

#[test]
fn a_row_that_nobody_here_wrote_is_an_error() {
    let event = Event::sample(1);
    let mut row = EventRow::from_event(&event, uuid::Uuid::nil(), 0, 0);
    row.severity = 77;
    assert_eq!(
        push_json(&row, &Fields::all(), &mut Vec::new())
            .unwrap_err()
            .column,
        "severity"
    );
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[a-z\"\\\\\u{1}\n é😀]{1,6}")
}

prop_compose! {
    fn any_event()(
        texts in prop::collection::vec(any_text(), 15),
        time in 0..LAST_MICROS, received in 0..LAST_MICROS / 1_000,
        offset in prop::option::of(-1_439i16..1_440),
        ip in prop::option::of(any::<IpAddr>()),
        tags in prop::collection::vec("[a-z\"]{1,4}", 0..3),
        details in prop::option::of(prop::collection::btree_map("[a-c.\\[\\]\\\\\"\n]{0,3}", prop_oneof![
            any::<i32>().prop_map(Value::from), ".{0,4}".prop_map(Value::from), Just(json!({"x": [1, {"y": "z"}], "e": {}})),
        ], 0..4)),
    ) -> Event {
        let mut texts = texts.into_iter();
        let mut event = Event::sample(3);
        for text in [
            &mut event.source_event_id, &mut event.action, &mut event.message, &mut event.request_id, &mut event.trace_id,
            &mut event.actor.id, &mut event.actor.kind, &mut event.actor.name, &mut event.actor.email,
            &mut event.actor.session_id, &mut event.actor.user_agent, &mut event.resource.kind, &mut event.resource.id,
            &mut event.resource.name, &mut event.source.id,
        ] {
            *text = texts.next().flatten();
        }
        event.time = Timestamp::from_micros(time);
        event.received_at = Timestamp::from_millis(received);
        event.time_offset = offset;
        event.actor.ip = ip.map(|ip| ip.to_canonical()).filter(|ip| *ip != std::net::Ipv6Addr::UNSPECIFIED);
        event.tags = tags;
        event.before = details.clone().map(|_| Json::from_value(&json!({"a": 1})));
        event.details = details.map(|details| Json::from_value(&Value::Object(details.into_iter().collect())));
        event
    }
}

proptest! {
    #[test]
    fn all_fields_are_the_same_bytes_as_a_page_has(event in any_event()) {
        let written = to_json(&event, &Fields::all()).unwrap();
        prop_assert_eq!(written, serde_json::to_string(&view::to_json(&event)).unwrap());
    }

    #[test]
    fn dates_are_written_as_ever(micros in 0..=LAST_MICROS) {
        for micros in [micros, micros / 1_000_000 * 1_000_000, micros % 4_000_000_000_000] {
            let mut out = Vec::new();
            push_date(&mut out, micros);
            prop_assert_eq!(String::from_utf8(out).unwrap(), Timestamp::from_micros(micros).to_string());
        }
    }
}
