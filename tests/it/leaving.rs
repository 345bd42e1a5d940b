//! Who hangs up takes its search with it.

use serde_json::json;

use crate::support::{App, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_search_whose_asker_left_is_ended_in_clickhouse() {
    // Without that, it would go on for ten minutes: longer than a story waits.
    let app = App::start_with(&[("TRAILHOUSE_CLICKHOUSE__QUERY_TIMEOUT_MS", "600000")]).await;
    let acme = app.tenant("leaving").await;
    acme.take(&json!({"user_id": "ada"})).await;
    app.sql("RENAME TABLE events TO whole").await;
    let endless = "SELECT number FROM system.numbers WHERE sipHash64(number) = 1";
    app.sql(&format!(
        "CREATE VIEW events AS SELECT whole.* FROM whole CROSS JOIN ({endless}) AS never"
    ))
    .await;
    // With all its time: its first try is over.
    let running = async || {
        let runs = "SELECT count() FROM system.processes WHERE query LIKE '%FROM events%' \
                    AND toFloat64OrZero(Settings['max_execution_time']) > 500";
        app.sql(runs).await.trim() != "0"
    };
    let asker = acme.clone();
    let search = tokio::spawn(async move { asker.search(&[]).await });
    until("the search runs", running).await;
    search.abort();
    until("the search is ended", async || !running().await).await;

    app.sql("DROP VIEW events").await;
    app.sql("RENAME TABLE whole TO events").await;
    assert_eq!(acme.found(&[("user_id", "ada")]).await.len(), 1);
}
