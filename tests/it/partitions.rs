//! Somebody changes the number of partitions under a log: events stay where their ids place them.

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use trailhouse::log::topics;

use crate::support::{App, until};

/// Adds partitions to `audit.events`. The embedded broker can't; before the first event a new topic is the same.
async fn add(app: &App, partitions: usize) {
    let admin: AdminClient<DefaultClientContext> = app.kafka_config().create().unwrap();
    let (name, options) = (app.topic(topics::EVENTS), AdminOptions::new());
    let more = NewPartitions::new(&name, partitions);
    let added = admin.create_partitions([&more], &options).await;
    if !added.is_ok_and(|added| added.iter().all(Result::is_ok)) {
        remake(app, partitions as i32).await;
    }
}

/// Makes `audit.events` anew with so many partitions.
async fn remake(app: &App, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = app.kafka_config().create().unwrap();
    let (name, options) = (app.topic(topics::EVENTS), AdminOptions::new());
    admin.delete_topics(&[&name], &options).await.unwrap()[0]
        .as_ref()
        .unwrap();
    until("the topic is made anew", async || {
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
        admin.create_topics([&topic], &options).await.unwrap()[0].is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn added_partitions_stay_empty_and_a_log_with_fewer_is_refused() {
    let app = App::start_with(&[("TRAILHOUSE_LOG__PARTITIONS", "2")]).await;
    add(&app, 6).await;
    app.kill9().await;
    app.start().await;
    let own = app.operator().await;
    let events: Vec<Value> = (0..40)
        .map(|n| json!({"event_id": format!("placed-{n}")}))
        .collect();
    own.post("/api/v1/logs/bulk?wait=indexed", &json!(events))
        .await
        .expect(200);
    let placed = app
        .sql("SELECT DISTINCT log_partition FROM events WHERE startsWith(source_event_id, 'placed-') ORDER BY 1")
        .await;
    assert_eq!(placed.lines().collect::<Vec<_>>(), ["0", "1"]);
    let told = "topic audit.events has 6 partitions, and had 2 when the log began";
    assert!(app.log().contains(told));
    let looked = app.run(&["doctor"]).await.out;
    assert!(
        looked.contains(&format!("warning  partitions     {told}")),
        "{looked}"
    );

    remake(&app, 1).await;
    let looked = app.run(&["doctor"]).await.out;
    assert!(looked.contains("PROBLEM  partitions"), "{looked}");
    let ran = app.run(&["rebuild"]).await;
    assert!(!ran.ok && ran.err.contains("restore it"), "{}", ran.err);
    app.kill9().await;
    let ran = app.run(&["serve"]).await;
    assert!(!ran.ok && ran.err.contains("restore it"), "{}", ran.err);
}
