//! Exports that are read slowly, not to their end, or that fail in the middle.

use reqwest::Method;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::wait::PATIENCE;
use crate::support::{App, Caller, until};

/// Events of about a kilobyte, written beside the log: these stories are about reading.
async fn filled(app: &App, acme: &Caller, events: u32) {
    app.sql(&format!(
        "INSERT INTO events (tenant_id, time, event_id, received_at, event_type, actor_id, message, version) \
         SELECT '{}', toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + toIntervalSecond(number), generateUUIDv4(), \
         now64(6, 'UTC'), 'made', toString(number), repeat('x', 800), 100 FROM numbers({events})",
        acme.tenant
    ))
    .await;
}

/// Asks for an export and reads no more than its head.
async fn begun(app: &App, acme: &Caller, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.at().web).await.unwrap();
    let head = format!(
        "GET /api/v1/logs/export?{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        acme.credential.as_ref().unwrap()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answered = [0; 15];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answered)).await;
    read.expect("it is answered").unwrap();
    assert_eq!(&answered, b"HTTP/1.1 200 OK");
    stream
}

/// Reads an answer to its end, a kilobyte at a time until `hurry` says so.
async fn slowly(mut stream: TcpStream, hurry: tokio::sync::watch::Receiver<bool>) -> Vec<u8> {
    let (mut text, mut piece) = (Vec::new(), vec![0; 1 << 20]);
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
    while !text.ends_with(b"\r\n0\r\n\r\n") {
        let is_hurried = *hurry.borrow();
        let at_once = if is_hurried { piece.len() } else { 1 << 10 };
        if !is_hurried {
            pace.tick().await;
        }
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut piece[..at_once])).await;
        let read = read.expect("more comes").unwrap();
        assert!(read > 0, "it broke off after {} bytes", text.len());
        text.extend_from_slice(&piece[..read]);
    }
    text
}

/// Stretches that ClickHouse reads for a tenant.
async fn running(app: &App, acme: &Caller) -> usize {
    let count = format!(
        "SELECT count() FROM system.processes WHERE query LIKE '%received_at <=%' AND Settings['param_p0'] LIKE '%{}%'",
        acme.tenant
    );
    app.sql(&count).await.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_hold_up_nobody_and_take_no_more_than_their_room() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("slow-readers").await;
    filled(&app, &acme, 200_000).await;
    let before = app.resident_bytes();
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(begun(&app, &acme, "format=ndjson").await);
    }
    // One that takes nothing at all is cut one day; this one takes a little now and then, until it is told to hurry.
    let (hurry, told) = tokio::sync::watch::channel(false);
    let patient = tokio::spawn(slowly(begun(&app, &acme, "format=ndjson").await, told));
    // As many as a tenant may have; of another tenant, and searches, nobody is held up.
    acme.get("/api/v1/logs/export").await.problem(429);
    assert_eq!(acme.found(&[("user_id", "7")]).await.len(), 1);
    let other = app.tenant("quick-reader").await;
    filled(&app, &other, 50_000).await;
    let whole = other.get("/api/v1/logs/export").await;
    assert_eq!(whole.text().lines().count(), 50_000);
    // Three stretches of 16 MiB, and what the sockets hold, for each; all of it would be 800 MiB.
    let grown = app.resident_bytes().saturating_sub(before);
    assert!(grown < 400 << 20, "{} MiB", grown >> 20);
    until("no query waits for a slow reader", async || {
        running(&app, &acme).await == 0
    })
    .await;
    drop(slow);
    hurry.send(true).unwrap();
    let text = patient.await.unwrap();
    let events = text.windows(11).filter(|at| at == b"\"event_id\":").count();
    assert_eq!(events, 200_000, "one that is read slowly is whole");
    // Those that vanished gave back what they held.
    until("an export may begin again", async || {
        let answer = acme.get("/api/v1/logs/export?from=2027-01-01").await;
        answer.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_ends_the_work() {
    let app = App::shared().await;
    let acme = app.tenant("vanishing").await;
    filled(app, &acme, 60_000).await;
    for compression in ["none", "gzip", "zstd"] {
        drop(begun(app, &acme, &format!("format=json&compression={compression}")).await);
    }
    until("nothing is read for them", async || {
        running(app, &acme).await == 0
    })
    .await;
    until("their places are free", async || {
        let mut held = Vec::new();
        for _ in 0..4 {
            let answer = acme.send(Method::HEAD, "/api/v1/logs/export", &[], "").await;
            held.push(answer.status == 200);
        }
        held.iter().all(|is_free| *is_free)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_in_the_middle_is_no_short_file() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("failing").await;
    filled(&app, &acme, 45_000).await;
    // A row that no event of ours can have written, behind two stretches of good ones.
    let severities = "Enum8('INFO' = 1, 'WARNING' = 2, 'ERROR' = 3, 'CRITICAL' = 4, 'ODD' = 9)";
    app.sql(&format!(
        "ALTER TABLE events MODIFY COLUMN severity {severities} SETTINGS mutations_sync = 2"
    ))
    .await;
    app.sql(&format!(
        "INSERT INTO events (tenant_id, time, event_id, received_at, event_type, severity, version) \
         VALUES ('{}', '2026-02-01 00:00:00', generateUUIDv4(), now64(6, 'UTC'), 'made', 'ODD', 1)",
        acme.tenant
    ))
    .await;
    for query in [
        "format=ndjson",
        "format=json",
        "format=csv",
        "format=csv&compression=gzip",
        "format=json&compression=zstd",
    ] {
        let path = format!("/api/v1/logs/export?{query}");
        let failed = acme.try_send(Method::GET, &path, &[], "").await;
        assert!(
            failed.is_err(),
            "{query} looks whole: {} bytes",
            failed.unwrap().body.len()
        );
    }
    let told = app.log().matches("an export broke off").count();
    assert_eq!(told, 5, "once each");
    // Where nothing was sent yet, it is a problem like any other.
    acme.get("/api/v1/logs/export?from=2026-01-31").await.problem(500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clickhouse_that_dies_meanwhile_is_waited_for() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("dying").await;
    filled(&app, &acme, 120_000).await;
    let stream = begun(&app, &acme, "format=ndjson&fields=event_id,message").await;
    app.kill9_child(crate::support::Child::ClickHouse).await;
    let (_hurry, told) = tokio::sync::watch::channel(true);
    let text = slowly(stream, told).await;
    let events = text.windows(11).filter(|at| at == b"\"event_id\":").count();
    assert_eq!(events, 120_000, "each once, in spite of what was read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_breaks_off_when_the_key_that_asked_for_it_is_revoked() {
    let app = App::shared().await;
    let acme = app.tenant("revoked-meanwhile").await;
    filled(app, &acme, 200_000).await;
    let wanted = serde_json::json!({"name": "leaves", "roles": ["auditor"]});
    let made = acme.post("/api/v1/keys", &wanted).await.expect(201);
    let key = acme.with(made["key"].as_str());
    let mut stream = begun(app, &key, "format=ndjson").await;
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(acme.send(Method::DELETE, &path, &[], "").await.status, 204);
    key.get("/api/v1/logs").await.problem(401);
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
    // Reset or closed: either is an end before the end.
    let _ = read.expect("it ends");
    assert!(!text.ends_with(b"\r\n0\r\n\r\n"), "all {} bytes came", text.len());
}
