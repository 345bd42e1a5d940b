//! What the stories share: a running server ([`app`]), those who talk to it ([`caller`]), the log it stands on
//! ([`brokers`]), events of which everything is known ([`deeds`]), what answers must look like ([`conformance`], [`shape`]),
//! and children that end with the tests ([`leash`, `ending`]).

pub mod app;
pub mod brokers;
pub mod caller;
pub mod clickhouse_front;
pub mod conformance;
pub mod deeds;
pub mod ending;
pub mod leash;
pub mod shape;
pub mod wait;
pub mod watcher;

use std::path::PathBuf;

pub use app::{App, Child};
pub use caller::{Answer, Caller};
pub use wait::{until, until_some};
pub use watcher::Watcher;

/// The Python with the clients that others wrote, from the environment that `scripts/engines python` makes.
pub fn python() -> PathBuf {
    brought("python/bin/python", "python")
}

/// newman, which runs Postman collections.
pub fn newman() -> PathBuf {
    brought("node/node_modules/.bin/newman", "node")
}

/// What `scripts/engines` has brought.
fn brought(file: &str, engine: &str) -> PathBuf {
    let home =
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/trailhouse/engines");
    let found = std::env::var_os("TRAILHOUSE_ENGINES")
        .map_or_else(home, Into::into)
        .join(file);
    assert!(
        found.exists(),
        "{} is missing: run scripts/engines {engine}",
        found.display()
    );
    found
}

/// A credential of nobody's, a name of nobody's: fresh on every call.
pub fn unique(what: &str) -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    format!("{what}-{}", &id[20..])
}
