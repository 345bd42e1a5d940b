//! How commands reach a running server, and the engines it has started.

use std::net::SocketAddr;

use clap::Args;
use toml::{Table, Value};

/// Where a running server is.
#[derive(Args, Clone)]
pub(crate) struct Address {
    /// The running server
    #[arg(
        long,
        global = true,
        env = "TRAILHOUSE_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
}

/// A running server, and who asks it.
#[derive(Args, Clone)]
pub(crate) struct Remote {
    #[command(flatten)]
    address: Address,
    /// Token or API key
    #[arg(long, global = true, env = "TRAILHOUSE_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Address {
    /// A route of it.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// What to say when it does not answer.
    pub(crate) fn unreachable(&self) -> String {
        format!(
            "no Trailhouse answers at {}: start one with `trailhouse serve`, or name it with --url",
            self.url
        )
    }
}

impl Remote {
    /// A route of it.
    pub(crate) fn at(&self, path: &str) -> String {
        self.address.at(path)
    }

    /// What to say when it does not answer.
    pub(crate) fn unreachable(&self) -> String {
        self.address.unreachable()
    }

    /// The credential.
    pub(crate) fn token(&self) -> anyhow::Result<&str> {
        self.token.as_deref().ok_or_else(|| {
            anyhow::anyhow!("a token is needed: --token or TRAILHOUSE_TOKEN; `trailhouse token` prints one")
        })
    }
}

/// The embedded engines of a server.
#[derive(Args, Clone)]
pub(crate) struct Engines {
    /// Address of the embedded log [default: 127.0.0.1:9092]
    #[arg(long, value_name = "ADDR")]
    kafka_listen: Option<SocketAddr>,
    /// Address of the embedded ClickHouse [default: 127.0.0.1:8123]
    #[arg(long, value_name = "ADDR")]
    clickhouse_listen: Option<SocketAddr>,
}

impl Engines {
    /// The flags as settings.
    pub(crate) fn flags(&self) -> Table {
        let mut flags = Table::new();
        set(&mut flags, "engines", "kafka_listen", self.kafka_listen.map(text));
        set(
            &mut flags,
            "engines",
            "clickhouse_listen",
            self.clickhouse_listen.map(text),
        );
        flags
    }
}

/// Sets what was given.
pub(crate) fn set(flags: &mut Table, section: &str, key: &str, value: Option<Value>) {
    let section = flags.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let (Some(value), Value::Table(section)) = (value, section) {
        section.insert(key.into(), value);
    }
}

/// An address as a setting.
pub(crate) fn text(address: SocketAddr) -> Value {
    Value::String(address.to_string())
}
