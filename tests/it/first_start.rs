//! A first start that fails, for one reason after the other: nothing is made too early, nothing shown too late.

use std::net::TcpListener;

use crate::support::app::{PASSWORD, Ran};
use crate::support::{App, unique};

/// What a start says that fails.
async fn refused(app: &App) -> Ran {
    let ran = app.run(&["serve"]).await;
    assert!(!ran.ok, "{ran:?}");
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_keeps_the_first_start_from_its_end_the_password_is_shown_by_the_one_that_succeeds() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let app = App::prepared(&[("TRAILHOUSE_ADMIN_PASSWORD", "")]).await;
    for (name, value, wrong, said) in [
        (
            "TRAILHOUSE_WEB__LISTEN",
            "127.0.0.1:0",
            taken.as_str(),
            "can't listen for HTTP",
        ),
        (
            "TRAILHOUSE_ADMIN_PASSWORD",
            "",
            "short",
            "TRAILHOUSE_ADMIN_PASSWORD: a password needs at least 8",
        ),
        (
            "TRAILHOUSE_MASTER_KEY",
            "",
            "c2hvcnQ=",
            "TRAILHOUSE_MASTER_KEY does not hold master keys",
        ),
        ("TRAILHOUSE_LOG__REPLICATION", "1", "0", "log.replication is 0"),
    ] {
        app.set(name, wrong);
        let ran = refused(&app).await;
        assert!(ran.err.contains(said), "{name}: {ran:?}");
        assert!(!ran.err.contains("started"), "the engines were: {ran:?}");
        app.set(name, value);
    }
    // What is only found out with the engines' help: nothing was made that is shown once.
    app.set("TRAILHOUSE_LOG__SCHEMA_REGISTRY", "http://127.0.0.1:1");
    let ran = refused(&app).await;
    assert!(ran.out.is_empty(), "{ran:?}");
    app.set("TRAILHOUSE_LOG__SCHEMA_REGISTRY", "");

    app.start().await;
    let greeting = app.greeting();
    assert!(greeting.contains("was made just now"), "{greeting}");
    let (_, rest) = greeting.split_once("password  ").expect("a password is shown");
    app.login("admin", rest.split_whitespace().next().unwrap()).await;

    // From now on it is nobody's to show, and what to do about that is said.
    assert!(app.stop().await.success());
    app.start().await;
    let greeting = app.greeting();
    assert!(
        !greeting.contains("just now") && greeting.contains("trailhouse user reset-password admin"),
        "{greeting}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_keys_are_made_in_the_place_of_those_that_were_lost() {
    let app = App::start_with(&[]).await;
    assert!(app.stop().await.success());
    let (keys, kept) = (app.data_dir().join("keys"), app.home().join(unique("keys")));
    std::fs::rename(&keys, &kept).unwrap();
    let ran = refused(&app).await;
    assert!(
        ran.err.contains("restore it from its backup") && !keys.exists(),
        "{ran:?}"
    );
    std::fs::rename(&kept, &keys).unwrap();
    app.start().await;
    std::fs::rename(&keys, &kept).unwrap();
    let ran = app.run(&["verify"]).await;
    assert!(
        !ran.ok && ran.err.contains("restore it from its backup") && !keys.exists(),
        "{ran:?}"
    );
    std::fs::rename(&kept, &keys).unwrap();
    app.login("admin", PASSWORD).await;
}
