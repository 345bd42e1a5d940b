//! Producers that write to Kafka directly: whatever they write becomes an event or stands in `audit.rejected`.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use trailhouse::clock::Timestamp;
use trailhouse::event::draft::{FallbackId, Intake, accept};
use trailhouse::event::{TenantId, schema};
use trailhouse::log::framing::Framing;
use trailhouse::log::topics;

use crate::support::{App, unique, until, until_some};

/// An event as a producer with our schema writes it.
fn avro(tenant: &str, body: &Value) -> Vec<u8> {
    let tenant = TenantId::parse(tenant).unwrap();
    let intake = Intake {
        tenant: &tenant,
        received_at: Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap().0,
        source_kind: "kafka",
        source_id: None,
        client_id: None,
        fallback: FallbackId::Derived("nowhere"),
        actor: None,
    };
    let event = accept(body.to_string().as_bytes(), &intake).unwrap().event;
    let mut payload = Vec::new();
    Framing::SingleObject(schema::fingerprint()).begin(&mut payload);
    schema::encode(&event, &mut payload);
    payload
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_becomes_an_event_of_the_tenant_it_may_have() {
    let app = App::shared().await;
    let (own, a) = (app.operator().await, app.named_tenant("inbox-a").await);
    let mark = unique("form");
    let to_a = [("tenant", "inbox-a")];

    let json = json!({"event_id": format!("{mark}-json"), "event_type": mark, "user_id": "ada"});
    app.produce(topics::INBOX, b"any", json.to_string().as_bytes(), &[])
        .await;
    let structured = json!({"specversion": "1.0", "id": format!("{mark}-ce"), "source": "/s", "type": mark, "data": {"n": 1}});
    let headers = [to_a[0], ("content-type", "application/cloudevents+json")];
    app.produce(topics::INBOX, b"", structured.to_string().as_bytes(), &headers)
        .await;
    let id = format!("{mark}-ceb");
    let headers = [
        to_a[0],
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", "/s"),
        ("ce_type", &mark),
        ("content-type", "application/json"),
    ];
    app.produce(topics::INBOX, b"", br#"{"n": 2}"#, &headers).await;
    let event = json!({"event_id": format!("{mark}-avro"), "event_type": mark, "details": {"n": 3}});
    app.produce(topics::INBOX, b"", &avro("inbox-a", &event), &to_a)
        .await;
    let (partition, offset) = app
        .produce(
            topics::INBOX,
            b"",
            json!({"event_type": mark, "n": 4}).to_string().as_bytes(),
            &to_a,
        )
        .await;

    let seen = own.arrives(&format!("{mark}-json")).await;
    assert_eq!(
        (&seen["tenant_id"], &seen["source"]["kind"]),
        (&json!("default"), &json!("kafka"))
    );
    for (id, n) in [("ce", 1), ("ceb", 2), ("avro", 3)] {
        let seen = a.arrives(&format!("{mark}-{id}")).await;
        assert_eq!(
            (&seen["details"]["n"], &seen["tenant_id"]),
            (&json!(n), &json!("inbox-a")),
            "{seen}"
        );
    }
    let found = until_some("the record without an id is found", async || {
        let found = a.found(&[("event_type", &mark), ("details.n", "4")]).await;
        found.first().cloned()
    })
    .await;
    assert!(found["event_id"].is_string(), "{partition}/{offset}");
    assert_eq!(
        own.found(&[("event_type", &mark)]).await.len(),
        1,
        "nothing of inbox-a is in default"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_listed_with_the_reason() {
    let app = App::shared().await;
    app.named_tenant("inbox-b").await;
    let b = ("tenant", "inbox-b");
    let foreign = json!({"tenant_id": "inbox-a", "action": "VIEW"}).to_string();
    let impossible = json!({"time": "1815-06-18T11:00:00Z"}).to_string();
    let unknown_schema = [&[0xC3, 0x01][..], &[7; 8], b"datum"].concat();
    let cases: [(&[u8], &[(&str, &str)], &str); 8] = [
        (b"{\"a\": ", &[b], "invalid"),
        (b"\xff\xfe", &[b], "invalid"),
        (b"", &[b], "invalid"),
        (impossible.as_bytes(), &[b], "invalid"),
        (foreign.as_bytes(), &[b], "other_tenant"),
        (b"{\"a\": 1}", &[("tenant", "not-listed")], "other_tenant"),
        (&unknown_schema, &[b], "unreadable"),
        (&[0, 0, 0, 0, 9, 1, 2], &[b], "unreadable"),
    ];
    let mut expected = Vec::new();
    for (payload, headers, reason) in cases {
        let (partition, offset) = app.produce(topics::INBOX, b"k", payload, headers).await;
        expected.push((
            format!("audit.inbox/{partition}/{offset}"),
            reason,
            match std::str::from_utf8(payload) {
                Ok(text) => ("payload", text.to_owned()),
                Err(_) => ("payload_base64", STANDARD.encode(payload)),
            },
        ));
    }
    // One bad record stops nobody.
    let good = unique("good");
    app.produce(
        topics::INBOX,
        b"k",
        json!({"event_id": good}).to_string().as_bytes(),
        &[],
    )
    .await;
    app.operator().await.arrives(&good).await;

    let listed = until_some("all are in audit.rejected", async || {
        let listed = app.all_rejected().await;
        let of = |origin: &str| listed.iter().find(|record| record["origin"] == origin).cloned();
        expected
            .iter()
            .map(|(origin, ..)| of(origin))
            .collect::<Option<Vec<_>>>()
    })
    .await;
    for ((origin, reason, (name, payload)), record) in expected.iter().zip(listed) {
        assert_eq!(
            (&record["reason"], &record[*name]),
            (&json!(reason), &json!(payload)),
            "{origin}"
        );
        assert!(
            record["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
            "{record}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_the_topic_of_the_rejected_is_kept_cut_and_holds_up_nobody() {
    let app = App::shared().await;
    // As much as the topic takes only because the producer packs it well; and as much as fits without our headers.
    let packed = json!({"message": "x".repeat(3 << 20)}).to_string().into_bytes();
    let mut tight = Vec::new();
    while tight.len() < (2 << 20) - 300 {
        tight.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    let producer: FutureProducer = app
        .kafka_config()
        .set("acks", "all")
        .set("compression.type", "zstd")
        .set("message.max.bytes", (8 << 20).to_string())
        .create()
        .unwrap();
    let topic = app.topic(topics::INBOX);
    let mut origins = Vec::new();
    for payload in [&packed, &tight] {
        let record = FutureRecord::<(), _>::to(&topic).payload(payload);
        let sent = producer.send(record, std::time::Duration::from_secs(30)).await;
        let at = sent.expect("the inbox takes it");
        origins.push(format!("audit.inbox/{}/{}", at.partition, at.offset));
    }
    let good = unique("good");
    app.produce(
        topics::INBOX,
        b"k",
        json!({"event_id": good}).to_string().as_bytes(),
        &[],
    )
    .await;
    app.operator().await.arrives(&good).await;

    let listed = until_some("both are in audit.rejected", async || {
        let listed = app.all_rejected().await;
        let of = |origin: &String| listed.iter().find(|record| record["origin"] == **origin).cloned();
        origins.iter().map(of).collect::<Option<Vec<_>>>()
    })
    .await;
    for record in &listed {
        assert_eq!(record["reason"], "too_large");
    }
    let cut = &listed[0];
    assert_eq!(cut["cut"]["bytes"], packed.len(), "{}", cut["cut"]);
    assert_eq!(cut["cut"]["sha256"].as_str().map(str::len), Some(64));
    let kept = cut["payload"].as_str().unwrap();
    assert!(kept.len() < 100_000 && packed.starts_with(kept.as_bytes()));

    let ran = app
        .run(&[
            "rejected",
            "replay",
            "--offset",
            &cut["offset"].to_string(),
            "--limit",
            "1",
        ])
        .await;
    let (whole, said) = (packed.len().to_string(), &ran.out);
    assert!(
        !ran.ok && said.contains("0 records") && said.contains(&origins[0]) && said.contains(&whole),
        "{said}{}",
        ran.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_mid_way_makes_no_second_events_and_a_replay_takes_what_was_refused() {
    const RECORDS: usize = 3_000;
    let app = App::start_with(&[]).await;
    let own = app.operator().await;
    app.named_tenant("later").await;
    let refused = json!({"event_id": "refused-1", "user_id": "ada"}).to_string();
    app.produce(topics::INBOX, b"k", refused.as_bytes(), &[("tenant", "later")])
        .await;

    // No ids: each gets one from its place.
    let producer: FutureProducer = app.kafka_config().create().unwrap();
    let topic = app.topic(topics::INBOX);
    let bodies: Vec<String> = (0..RECORDS)
        .map(|n| json!({"event_type": "restart", "n": n}).to_string())
        .collect();
    let send = |body| {
        producer.send(
            FutureRecord::<(), _>::to(&topic).payload(body),
            std::time::Duration::from_secs(30),
        )
    };
    for sent in join_all(bodies.iter().map(send)).await {
        sent.expect("the log takes it");
    }
    let count = async || {
        let answer = own
            .search(&[("event_type", "restart"), ("count", "true"), ("limit", "1")])
            .await;
        if answer.status == 200 {
            answer.json()["count"].as_u64().unwrap()
        } else {
            0
        }
    };
    for _ in 0..2 {
        until("some have arrived", async || count().await > 0).await;
        app.kill9().await;
        app.start().await;
    }
    until("all have arrived", async || count().await >= RECORDS as u64).await;

    let ran = app.run(&["rejected", "list", "--reason", "other_tenant"]).await;
    assert_eq!(ran.out.lines().count(), 1, "{}{}", ran.out, ran.err);
    app.stop().await;
    app.set("TRAILHOUSE_GATE__ALLOW_TENANTS", "[\"later\"]");
    app.start().await;
    let ran = app.run(&["rejected", "replay", "--reason", "other_tenant"]).await;
    assert!(ran.ok && ran.out.contains("1 records"), "{}{}", ran.out, ran.err);
    let later = app.key("later", &["auditor"]).await;
    assert_eq!(later.arrives("refused-1").await["actor"]["id"], "ada");

    let numbers = app
        .sql("SELECT details['n'] FROM events WHERE event_type = 'restart'")
        .await;
    let distinct: BTreeSet<&str> = numbers.lines().collect();
    assert_eq!((numbers.lines().count(), distinct.len()), (RECORDS, RECORDS));
    let ran = app.run(&["verify"]).await;
    assert!(ran.ok, "{}{}", ran.out, ran.err);
}
