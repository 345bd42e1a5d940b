//! Two logs that are written into one ClickHouse keep out of each other's way.

use confique::Config as _;
use trailhouse::store::{Config, Store};

use crate::support::clickhouse_front::front;
use crate::support::until;

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_its_inserts_leaves_those_of_another_log_alone() {
    let (_directory, front) = front();
    let mut config = Config::builder().load().unwrap();
    config.url = Some(front.url.clone());
    config.password = Some(front.operator.clone().into());
    let store = Store::new(&config).unwrap();
    store.create_database().await.unwrap();
    let front = std::sync::Arc::new(front);
    let endless = |name: &'static str| {
        let front = front.clone();
        let insert = "INSERT INTO FUNCTION null('n UInt64') SELECT number FROM system.numbers";
        tokio::spawn(async move { front.post(&[("query_id", name)], insert).await })
    };
    let running = async || {
        let names = "SELECT arrayStringConcat(arraySort(groupArray(Settings['log_comment'])), ' ') FROM system.processes \
                     WHERE Settings['log_comment'] LIKE 'trailhouse-projector.%'";
        front.ask(names).await
    };
    let (one, other) = (
        "trailhouse-projector.one.p0.p1.x",
        "trailhouse-projector.other.p0.p1.x",
    );
    let (ended, going_on) = (endless(one), endless(other));
    until("both run", async || running().await == format!("{one} {other}")).await;

    store
        .kill_inserts("trailhouse-projector.one.", ".p2.")
        .await
        .unwrap();
    assert_eq!(
        running().await,
        format!("{one} {other}"),
        "neither holds partition 2"
    );
    store
        .kill_inserts("trailhouse-projector.one.", ".p1.")
        .await
        .unwrap();
    assert_eq!(running().await, other);
    assert_eq!(ended.await.unwrap().header("x-clickhouse-exception-code"), "394");
    going_on.abort();
}
