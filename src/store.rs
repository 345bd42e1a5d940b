//! The connection to ClickHouse, the read side of the platform.
//!
//! Everything in ClickHouse can be dropped and rebuilt from the log, so nothing here is the truth; but every reader
//! of events goes through here. A question is a [`Statement`]: fixed SQL text with bound values, sent over HTTP with
//! bounds on time and memory, answered row by row. What can go wrong is one of a few things ([`StoreError`]), and
//! callers decide by them: wait, narrow the question, mend the data, or report a fault.
//!
//! - [`row`] is the event as a row, [`details`] its open-ended part as columns, [`original`] what it came from; rows are
//!   written in blocks of columns (`block`).
//! - [`held`] asks what the table holds already, for those who write; [`tables`] creates, exchanges and cleans them.
//! - [`progress`] says how far this process's projector has come.

mod block;
mod cleanup;
pub mod details;
pub mod error;
pub mod held;
mod long;
pub mod original;
pub mod progress;
pub mod row;
pub mod statement;
pub mod tables;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clickhouse::{Client, Compression, Row, RowRead};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub use error::StoreError;
pub use row::EventRow;
pub use statement::{Statement, Value};

/// ClickHouse closes an idle connection after 3 s by default; ours end before, so that no request meets a closed one.
const IDLE_CONNECTIONS_END: Duration = Duration::from_secs(2);

/// The section `clickhouse` of the configuration: where it is, and what a question to it may cost.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// Its HTTP interface: `http://host:8123` or `https://host:8443`. Without one, the embedded ClickHouse is used.
    pub url: Option<String>,

    /// User name.
    #[config(default = "default")]
    pub user: String,

    /// Password.
    pub password: Option<SecretString>,

    /// The database that holds our tables.
    #[config(default = "trailhouse")]
    pub database: String,

    /// For the TCP connection to stand, in milliseconds.
    #[config(default = 2000)]
    pub connect_timeout_ms: u64,

    /// For a whole answer, in milliseconds; the server is told to stop a second earlier, so that its reason arrives.
    #[config(default = 10000)]
    pub query_timeout_ms: u64,

    /// Memory that one question may use in the server, in bytes.
    #[config(default = 1073741824)]
    pub query_memory: u64,

    /// Searches that each instance runs at once; further ones wait a moment for their turn, shared out among tenants.
    /// Unset: two a core of this machine, at least 4.
    pub searches_at_once: Option<NonZeroUsize>,
}

/// A handle on ClickHouse; cheap to clone, connections are shared.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    database: String,
    connect_timeout: Duration,
    query_timeout: Duration,
    query_memory: u64,
    searches_at_once: NonZeroUsize,
}

impl Store {
    /// A handle; nothing is sent yet. [`StoreError::Broken`] when the configuration names no address, or the machine's
    /// root certificates can't be read.
    pub fn new(config: &Config) -> Result<Self, StoreError> {
        let url = config
            .url
            .as_deref()
            .ok_or_else(|| StoreError::Broken("no clickhouse.url is known".to_owned()))?;
        let connect_timeout = Duration::from_millis(config.connect_timeout_ms);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let mut http = HyperClient::builder(TokioExecutor::new());
        http.pool_idle_timeout(IDLE_CONNECTIONS_END);
        let client = if url.starts_with("https:") {
            let tls = HttpsConnectorBuilder::new()
                .with_native_roots()
                .map_err(|error| StoreError::Broken(format!("no root certificates: {error}")))?;
            Client::with_http_client(http.build(tls.https_or_http().enable_http1().wrap_connector(tcp)))
        } else {
            Client::with_http_client(http.build(tcp))
        };
        let client = client
            .with_url(url)
            .with_user(&config.user)
            .with_password(
                config
                    .password
                    .as_ref()
                    .map_or("", |password| password.expose_secret()),
            )
            .with_database(&config.database)
            // Since 26.2 a server gathers small inserts by default; ours are gathered already, and must be in the
            // table when they are answered.
            .with_setting("async_insert", "0");
        // On one machine, packing costs both sides more than the bytes do.
        let client = if is_here(url) {
            client.with_compression(Compression::None)
        } else {
            client
        };
        Ok(Self {
            client,
            database: config.database.clone(),
            connect_timeout,
            query_timeout: Duration::from_millis(config.query_timeout_ms),
            query_memory: config.query_memory,
            searches_at_once: config.searches_at_once.unwrap_or_else(two_a_core),
        })
    }

    /// How many searches may run at once.
    pub fn searches_at_once(&self) -> NonZeroUsize {
        self.searches_at_once
    }

    /// The longest that a question is waited for.
    pub fn query_timeout(&self) -> Duration {
        self.query_timeout
    }

