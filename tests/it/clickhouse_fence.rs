//! Who gets into the embedded ClickHouse, and how far: strangers, the read-only user, the operator.
#![allow(clippy::expect_used)] // a test may fail

use std::net::TcpListener;

use crate::support::clickhouse_front::front;

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let (_directory, front) = front();
    let client = reqwest::Client::new();
    let select = || client.post(&front.url).body("SELECT 1");
    for request in [
        select(),
        select().basic_auth("default", Some("")),
        select().basic_auth("default", Some(&front.reader)),
        select().basic_auth("readonly", Some(&front.operator)),
        select().basic_auth("nobody", Some(&front.operator)),
        select().bearer_auth(&front.operator),
        select()
            .header("X-ClickHouse-User", "default")
            .header("X-ClickHouse-Key", "guess"),
        select().query(&[("user", "default"), ("password", "guess")]),
    ] {
        let reply = request.send().await.expect("an answer");
        assert_eq!(reply.status(), 403);
        assert_eq!(reply.headers()["x-clickhouse-exception-code"], "516");
        let text = reply.text().await.expect("a text");
        assert!(
            text.contains("AUTHENTICATION_FAILED") && !text.contains(&front.operator),
            "{text}"
        );
    }
    for request in [
        select()
            .header("X-ClickHouse-User", "default")
            .header("X-ClickHouse-Key", &front.operator),
        select().header("X-ClickHouse-Key", &front.operator),
        select().query(&[("user", "default"), ("password", &front.operator)]),
    ] {
        assert_eq!(request.send().await.expect("an answer").status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_only_user_stays_inside_the_fence() {
    let (_directory, front) = front();
    front
        .ask("CREATE TABLE items (id UInt64, name String) ENGINE = MergeTree ORDER BY id")
        .await;
    front.ask("INSERT INTO items (id, name) VALUES (1, 'seen')").await;
    let secret = "canary-7f3a";
    let canary = front.store().join("canary.txt");
    std::fs::write(&canary, secret).expect("a canary");
    let canary = canary.display().to_string();
    let out = front.store().join("out.txt");
    let outside = TcpListener::bind("127.0.0.1:0").expect("a listener");
    outside.set_nonblocking(true).expect("nonblocking");
    let outside_at = outside.local_addr().expect("an address");

    // What is tried can be done: the operator reads the canary.
    assert_eq!(front.ask(&format!("SELECT file('{canary}')")).await, secret);
    // And the user can do what it is for.
    for allowed in [
        "SELECT name FROM items WHERE id = 1",
        "WITH 1 AS x SELECT name FROM items WHERE id = x -- a comment\n",
        "SELECT 'seen' FROM numbers(1) /* ) */",
        "(SELECT 'seen') UNION ALL SELECT name FROM items WHERE id = 2;",
        "SELECT if(count() > 9, 'seen', '') FROM system.settings",
    ] {
        let reply = front.post_as("readonly", &[], allowed).await;
        assert_eq!((reply.status, reply.text().trim()), (200, "seen"), "{allowed}");
    }

    let structure = format!("a UInt8, l String DEFAULT file(''{canary}'')");
    let omitted = format!("format(JSONEachRow, '{structure}', '{{\"a\":1}}')");
    let window = |query| format!("SELECT sum(1) OVER w FROM numbers(1) WINDOW w AS (ORDER BY ({query}))");
    let attempts = [
        format!("SELECT file('{canary}')"),
        format!("SELECT `file`('{canary}')"),
        format!("SELECT * FROM (SELECT file('{canary}'))"),
        format!("WITH (SELECT file('{canary}')) AS q SELECT q"),
        format!("SELECT * APPLY(file) FROM (SELECT '{canary}')"),
        format!("SELECT * APPLY(x -> file(x)) FROM (SELECT '{canary}')"),
        format!("SELECT * REPLACE(file('{canary}') AS a) FROM (SELECT 1 AS a)"),
        format!("SELECT arrayMap(x -> file(x), ['{canary}'])"),
        format!("SELECT arrayMap(file, ['{canary}'])"),
        format!("SELECT arrayMap(`file`, ['{canary}'])"),
        format!("SELECT sum(1) OVER w FROM numbers(1) WINDOW w AS (PARTITION BY file('{canary}'))"),
        format!("SELECT sum(1) OVER w FROM numbers(1) WINDOW w AS (ORDER BY (SELECT l FROM {omitted}))"),
        window("SELECT query FROM system.processes LIMIT 1"),
        window("SELECT 1 SETTINGS max_threads = 64"),
        format!("WITH x AS (SELECT file('{canary}') AS a) SELECT * FROM x"),
        format!("SELECT 1 AS n, '' AS s ORDER BY n WITH FILL TO 3 INTERPOLATE (s AS file('{canary}'))"),
        format!("SELECT * FROM numbers(length(file('{canary}')))"),
        format!("SELECT * FROM (EXPLAIN SELECT file('{canary}'))"),
        format!("SELECT hasColumnInTable('{outside_at}', 'system', 'one', 'dummy')"),
        format!("SELECT sum(1) OVER (ORDER BY file('{canary}'))"),
        format!("SELECT 1 AS `a\n Function b`, file('{canary}')"),
        format!("SELECT * FROM file('{canary}', 'LineAsString', 'l String')"),
        format!("SELECT * FROM `{canary}`"),
        format!("SELECT * FROM default.`{canary}`"),
        format!("SELECT * FROM format(JSONEachRow, '{structure}', '{{\"a\":1}}')"),
        format!("SELECT * FROM values('{structure}', (1, 'x'))"),
        format!("SELECT 1) UNION ALL SELECT * FROM file('{canary}', 'LineAsString', 'l String') --"),
        format!("SELECT 1) UNION ALL (SELECT * FROM file('{canary}', 'LineAsString', 'l String')"),
        format!("SELECT 1) UNION ALL (SELECT file('{canary}')"),
        format!("SELECT 1 /* ) UNION ALL SELECT file('{canary}') FROM (SELECT 1"),
        format!("SELECT 1; SELECT file('{canary}')"),
        format!("SELECT catboostEvaluate('{canary}', 1)"),
        format!("SELECT * FROM viewExplain('EXPLAIN', '', (SELECT file('{canary}')))"),
        format!("SELECT * FROM view(SELECT file('{canary}'))"),
        format!("SELECT * FROM executable('cat {canary}', 'LineAsString', 'l String')"),
        format!("SELECT * FROM sqlite('{canary}', 't')"),
        format!("SELECT * FROM filesystem('{canary}')"),
        format!("SELECT * FROM url('http://{outside_at}/', 'LineAsString', 'l String')"),
        format!("SELECT * FROM s3('http://{outside_at}/bucket/key', 'LineAsString', 'l String')"),
        format!("SELECT * FROM remote('{outside_at}', 'system', 'one')"),
        format!("SELECT * FROM mysql('{outside_at}', 'd', 't', 'u', 'p')"),
        format!("SELECT * FROM postgresql('{outside_at}', 'd', 't', 'u', 'p')"),
        format!("SELECT * FROM mongodb('{outside_at}', 'd', 't', 'u', 'p', 'a UInt8')"),
        format!("SELECT * FROM redis('{outside_at}', 'k', 'k String')"),
        format!("SELECT 1 INTO OUTFILE '{}'", out.display()),
        format!("SELECT 1) INTO OUTFILE '{}' --", out.display()),
        format!(
            "INSERT INTO FUNCTION file('{}', 'CSV', 'a UInt8') VALUES (1)",
            out.display()
        ),
        "SELECT query FROM system.processes".to_owned(),
        "SELECT 1 IN system.processes".to_owned(),
        "SELECT * FROM system.users".to_owned(),
        "SELECT * FROM system.server_settings".to_owned(),
        "SELECT * FROM system.named_collections".to_owned(),
        "SELECT * FROM merge('system', 'processes')".to_owned(),
        "SELECT getServerSetting('path')".to_owned(),
        "SELECT sleep(1)".to_owned(),
        "SELECT 1 SETTINGS readonly = 0".to_owned(),
        "SELECT * FROM (SELECT 1 SETTINGS max_threads = 64)".to_owned(),
        "SELECT 1 FORMAT CSV SETTINGS max_threads = 64".to_owned(),
        "SET readonly = 0".to_owned(),
        "SET ROLE operator".to_owned(),
        "EXECUTE AS default SELECT 1".to_owned(),
        "KILL QUERY WHERE 1".to_owned(),
        "SYSTEM SHUTDOWN".to_owned(),
        "INSERT INTO items (id) VALUES (2)".to_owned(),
        "INSERT INTO items (id) SELECT 2".to_owned(),
        "WITH 2 AS x INSERT INTO items (id) SELECT x".to_owned(),
        "DROP TABLE items".to_owned(),
        "CREATE TEMPORARY TABLE t (a UInt8)".to_owned(),
        "EXPLAIN SELECT 1".to_owned(),
        "SHOW TABLES".to_owned(),
    ];
    for attempt in &attempts {
        let reply = front.post_as("readonly", &[], attempt.clone()).await;
        assert!(
            matches!(reply.status, 400 | 403 | 404 | 500),
            "{attempt}: {} {}",
            reply.status,
            reply.text()
        );
        assert!(!reply.text().contains(secret), "{attempt}");
        let code: u16 = reply
            .header("x-clickhouse-exception-code")
            .parse()
            .expect("a code");
        assert!(
            matches!(code, 46 | 60 | 62 | 164 | 497),
            "{attempt}: {}",
            reply.text()
        );
    }
    let parameters = [
        ("param_t", "system.processes"),
        ("param_d", "system"),
        ("param_p", "processes"),
        ("param_f", "file"),
    ];
    for attempt in [
        "SELECT * FROM {t:Identifier}".to_owned(),
        "SELECT * FROM {d:Identifier}.{p:Identifier}".to_owned(),
        format!("SELECT arrayMap({{f:Identifier}}, ['{canary}'])"),
        window("SELECT query FROM {t:Identifier} LIMIT 1"),
    ] {
        let reply = front.post_as("readonly", &parameters, attempt.clone()).await;
        assert_ne!(reply.status, 200, "{attempt}: {}", reply.text());
    }
    for (name, value) in [
        ("readonly", "0"),
        ("max_execution_time", "3600"),
        ("max_threads", "64"),
        ("output_format_schema", "/tmp/x"),
        ("database", "system"),
        ("role", "operator"),
    ] {
        let reply = front.post_as("readonly", &[(name, value)], "SELECT 1").await;
        assert_ne!(reply.status, 200, "{name}={value}");
    }
    let many = front
        .post_as("readonly", &[], "SELECT number FROM numbers(2000000)")
        .await;
    assert!(
        many.text().contains("TOO_MANY_ROWS") || many.broken,
        "{}",
        many.status
    );

    assert!(outside.accept().is_err(), "something was asked outside");
    assert!(!out.exists(), "a file was written");
    assert_eq!(front.ask("SELECT count() FROM items").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_does_not_get_out_of_the_data_directory() {
    // SAFETY: asks the kernel for its version of Landlock, changes nothing.
    let version = unsafe { nix::libc::syscall(nix::libc::SYS_landlock_create_ruleset, 0, 0, 1) };
    if version < 1 {
        eprintln!("this kernel has no Landlock: nothing to see");
        return;
    }
    let (directory, front) = front();
    let password = directory.path().join("clickhouse.password").display().to_string();
    for path in ["/etc/passwd", password.as_str()] {
        let reply = front.post(&[], format!("SELECT file('{path}')")).await;
        assert!(
            reply.status != 200 && !reply.text().contains(&front.operator),
            "{}",
            reply.text()
        );
        assert!(reply.text().contains("CANNOT_OPEN_FILE"), "{}", reply.text());
    }
}
