//! `trailhouse tail`: what comes is printed, also after the server was away.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;

use crate::support::App;
use crate::support::wait::PATIENCE;

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .expect("a line comes");
    serde_json::from_str(&line.unwrap().expect("it goes on")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_prints_what_comes_and_goes_on_after_a_restart() {
    let app = App::start_with(&[]).await;
    let acme = app.tenant("tailed").await;
    let (url, token) = (
        format!("http://{}", app.at().web),
        acme.credential.clone().unwrap(),
    );
    let remote = ["--url", &url, "--token", &token];
    for n in 0..4 {
        acme.take(
            &json!({"event_id": format!("t-{n}"), "user_id": format!("u{}", n % 2), "message": "a\nb"}),
        )
        .await;
    }
    let arguments = [
        &["tail", "user_id!=u0", "q=a b", "--since", "2026-01-01"],
        &remote[..],
    ]
    .concat();
    let mut tail = app.goes_on(&arguments);
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut seen =
        [next(&mut lines).await, next(&mut lines).await].map(|event| event["source_event_id"].clone());
    seen.sort_by_key(Value::to_string);
    assert_eq!(seen, ["t-1", "t-3"]);
    assert!(app.stop().await.success());
    app.start().await;
    acme.take(&json!({"event_id": "after", "user_id": "u1", "message": "a b"}))
        .await;
    assert_eq!(next(&mut lines).await["source_event_id"], "after");

    for (wrong, says) in [
        (&["tail", "usr_id=x", "severity=BAD"][..], "severity: expected"),
        (&["tail", "--token", "wrong"], "`trailhouse token`"),
        (&["tail", "--cursor", "x"], "cursor"),
    ] {
        let remote = match wrong.contains(&"--token") {
            true => &remote[..2],
            false => &remote[..],
        };
        let ran = app.run(&[wrong, remote].concat()).await;
        assert!(!ran.ok && ran.err.contains(says), "{wrong:?}: {}", ran.err);
    }
}
