//! One filter language, two sides: what a search finds in the table is what the same filter says of the same events in
//! memory.

use std::collections::BTreeSet;

use confique::Config as _;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use trailhouse::event::Event;
use trailhouse::log::decode::Decoder;
use trailhouse::log::{Config, Log, topics};
use trailhouse::query::parse;
use uuid::Uuid;

use crate::support::{App, Caller};

const EVENTS: usize = 400;
const FILTERS: usize = 300;

/// Texts that meet one another often, and what is odd about texts.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "alpha",
        "Alpha",
        "beta gamma",
        "g-7",
        "été",
        "Été",
        "x@y.example",
        "a.b",
        "100%",
        "it's",
        "\"quoted\"",
        "back\\slash",
        "tab\tbed",
        "1",
        "-2.5",
        "1e3",
        "007",
        "12",
        "0.1",
        "1.",
        "null",
        "true",
        "日本",
        "“alpha” — béta…gamma",
        "BÉTA\u{a0}Straße",
        "ΟΔΟΣ İs e\u{301}t",
        "日本語。日本",
        "_",
        "alpha beta",
        "gamma-beta",
        "2026-05-06",
    ];
    prop::sample::select(words.map(str::to_owned).to_vec())
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => word().prop_map(Value::from),
        2 => (-3..4i64).prop_map(Value::from),
        1 => prop::sample::select(vec![0.1, -2.5, 12.0, 1000.0]).prop_map(Value::from),
        1 => prop::sample::select(vec![json!(null), json!(true), json!([]), json!({}), json!("")]),
    ]
}

fn details() -> impl Strategy<Value = Value> {
    let list = prop::collection::vec(
        prop_oneof![leaf(), leaf().prop_map(|leaf| json!({"d": leaf}))],
        1..4,
    );
    (leaf(), list, leaf(), leaf(), prop::bits::u8::ANY).prop_map(|(a, list, odd, dotted, which)| {
        let mut all = serde_json::Map::new();
        let members = [
            ("a", a),
            ("b", json!({"c": list})),
            ("k[0]", odd),
            ("e.f", dotted),
        ];
        for (n, (name, value)) in members.into_iter().enumerate() {
            if which & (1 << n) != 0 {
                all.insert(name.to_owned(), value);
            }
        }
        Value::Object(all)
    })
}

fn event() -> impl Strategy<Value = Value> {
    let some = || prop::option::of(word());
    let ip = prop::option::of(prop::sample::select(vec![
        "10.0.0.1",
        "10.0.1.1",
        "11.0.0.1",
        "2001:db8::1",
        "::1",
    ]));
    let severity = prop::sample::select(vec!["INFO", "WARNING", "ERROR", "CRITICAL"]);
    let outcome = prop::sample::select(vec!["success", "failure", "unknown"]);
    let tags = prop::collection::vec(word(), 0..3);
    let texts = (some(), some(), some(), some());
    (texts, ip, severity, outcome, tags, details(), 0..48i64).prop_map(
        |((actor, action, resource, message), ip, severity, outcome, tags, details, hour)| {
            json!({
                "event_type": action.clone().map_or("thing.done".to_owned(), |action| format!("thing.{}", action.len())),
                "time": 1_767_225_600 + 3_600 * hour,
                "actor": {"id": actor, "ip": ip},
                "action": action, "resource": {"id": resource}, "message": message,
                "severity": severity, "outcome": outcome, "tags": tags, "details": details,
            })
        },
    )
}

