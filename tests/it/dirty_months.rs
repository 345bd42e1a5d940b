//! Months in which a record may stand twice: a mark holds whatever any clock said before.

use confique::Config as _;
use trailhouse::projections::maintenance::clean_months;
use trailhouse::projections::migrate::migrate;
use trailhouse::store::{Config, Store};
use uuid::Uuid;

use crate::support::clickhouse_front::front;

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_counts_against_any_clock_and_is_cleared_when_it_has_settled() {
    let (_directory, front) = front();
    let mut config = Config::builder().load().unwrap();
    config.url = Some(front.url.clone());
    config.password = Some(front.operator.clone().into());
    let store = Store::new(&config).unwrap();
    migrate(&store).await.unwrap();
    let mark = async |month: u32, dirty: bool, seconds: i64| {
        let at = format!("now64(6, 'UTC') + toIntervalSecond({seconds})");
        front
            .ask(&format!(
                "INSERT INTO trailhouse.dirty_months SELECT {month}, {dirty}, {at}"
            ))
            .await
    };

    // Cleared by somebody whose clock is an hour ahead, and marked by us now.
    mark(202601, false, 3_600).await;
    // Never marked before, and marked a moment ago already.
    mark(202603, true, -1).await;
    store.mark_months(&[202601, 202602, 202603]).await.unwrap();
    assert_eq!(store.dirty_months().await.unwrap(), [202601, 202602, 202603]);

    // What was marked lately stays; only what has settled is merged and cleared. One of these two has rows.
    mark(202512, true, -600).await;
    mark(202511, true, -600).await;
    for version in [1, 2] {
        let row = format!("'a', '2025-11-02 00:00:00', toUUID('{}'), {version}", Uuid::nil());
        front
            .ask(&format!(
                "INSERT INTO trailhouse.events (tenant_id, time, event_id, version) VALUES ({row})"
            ))
            .await;
    }
    clean_months(&store).await.unwrap();
    let versions = front.ask("SELECT version FROM trailhouse.events").await;
    assert_eq!(versions.trim(), "2");
    assert_eq!(store.dirty_months().await.unwrap(), [202601, 202602, 202603]);
    front.ask("OPTIMIZE TABLE trailhouse.dirty_months FINAL").await;
    assert_eq!(store.dirty_months().await.unwrap(), [202601, 202602, 202603]);

    // Cleared once, it can be marked again at once.
    store.mark_months(&[202512]).await.unwrap();
    assert!(store.dirty_months().await.unwrap().contains(&202512));
}
