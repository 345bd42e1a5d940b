//! Streams whose clients don't take what they are given. Over HTTP/2 such a client's connection lives on: it answers
//! pings, and other requests go through it.

use reqwest::Method;
use serde_json::json;

use crate::support::wait::PATIENCE;
use crate::support::{App, Caller, Watcher, until};

/// The same caller over HTTP/2, of which the server may send so many bytes that are not read.
fn over_http2(caller: &Caller, window: u32) -> Caller {
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
    let client = client.http2_initial_stream_window_size(window).build().unwrap();
    let base = format!("http://{}", caller.address());
    Caller::through(client, &base, &caller.tenant, caller.credential.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_history_slowly_keeps_none_of_what_reading_takes_and_misses_nothing() {
    let app = App::start_with(&[("TRAILHOUSE_STREAM__KEPT_EVENTS", "0")]).await;
    let acme = app.tenant("slow-history").await;
    const ALL: usize = 200;
    let _live = Watcher::ws(&acme, "").await.once_live().await;
    let readers = app.readers_of("audit.events");
    // Far more than may be on its way to a client.
    let message = "x".repeat(60_000);
    for n in (0..ALL).step_by(20) {
        let event = |n| json!({"event_id": format!("n-{n}"), "message": message});
        let events: Vec<_> = (n..n + 20).map(event).collect();
        acme.post("/api/v1/logs/bulk", &json!(events)).await.expect(200);
    }
    let mut slow = Watcher::sse(&over_http2(&acme, 65_535), "?since=2026-01-01", &[]).await;
    let (mut seen, _) = slow.next(1).await;
    until("the log is no longer read for it", async || {
        app.readers_of("audit.events") == readers
    })
    .await;
    seen.extend(slow.next(ALL - 1).await.0);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), ALL, "each comes once");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_keeps_its_stream_no_longer_than_its_key_and_holds_up_no_shutdown() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("takes-nothing").await;
    let key = json!({"name": "watch", "roles": ["auditor"]});
    let key = acme.post("/api/v1/keys", &key).await.expect(201);
    let open = async || {
        let text = app.stranger().get("/metrics").await.text();
        text.lines().any(|line| line == "trailhouse_streams 1")
    };
    let mut of_key = over_http2(&acme.with(key["key"].as_str()), 0)
        .open("/api/v1/logs/stream", &[])
        .await;
    assert_eq!(of_key.status(), 200);
    assert!(open().await);
    let path = format!("/api/v1/keys/{}", key["id"].as_str().unwrap());
    assert_eq!(acme.send(Method::DELETE, &path, &[], "").await.status, 204);
    until("its stream has ended", async || !open().await).await;
    let ended = tokio::time::timeout(PATIENCE, of_key.chunk()).await;
    assert!(ended.expect("the connection ends").is_err());

    let mut until_stop = over_http2(&acme, 0).open("/api/v1/logs/stream", &[]).await;
    assert!(open().await);
    let cuts = || app.log().matches("a stream is cut").count();
    assert_eq!(cuts(), 1);
    assert!(app.stop().await.success());
    // Without that it is the deadline of the stop that ends it.
    assert_eq!(cuts(), 2);
    assert!(until_stop.chunk().await.is_err());
}
