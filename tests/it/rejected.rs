//! What was rejected, taken in again on an operator's word.

use serde_json::json;
use trailhouse::log::topics;

use crate::support::{App, until};

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_tenant_that_is_not_listed_are_taken_in_where_the_operator_names_it() {
    let app = App::start_with(&[]).await;
    let late = app.named_tenant("late").await;
    // What is asked for and not there is said.
    let ran = app.run(&["rejected", "replay", "--offset", "999999"]).await;
    assert!(!ran.ok && ran.err.contains("holds no such record"), "{ran:?}");
    let ran = app.run(&["rejected", "list"]).await;
    assert!(
        ran.ok && ran.out.is_empty() && ran.err.contains("holds no such record"),
        "{ran:?}"
    );
    let ran = app.run(&["rejected", "list", "--reason", "nosuch"]).await;
    assert!(!ran.ok && ran.err.contains("other_tenant, unreadable"), "{ran:?}");

    for tenant in ["late", "no-such"] {
        // No id: it gets one from its place.
        let event = json!({"event_type": "late", "user_id": "ada"}).to_string();
        app.produce(topics::INBOX, b"k", event.as_bytes(), &[("tenant", tenant)])
            .await;
    }
    until("both are rejected", async || app.all_rejected().await.len() == 2).await;

    // Whoever may write to the inbox can name any tenant: nothing is taken in unawares.
    let ran = app.run(&["rejected", "replay"]).await;
    assert!(
        !ran.ok && ran.out.contains("--allow-tenant late") && ran.out.contains("0 records"),
        "{ran:?}"
    );
    let replay = ["rejected", "replay", "--allow-tenant", "late"];
    let ran = app.run(&replay).await;
    assert!(
        ran.ok && ran.out.contains("1 records were taken in") && ran.out.contains("--allow-tenant no-such"),
        "{ran:?}"
    );
    until("the event is found", async || {
        late.found(&[("event_type", "late")]).await.len() == 1
    })
    .await;

    // A second time makes no second event, and nobody gets a tenant by being named.
    let ran = app.run(&replay).await;
    assert!(ran.ok, "{ran:?}");
    let ran = app
        .run(&["rejected", "replay", "--allow-tenant", "no-such"])
        .await;
    assert!(
        !ran.ok && ran.out.contains("there is no tenant no-such"),
        "{ran:?}"
    );
    late.take(&json!({"event_type": "after"})).await;
    assert_eq!(late.found(&[("event_type", "late")]).await.len(), 1);
    assert_eq!(app.all_rejected().await.len(), 2, "nothing is rejected anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_warns_of_tenants_of_the_inbox_that_do_not_exist() {
    // They are made by stories, after its start.
    let log = App::shared().await.log();
    for name in ["inbox-a", "inbox-b"] {
        assert!(log.contains(&format!("gate.allow_tenants names {name}")), "{log}");
    }
    assert!(!log.contains("gate.tenant names"), "{log}");
}
