//! What the stories share: a running server ([`app`]), those who talk to it ([`caller`]), the log it stands on
//! ([`brokers`]), events of which everything is known ([`deeds`]), and children that end with the tests ([`leash`, `ending`]).

pub mod app;
pub mod brokers;
pub mod caller;
pub mod clickhouse_front;
pub mod deeds;
pub mod ending;
pub mod leash;
pub mod shape;
pub mod wait;
pub mod watcher;

pub use app::{App, Child};
pub use caller::{Answer, Caller};
pub use wait::{until, until_some};
pub use watcher::Watcher;

/// The Python with the clients that others wrote, from the environment that `scripts/engines python` makes.
pub fn python() -> std::path::PathBuf {
    let engines = std::env::var_os("TRAILHOUSE_ENGINES").map_or_else(
        || {
            std::path::PathBuf::from(std::env::var_os("HOME").unwrap_or_default())
                .join(".cache/trailhouse/engines")
        },
        Into::into,
    );
    let python = engines.join("python/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run scripts/engines python",
        python.display()
    );
    python
}

/// A credential of nobody's, a name of nobody's: fresh on every call.
pub fn unique(what: &str) -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    format!("{what}-{}", &id[20..])
}