/// Parameters that a search understands, or not: those that it does not are left out.
fn filter() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = [
        "user_id",
        "action",
        "resource_id",
        "tag",
        "event_type",
        "user_id[prefix]",
        "action[prefix]",
        "details.a",
        "details.b.c",
        "details.b.c.d",
        r"details.k\[0\]",
        r"details.e\.f",
        "details.e.f",
        "details.a[gt]",
        "details.a[gte]",
        "details.b.c[lt]",
        "details.b.c.d[lte]",
        "details.a[prefix]",
        "details.b.c[prefix]",
        "details.nowhere",
    ];
    let texts = (
        prop::sample::select(names.to_vec()),
        prop_oneof![4 => word(), 1 => Just(String::new())],
    );
    let others = prop::sample::select(vec![
        ("ip", "10.0.0.0/16"),
        ("ip", "10.0.0.1"),
        ("ip", "::/0"),
        ("ip", "::/64"),
        ("ip", "::"),
        ("ip", "0.0.0.0/0"),
        ("ip", "2001:db8::/32"),
        ("ip", ""),
        ("severity", "ERROR"),
        ("min_severity", "WARNING"),
        ("outcome", "failure"),
        ("from", "2026-01-01T12:00:00Z"),
        ("to", "2026-01-02T01:00:00Z"),
        ("received_from", "2026-01-01"),
        ("received_to", "2026-01-01"),
        ("include", "system"),
    ]);
    let one = prop_oneof![
        3 => texts.prop_map(|(name, value)| (name.to_owned(), value)),
        1 => others.prop_map(|(name, value)| (name.to_owned(), value.to_owned())),
        1 => query().prop_map(|q| ("q".to_owned(), q)),
    ];
    prop::collection::vec((one, prop::bool::weighted(0.3)), 1..4).prop_map(|all| {
        let negated = |((name, value), not): ((String, String), bool)| {
            let may = ![
                "min_severity",
                "from",
                "to",
                "received_from",
                "received_to",
                "include",
                "q",
            ]
            .contains(&name.as_str());
            (if not && may { format!("{name}!") } else { name }, value)
        };
        all.into_iter().map(negated).collect()
    })
}

fn query() -> impl Strategy<Value = String> {
    let term = (word(), any::<bool>(), any::<bool>()).prop_map(|(word, quoted, not)| {
        let word = word.replace('"', "");
        let word = if quoted { format!("\"{word}\"") } else { word };
        format!("{}{word}", if not { "-" } else { "" })
    });
    prop::collection::vec(term, 1..4).prop_flat_map(|terms| {
        prop::sample::select(vec![" ", " OR "]).prop_map(move |between| terms.join(between))
    })
}

/// The events as they stand in the log.
async fn logged(app: &App, acme: &Caller) -> Vec<Event> {
    let config = Config {
        brokers: app.at().kafka,
        prefix: app.topic(""),
        ..Config::builder().load().unwrap()
    };
    let log = Log::new(&config, "story").unwrap();
    let decoder = Decoder::new(None);
    let mut events = Vec::new();
    for partition in 0..log.partitions(topics::EVENTS).await.unwrap().unwrap() {
        let (mut at, end) = log.bounds(topics::EVENTS, partition).await.unwrap();
        let mut tail = log.tail(topics::EVENTS, partition, at).unwrap();
        while at < end {
            for record in tail.next().await.unwrap() {
                at = record.offset + 1;
                events.push(decoder.decode(&record).await.unwrap().event);
            }
        }
    }
    // The server's own come and go beside them.
    events.retain(|event| event.tenant_id.as_str() == acme.tenant && event.event_type.starts_with("thing."));
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_the_events_that_match_its_filter_in_memory() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("matching").await;
    let mut runner = TestRunner::deterministic();
    let mut draw = |strategy: BoxedStrategy<Value>| strategy.new_tree(&mut runner).unwrap().current();
    let events: Vec<Value> = (0..EVENTS).map(|_| draw(event().boxed())).collect();
    let taken = acme
        .post("/api/v1/logs/bulk?wait=indexed", &json!(events))
        .await
        .expect(200);
    assert_eq!(taken["accepted"], EVENTS);
    let events = logged(&app, &acme).await;
    assert_eq!(events.len(), EVENTS);

    let (mut compared, mut found_some) = (0, 0);
    for _ in 0..FILTERS {
        let params = filter().new_tree(&mut runner).unwrap().current();
        let Ok(search) = parse(&params) else { continue };
        let expected: BTreeSet<Uuid> = events
            .iter()
            .filter(|event| search.filter.matches(event))
            .map(|event| event.event_id)
            .collect();
        let mut asked: Vec<(&str, &str)> = params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        asked.push(("limit", "1000"));
        let found: BTreeSet<Uuid> = acme
            .found(&asked)
            .await
            .iter()
            .filter(|event| event["event_type"].as_str().unwrap().starts_with("thing."))
            .map(|event| event["event_id"].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(found, expected, "{params:?}");
        compared += 1;
        found_some += usize::from(!found.is_empty() && found.len() < EVENTS);
    }
    // Filters that find nothing or everything show little.
    assert!(
        compared > FILTERS / 2 && found_some > FILTERS / 4,
        "{found_some} of {compared}"
    );
}