    /// The crate's client, for inserts and for table definitions.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether ClickHouse answers at all.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let answer = self.client.query_raw("SELECT 1").execute();
        tokio::time::timeout(self.connect_timeout, answer)
            .await
            .map_err(|_| StoreError::no_answer())??;
        Ok(())
    }

    /// Runs a statement that answers nothing.
    pub async fn execute(&self, statement: &Statement) -> Result<(), StoreError> {
        let answer = self.query(statement).execute();
        tokio::time::timeout(self.query_timeout, answer)
            .await
            .map_err(|_| StoreError::no_answer())??;
        Ok(())
    }

    /// Hands every row of the answer to `take`, which may end it with an error of its own.
    pub async fn each<R, F>(&self, statement: &Statement, mut take: F) -> Result<(), StoreError>
    where
        R: Row + RowRead,
        F: FnMut(R::Value<'_>) -> Result<(), StoreError>,
    {
        let answer = async {
            let mut rows = only_reading(self.query(statement)).fetch::<R>()?;
            while let Some(row) = rows.next().await? {
                take(row)?;
            }
            Ok(())
        };
        tokio::time::timeout(self.query_timeout, answer)
            .await
            .map_err(|_| StoreError::no_answer())?
    }

    /// All rows of the answer, where they own what they hold.
    pub async fn rows<R>(&self, statement: &Statement) -> Result<Vec<R>, StoreError>
    where
        R: Row + RowRead + for<'a> Row<Value<'a> = R>,
    {
        let mut rows = Vec::new();
        self.each::<R, _>(statement, |row| {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// The months (`yyyymm`) in which a record may stand twice for now.
    pub async fn dirty_months(&self) -> Result<Vec<u32>, StoreError> {
        let mut statement = Statement::new();
        statement.push("SELECT month FROM dirty_months FINAL WHERE dirty ORDER BY month");
        Ok(self
            .rows::<Month>(&statement)
            .await?
            .into_iter()
            .map(|row| row.month)
            .collect())
    }

    /// Marks months as dirty. The order of a month's marks is that of ClickHouse's clock, which all instances share, and
    /// each stands above those before it, whatever that clock says.
    pub async fn mark_months(&self, months: &[u32]) -> Result<(), StoreError> {
        let months = || Value::numbers(months.iter().map(|month| i128::from(*month)));
        let mut statement = Statement::new();
        statement
            .push("INSERT INTO dirty_months (month, dirty, marked_at) ")
            .push("SELECT month, true, greatest(now64(6, 'UTC'), max(marked_at) + toIntervalMicrosecond(2)) ")
            .push("FROM (SELECT month, marked_at FROM dirty_months WHERE month IN ")
            .bind("Array(UInt32)", months())
            .push(" UNION ALL SELECT arrayJoin(")
            .bind("Array(UInt32)", months())
            .push("), toDateTime64(0, 6, 'UTC')) GROUP BY month");
        self.execute(&statement).await
    }

    fn query(&self, statement: &Statement) -> clickhouse::query::Query {
        let seconds = self
            .query_timeout
            .saturating_sub(Duration::from_secs(1))
            .max(Duration::from_secs(1));
        self.unbounded(statement)
            .with_setting("max_execution_time", format!("{:.3}", seconds.as_secs_f64()))
            .with_setting("max_memory_usage", self.query_memory.to_string())
    }

    /// A statement with its values and settings.
    fn unbounded(&self, statement: &Statement) -> clickhouse::query::Query {
        let query = self.client.query_raw(statement.sql());
        let query = statement
            .settings()
            .fold(query, |query, (name, value)| query.with_setting(name, value));
        statement
            .params()
            .fold(query, |query, (name, value)| query.param(&name, value))
    }
}

/// Whether an address is of this machine.
fn is_here(url: &str) -> bool {
    let host = url
        .parse::<http::Uri>()
        .ok()
        .and_then(|url| url.host().map(str::to_owned));
    host.is_some_and(|host| {
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

/// Ends with its connection: a server watches for that only where it is told to, and only what can't write. The
/// connection ends when nobody waits for the answer any more.
fn only_reading(query: clickhouse::query::Query) -> clickhouse::query::Query {
    query
        .with_setting("readonly", "2")
        .with_setting("cancel_http_readonly_queries_on_client_close", "1")
}

/// As many as the embedded ClickHouse runs statements at once.
fn two_a_core() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    NonZeroUsize::new(cores.saturating_mul(2).max(4)).unwrap_or(NonZeroUsize::MIN)
}

#[derive(Row, Deserialize)]
struct Month {
    month: u32,
}

#[cfg(test)]
mod tests {
    use confique::Config as _;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What a server is asked, up to the end of the request's head; it answers nothing to everything.
    pub(super) async fn asked(listener: &TcpListener) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        String::from_utf8_lossy(&head).into_owned()
    }

    /// A handle on it.
    pub(super) fn store_at(listener: &TcpListener) -> Store {
        let mut config = Config::builder().load().unwrap();
        config.url = Some(format!("http://{}", listener.local_addr().unwrap()));
        Store::new(&config).unwrap()
    }

    #[tokio::test]
    async fn a_server_is_told_to_end_what_nobody_waits_for_where_it_only_reads() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = store_at(&listener);
        let (_, head) = tokio::join!(store.dirty_months(), asked(&listener));
        for setting in [
            "readonly=2",
            "cancel_http_readonly_queries_on_client_close=1",
            "max_execution_time=9.000",
        ] {
            assert!(head.contains(setting), "{setting}: {head}");
        }
        let mut writes = Statement::new();
        writes.push("INSERT INTO t SELECT 1");
        let (_, head) = tokio::join!(store.execute(&writes), asked(&listener));
        assert!(!head.contains("readonly"), "{head}");
    }
}
