//! Events about which everything is known by their number.

use serde_json::{Value, json};

use super::Caller;

/// So many deeds, one an hour from 2026 on.
pub async fn deeds(acme: &Caller, count: usize) {
    let events: Vec<Value> = (0..count).map(deed).collect();
    let answer = acme
        .post("/api/v1/logs/bulk?wait=indexed", &json!(events))
        .await
        .expect(200);
    assert_eq!(answer["accepted"], count);
}

fn deed(n: usize) -> Value {
    let (kind, action) = [
        ("user.login", "LOGIN"),
        ("document.update", "UPDATE"),
        ("document.delete", "DELETE"),
    ][n % 3];
    let (severity, outcome) = (
        ["INFO", "WARNING", "ERROR", "CRITICAL"][n % 4],
        ["success", "failure"][n % 2],
    );
    let message = match n % 10 {
        0 => "The quick brown fox opened ticket",
        _ => "Nothing happened",
    };
    let ip = format!("10.0.{}.{n}", n % 4);
    json!({
        "event_type": kind,
        "action": action,
        "time": 1_767_225_600 + 3_600 * n,
        "severity": severity,
        "outcome": outcome,
        "actor": {"id": format!("user{}", n % 5), "ip": ip, "session_id": format!("s{}", n % 7)},
        "resource": {"type": "document", "id": format!("doc-{n}")},
        "message": format!("{message} {n}"),
        "request_id": format!("r{n}"),
        "trace_id": format!("t{}", n / 10),
        "tags": [format!("tag{}", n % 3)],
        "details": {
            "amount": n,
            "cart": {"items": [{"sku": format!("A{}", n % 6)}]},
            "note": "it's 100% \"odd\"",
        },
    })
}
