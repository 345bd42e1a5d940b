//! What the stories share: a running server ([`app`]), those who talk to it ([`caller`]), the log it stands on
//! ([`brokers`]), and children that end with the tests ([`leash`]).

pub mod app;
pub mod brokers;
pub mod caller;
pub mod clickhouse_front;
pub mod leash;
pub mod wait;

pub use app::{App, Child};
pub use caller::{Answer, Caller};
pub use wait::{until, until_some};

/// A credential of nobody's, a name of nobody's: fresh on every call.
pub fn unique(what: &str) -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    format!("{what}-{}", &id[20..])
}
