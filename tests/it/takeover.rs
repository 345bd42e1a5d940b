//! A projector takes over a partition of which the table holds more than it may remember.

use std::collections::BTreeSet;
use std::sync::Arc;

use confique::Config as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use trailhouse::clock::SystemClock;
use trailhouse::projections::takeover::TakeOver;
use trailhouse::projections::writer::Writer;
use trailhouse::store::{Config, Store};
use uuid::Uuid;

use crate::support::App;

const RANGE: i64 = 16;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_known_range_by_range() {
    let app = App::start_with(&[("TRAILHOUSE_LOG__PARTITIONS", "1")]).await;
    let own = app.operator().await;
    // Every other one stands in the log twice: the later copy gives no row.
    for n in 0..3 {
        let events: Vec<Value> = (0..40)
            .map(|i| json!({"event_id": format!("{}", 20 * n + i)}))
            .collect();
        own.post("/api/v1/logs/bulk?wait=indexed", &json!(events))
            .await
            .expect(200);
    }
    let sql =
        "SELECT log_offset FROM events WHERE log_partition = 0 AND log_id = (SELECT any(log_id) FROM events)";
    let table: BTreeSet<i64> = app
        .sql(sql)
        .await
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    let end = table.last().unwrap() + 1;
    assert!(
        end as usize > table.len() && table.len() > 4 * RANGE as usize,
        "{table:?}"
    );

    let password = std::fs::read_to_string(app.data_dir().join("clickhouse.password")).unwrap();
    let store = Store::new(&Config {
        url: Some(format!("http://{}", app.at().clickhouse)),
        password: Some(password.trim().to_owned().into()),
        ..Config::builder().load().unwrap()
    })
    .unwrap();
    let log_id: Uuid = app
        .sql("SELECT any(log_id) FROM events")
        .await
        .trim()
        .parse()
        .unwrap();
    let of_log = |log_id| {
        let writer = Writer::new(
            store.clone(),
            log_id,
            Arc::new(SystemClock),
            CancellationToken::new(),
        );
        TakeOver::new(store.clone(), log_id, writer, RANGE)
    };
    for next in [0, 5, end - 3, end] {
        let take_over = of_log(log_id);
        let mut held = take_over.begin(0, next).await.unwrap();
        for offset in next..end + 2 {
            assert!(held.known() <= 2 * RANGE as usize);
            take_over.reach(0, offset, &mut held).await.unwrap();
            assert_eq!(held.take(offset), table.contains(&offset), "{offset} from {next}");
        }
    }
    let elsewhere = of_log(Uuid::nil()).begin(0, 0).await.unwrap();
    assert_eq!(elsewhere.known(), 0, "rows of another log are none of this one's");
}
