//! The embedded ClickHouse, met by the clients that others wrote: the `clickhouse` crate, curl, clickhouse-connect.
#![allow(clippy::expect_used)] // a test may fail

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::support::clickhouse_front::{Front, front, run};

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Item {
    id: u64,
    name: String,
    tags: Vec<String>,
    note: Option<String>,
}

fn item(id: u64) -> Item {
    let note = (!id.is_multiple_of(3)).then(|| format!("note\t{id}\n'\\"));
    Item {
        id,
        name: format!("näme {id}"),
        tags: vec![format!("t{}", id % 5), String::new()],
        note,
    }
}

const ITEMS: &str = "CREATE TABLE items (id UInt64, name String, tags Array(String), note Nullable(String)) \
                     ENGINE = MergeTree ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn the_clickhouse_crate_works_unchanged() {
    let (_directory, front) = front();
    let client = front.client();
    client.query(ITEMS).execute().await.expect("a table");
    let mut insert = client.insert::<Item>("items").await.expect("an insert");
    for id in 0..20_000 {
        insert.write(&item(id)).await.expect("a row");
    }
    insert.end().await.expect("stored");

    let mut rows = client
        .query("SELECT ?fields FROM items ORDER BY id")
        .fetch::<Item>()
        .expect("a cursor");
    let mut next = 0;
    while let Some(row) = rows.next().await.expect("a row") {
        assert_eq!(row, item(next));
        next += 1;
    }
    assert_eq!(next, 20_000);

    let odd = "it's\ta \\ 'näme'\n";
    let bound = client.query("SELECT {odd:String}, count() FROM items WHERE has({ids:Array(UInt64)}, id)");
    let (text, count): (String, u64) = bound
        .param("odd", odd)
        .param("ids", vec![1_u64, 2, 99_999])
        .fetch_one()
        .await
        .expect("parameters");
    assert_eq!((text.as_str(), count), (odd, 2));

    let refused = client
        .query("SELECT * FROM nowhere")
        .fetch_one::<u8>()
        .await
        .expect_err("no such table");
    assert!(
        refused.to_string().contains("Code: 60") && refused.to_string().contains("UNKNOWN_TABLE"),
        "{refused}"
    );

    // An insert that is dropped before its end is none.
    let mut left = client.insert::<Item>("items").await.expect("an insert");
    for id in 0..50_000 {
        left.write(&item(id)).await.expect("a row");
    }
    drop(left);
    let count: u64 = client
        .query("SELECT count() FROM items")
        .fetch_one()
        .await
        .expect("a count");
    assert_eq!(count, 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_behind_the_first_rows_is_seen() {
    let (_directory, front) = front();
    let failing = "SELECT toString(number), throwIf(number = 2000000) FROM numbers(3000000)";
    for client in [
        front.client(),
        front.client().with_compression(clickhouse::Compression::None),
    ] {
        let mut rows = client.query(failing).fetch::<(String, u8)>().expect("a cursor");
        let failure = loop {
            match rows.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the failure was taken for the end"),
                Err(failure) => break failure.to_string(),
            }
        };
        assert!(failure.contains("Code: 395"), "{failure}");
    }
    let reply = front.post(&[], failing).await;
    assert_eq!((reply.status, reply.broken), (200, true));
    let end = String::from_utf8_lossy(&reply.body[reply.body.len() - 500..]).into_owned();
    let tag = reply.header("x-clickhouse-exception-tag");
    assert!(
        end.contains("__exception__") && end.contains(tag) && !tag.is_empty(),
        "{end}"
    );
    // Held to the end, it is an ordinary refusal.
    let reply = front.post(&[("wait_end_of_query", "1")], failing).await;
    assert_eq!(
        (reply.status, reply.header("x-clickhouse-exception-code")),
        (500, "395")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_works_as_printed() {
    let (_directory, front) = front();
    let url = front.url.as_str();
    assert_eq!(front.curl(&[&format!("{url}/ping")], b"").0, "Ok.\n");
    assert_eq!(front.curl(&[url], b"").0, "Ok.\n");
    assert_eq!(front.curl(&[&format!("{url}/replicas_status")], b"").0, "Ok.\n");
    assert_eq!(front.curl(&[&format!("{url}/?query=SELECT%201")], b"").0, "1\n");
    front.curl(&[url, "-d", ITEMS], b"");
    let insert = format!("{url}/?query=INSERT%20INTO%20items%20(id,name)%20FORMAT%20CSV");
    front.curl(&[&insert, "--data-binary", "@-"], b"1,one\n2,\"t\nwo\"\n");
    let (_, packed) = run("gzip", &["-c"], &[], b"3,three\n");
    front.curl(
        &[&insert, "-H", "Content-Encoding: gzip", "--data-binary", "@-"],
        &packed,
    );
    front.curl(
        &[url, "--data-binary", "@-"],
        b"INSERT INTO items FORMAT JSONEachRow\n{\"id\":4,\"name\":\"a;b\"}\n",
    );
    front.curl(
        &[
            url,
            "--data-binary",
            "INSERT INTO items (id, name) VALUES (5, 'x'), (6, 'y')",
        ],
        b"",
    );
    let rows = front
        .curl(
            &[url, "-d", "SELECT id, name FROM items ORDER BY id FORMAT CSV"],
            b"",
        )
        .0;
    assert_eq!(
        rows,
        "1,\"one\"\n2,\"t\nwo\"\n3,\"three\"\n4,\"a;b\"\n5,\"x\"\n6,\"y\"\n"
    );
    let one = format!("{url}/?param_id=4&default_format=JSONCompactEachRow");
    assert_eq!(
        front
            .curl(&[&one, "-d", "SELECT id FROM items WHERE id = {id:UInt64}"], b"")
            .0,
        "[4]\n"
    );
    assert_eq!(
        front
            .curl(&[url, "-F", "query=SELECT {a:String}", "-F", "param_a=b c"], b"")
            .0,
        "b c\n"
    );
    for compressed in ["gzip", "deflate", "gzip, deflate"] {
        let header = format!("Accept-Encoding: {compressed}");
        let sum = "SELECT sum(cityHash64(number)) FROM numbers(1000)";
        let plain = front.curl(&[url, "-d", sum], b"").0;
        assert_eq!(
            front
                .curl(&[url, "--compressed", "-H", &header, "-d", sum], b"")
                .0,
            plain
        );
    }
    let large = "SELECT number, toString(number) FROM numbers(2000000) FORMAT RowBinary";
    let plain = front.curl(&[url, "-d", large], b"").1;
    assert!(front.curl(&[url, "--compressed", "-d", large], b"").1 == plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_answers_have_one_head_and_one_foot() {
    let (_directory, front) = front();
    let reply = front
        .post(&[], "SELECT number FROM numbers(300000) FORMAT JSON")
        .await;
    let json: serde_json::Value = serde_json::from_slice(&reply.body).expect("one JSON document");
    assert_eq!(json["rows"], 300_000);
    assert_eq!(reply.header("content-type"), "application/json; charset=UTF-8");
    assert_eq!(reply.header("x-clickhouse-format"), "JSON");
    let reply = front
        .post(
            &[("default_format", "Parquet")],
            "SELECT number FROM numbers(300000)",
        )
        .await;
    assert!(reply.body.starts_with(b"PAR1") && reply.body.ends_with(b"PAR1"));
    assert_eq!(
        reply.body.windows(4).filter(|window| window == b"PAR1").count(),
        2
    );
    let reply = front
        .post(&[], "SELECT number FROM numbers(300000) FORMAT TSVWithNames")
        .await;
    assert_eq!(reply.text().matches("number").count(), 1);
    assert_eq!(reply.text().lines().count(), 300_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_own_blocks_go_both_ways() {
    let (_directory, front) = front();
    front.ask(ITEMS).await;
    let select = "SELECT number AS id, toString(number) AS name FROM numbers(100000) FORMAT Native";
    let packed = front.post(&[("compress", "1")], select).await;
    assert_eq!(packed.status, 200);
    let insert = [
        ("query", "INSERT INTO items (id, name) FORMAT Native"),
        ("decompress", "1"),
    ];
    let reply = front.post(&insert, packed.body.clone()).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, ""));
    assert!(
        reply
            .header("x-clickhouse-summary")
            .contains(r#""written_rows":"100000""#)
    );
    assert_eq!(
        front.ask("SELECT count(), sum(id) FROM items").await,
        "100000\t4999950000"
    );
    let mut broken = packed.body;
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let reply = front.post(&insert, broken).await;
    assert_eq!(
        (reply.status, reply.header("x-clickhouse-exception-code")),
        (500, "271"),
        "{}",
        reply.text()
    );
    assert_eq!(front.ask("SELECT count() FROM items").await, "100000");
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_connect_inserts_a_frame_and_reads_it_back() {
    let (_directory, front) = front();
    let python = crate::support::python().display().to_string();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/support/clickhouse_frame.py"
    );
    let (host, port) = front
        .url
        .trim_start_matches("http://")
        .rsplit_once(':')
        .expect("an address");
    let said = run(
        &python,
        &[script],
        &[host, port, &front.operator, &front.reader],
        b"",
    )
    .0;
    assert_eq!(said, "frame ok\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_inserts_nothing() {
    let (_directory, front) = front();
    front.ask(ITEMS).await;
    let address = front.url.trim_start_matches("http://").to_owned();
    let head = format!(
        "POST /?query=INSERT+INTO+items+(id,name)+FORMAT+CSV HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: default\r\n\
         X-ClickHouse-Key: {}\r\n",
        front.operator
    );
    let rows = "1,one\n".repeat(5000);
    for rest in [
        format!("Content-Length: {}\r\n\r\n{rows}", rows.len() + 1),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{rows}\r\n", rows.len()),
    ] {
        let mut stream = TcpStream::connect(&address).expect("a connection");
        stream
            .write_all(format!("{head}{rest}").as_bytes())
            .expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("shut");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(front.ask("SELECT count() FROM items").await, "0");
    // Data that are wrong in the middle insert nothing either.
    let reply = front
        .post(
            &[("query", "INSERT INTO items (id,name) FORMAT CSV")],
            format!("{rows}x,y\n{rows}"),
        )
        .await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(front.ask("SELECT count() FROM items").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut front = Front::start(directory.path());
    front.ask("CREATE DATABASE kept").await;
    front
        .ask("CREATE TABLE kept.rows (id UInt64) ENGINE = MergeTree ORDER BY id")
        .await;
    let mut stored = 0;
    for round in 0..3 {
        let (url, operator) = (front.url.clone(), front.operator.clone());
        let inserting = tokio::spawn(async move {
            let client = clickhouse::Client::default()
                .with_url(url)
                .with_user("default")
                .with_password(operator);
            let mut answered = 0_u64;
            loop {
                let insert = format!("INSERT INTO kept.rows SELECT number + {answered} FROM numbers(1000)");
                if client.query(&insert).execute().await.is_err() {
                    return answered;
                }
                answered += 1000;
            }
        });
        let least = stored + 20_000;
        let counted = async {
            while front
                .ask("SELECT count() FROM kept.rows")
                .await
                .parse::<u64>()
                .expect("a number")
                < least
            {}
        };
        tokio::time::timeout(Duration::from_secs(60), counted)
            .await
            .expect("rows in time");
        front.kill();
        let answered = inserting.await.expect("the client");
        front = Front::start(directory.path());
        let found: u64 = front
            .ask("SELECT count() FROM kept.rows")
            .await
            .parse()
            .expect("a number");
        assert!(
            found >= stored + answered && found <= stored + answered + 1000,
            "round {round}: {found}"
        );
        assert_eq!(found % 1000, 0, "an insert is all or nothing");
        stored = found;
    }
    // A table is dropped for good, at once, in a directory that was never used before as in this one.
    front.ask("DROP TABLE kept.rows SYNC").await;
    assert!(front.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_on_one_directory_is_one_too_many() {
    let (directory, _front) = front();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_trailhouse"))
        .args(["clickhouse", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path())
        .arg("--library")
        .arg(crate::support::clickhouse_front::library())
        .output()
        .expect("the trailhouse binary");
    assert!(!second.status.success());
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("another process"),
        "{second:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_run_beside_one_another() {
    let (_directory, front) = front();
    let three = async {
        tokio::join!(
            front.post(&[], ENDLESS),
            front.post(&[], ENDLESS),
            front.post(&[], ENDLESS)
        )
    };
    tokio::select! {
        _ = three => panic!("they are endless"),
        () = until_running(&front, 3) => {}
    }
}

const ENDLESS: &str = "SELECT count() FROM system.numbers WHERE sipHash64(number) = 1";

async fn running(front: &Front) -> u64 {
    let others = "SELECT count() FROM system.processes WHERE query NOT LIKE '%system.processes%'";
    front.ask(others).await.parse().expect("a number")
}

async fn until_running(front: &Front, wanted: u64) {
    let reached = async { while running(front).await != wanted {} };
    tokio::time::timeout(Duration::from_secs(30), reached)
        .await
        .expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_killed_by_its_id_even_in_a_full_house() {
    let (_directory, front) = front();
    let front = std::sync::Arc::new(front);
    let places = std::thread::available_parallelism().map_or(4, |cores| (cores.get() * 2).max(4));
    let queries: Vec<_> = (0..places)
        .map(|n| {
            let front = std::sync::Arc::clone(&front);
            tokio::spawn(async move { front.post(&[("query_id", &format!("mine-{n}"))], ENDLESS).await })
        })
        .collect();
    // All places are taken, so nothing else can be asked; only a kill comes through.
    let mut killed = 0;
    let all = async {
        while killed < places {
            let statement = "KILL QUERY WHERE query_id LIKE 'mine-%' SYNC FORMAT TSV";
            killed += front.ask(statement).await.lines().count();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("killed in time");
    for query in queries {
        let reply = query.await.expect("an answer");
        assert_eq!(
            reply.header("x-clickhouse-exception-code"),
            "394",
            "{}",
            reply.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_stops_its_query() {
    let (_directory, front) = front();
    for query in [ENDLESS, "SELECT number FROM system.numbers"] {
        tokio::select! {
            _ = front.post(&[], query) => panic!("it is endless"),
            () = until_running(&front, 1) => {}
        }
        until_running(&front, 0).await;
    }
    assert_eq!(front.ask("SELECT 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_what_runs_and_is_clean() {
    let (_directory, front) = front();
    let (url, operator) = (front.url.clone(), front.operator.clone());
    let query = tokio::spawn(async move {
        reqwest::Client::new()
            .post(url)
            .basic_auth("default", Some(operator))
            .body("SELECT sleep(2)")
            .send()
            .await
    });
    until_running(&front, 1).await;
    let status = tokio::task::spawn_blocking(move || front.stop())
        .await
        .expect("stopped");
    assert!(status.success(), "{status}");
    assert_eq!(
        query.await.expect("a task").expect("an answer").status(),
        200,
        "it had time to end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_what_is_its_own() {
    let (_directory, front) = front();
    let session = [("session_id", "mine")];
    for statement in [
        "CREATE TEMPORARY TABLE scratch (a UInt8)",
        "INSERT INTO scratch VALUES (7)",
        "SET max_threads = 1",
    ] {
        let reply = front.post(&session, statement).await;
        assert_eq!(reply.status, 200, "{statement}: {}", reply.text());
    }
    let state = "SELECT a, getSetting('max_threads'), getSetting('join_use_nulls') FROM scratch";
    let with_setting = [session[0], ("join_use_nulls", "1")];
    assert_eq!(front.post(&with_setting, state).await.text(), "7\t1\ttrue\n");
    front.post(&session, "SELECT 1 SETTINGS join_use_nulls = 1").await;
    front
        .post(
            &session,
            "INSERT INTO scratch SETTINGS join_use_nulls = 1 FORMAT CSV\n",
        )
        .await;
    front
        .post(&[session[0], ("database", "system")], "SELECT count() FROM one")
        .await;
    assert_eq!(front.post(&session, state).await.text(), "7\t1\tfalse\n");
    assert_eq!(front.post(&[], "SELECT * FROM scratch").await.status, 404);
    assert_eq!(
        front
            .post(&[("session_id", "other")], "SELECT * FROM scratch")
            .await
            .status,
        404
    );
    let unknown = [("session_id", "unknown"), ("session_check", "1")];
    assert_eq!(
        front
            .post(&unknown, "SELECT 1")
            .await
            .header("x-clickhouse-exception-code"),
        "372"
    );
    // Without one, nothing of a client is left for the next.
    front.ask("SET max_threads = 1").await;
    front.ask("USE system").await;
    for setting in [("max_threads", "1"), ("database", "system")] {
        assert_eq!(front.post(&[setting], "SELECT 1").await.status, 200);
    }
    front.ask("SELECT 1 SETTINGS max_threads = 1").await;
    assert_eq!(
        front
            .ask("SELECT currentDatabase(), getSetting('max_threads') > 1")
            .await,
        "default\t1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_their_code_and_status() {
    let (_directory, front) = front();
    front.ask(ITEMS).await;
    for (statement, parameters, status, code) in [
        ("SELECT 1 FROM nowhere", &[][..], 404, "60"),
        ("SELECT 1 FROM nowhere.t", &[], 404, "81"),
        ("SELEC 1", &[], 400, "62"),
        ("", &[], 400, "62"),
        ("SELECT 1; SELECT 2", &[], 400, "62"),
        ("SELECT nothing", &[], 404, "47"),
        ("SELECT noSuch()", &[], 404, "46"),
        ("SELECT 1 FORMAT Nothing", &[], 404, "73"),
        ("SELECT 1 INTO OUTFILE 'x'", &[], 400, "62"),
        ("SELECT 1", &[("no_such_setting", "1")], 404, "115"),
        ("SELECT 1", &[("database", "nowhere")], 404, "81"),
        ("SELECT 1", &[("a b", "1")], 404, "115"),
        ("SELECT 1", &[("max_threads", "'; DROP TABLE items")], 400, "27"),
        ("SELECT {a:UInt8}", &[("param_a", "x")], 500, "457"),
        ("SELECT sleep(3)", &[("max_execution_time", "1")], 408, "159"),
    ] {
        let reply = front.post(parameters, statement).await;
        let got = (reply.status, reply.header("x-clickhouse-exception-code"));
        assert_eq!(
            got,
            (status, code),
            "{statement} {parameters:?}: {}",
            reply.text()
        );
        assert!(
            reply
                .text()
                .starts_with(&format!("Code: {code}. DB::Exception: ")),
            "{}",
            reply.text()
        );
        assert!(!reply.text().contains("/proc/self/fd"), "{}", reply.text());
    }
    let get = |query: &str| {
        let request = reqwest::Client::new().get(&front.url).query(&[("query", query)]);
        request.basic_auth("default", Some(&front.operator)).send()
    };
    assert_eq!(get("SELECT 1").await.expect("an answer").status(), 200);
    for query in [
        "DROP TABLE items",
        "INSERT INTO items (id) VALUES (1)",
        "INSERT INTO items (id) SELECT 1",
    ] {
        let reply = get(query).await.expect("an answer");
        assert_eq!(reply.headers()["x-clickhouse-exception-code"], "164", "{query}");
    }
    assert_eq!(front.ask("SELECT count() FROM items").await, "0");
}
