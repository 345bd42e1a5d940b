//! The connections to the log and to ClickHouse, embedded or elsewhere.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::SecretString;

use super::CLICKHOUSE_PASSWORD;
use crate::config::Config;
use crate::log::Log;
use crate::log::registry::Registry;
use crate::store::Store;

/// The two connections that commands on the log and the table work with, as `serve` with the same configuration has
/// them.
pub struct Connections {
    /// The log.
    pub log: Log,
    /// ClickHouse.
    pub store: Store,
    /// Schemas, where a registry is configured.
    pub registry: Option<Arc<Registry>>,
}

impl Connections {
    /// Connects to what the configuration names, the embedded engines of a running server included.
    pub fn open(config: &Config) -> anyhow::Result<Self> {
        let brokers = match config.log.brokers.as_str() {
            "" => config.engines.kafka_listen.to_string(),
            brokers => brokers.to_owned(),
        };
        let clickhouse = match &config.clickhouse.url {
            Some(url) => url.clone(),
            None => format!("http://{}", config.engines.clickhouse_listen),
        };
        Self::to(config, brokers, clickhouse)
    }

    pub(super) fn to(config: &Config, brokers: String, clickhouse: String) -> anyhow::Result<Self> {
        let mut log = config.log.clone();
        if log.brokers.is_empty() {
            suit_the_embedded_broker(&mut log);
        }
        log.brokers = brokers;
        let mut store = config.clickhouse.clone();
        if store.url.is_none() {
            store.password = Some(embedded_password(&config.data_dir)?);
        }
        store.url = Some(clickhouse);
        let registry = Registry::new(&log)?.map(Arc::new);
        Ok(Self {
            log: Log::new(&log, &member(&config.data_dir))?,
            store: Store::new(&store)?,
            registry,
        })
    }
}

/// The embedded broker writes one request at a time, so several partitions only make more of them. It keeps each
/// record by itself, so it would unpack what is compressed, and pack it again for every reader.
fn suit_the_embedded_broker(log: &mut crate::log::Config) {
    log.partitions.get_or_insert(1);
    log.librdkafka
        .entry("compression.type".into())
        .or_insert("none".into());
}

fn embedded_password(data_dir: &Path) -> anyhow::Result<SecretString> {
    let path = data_dir.join(CLICKHOUSE_PASSWORD);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("the embedded ClickHouse's password is not at {}: start `trailhouse serve` there first, or name its --data-dir", path.display())
    })?;
    Ok(text.trim().to_owned().into())
}

/// This instance's name in consumer groups: the same after a restart, because it comes from the data directory.
pub(super) fn member(data_dir: &Path) -> String {
    let path = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    let host = nix::unistd::gethostname().unwrap_or_default();
    let digest = crate::crypto::digest::sha256(format!("{}\0{}", host.display(), path.display()).as_bytes());
    let short = digest
        .iter()
        .take(8)
        .fold(0u64, |name, byte| name << 8 | u64::from(*byte));
    format!("trailhouse-{short:016x}")
}
