//! The embedded engines: the broker and the ClickHouse that `serve` runs as children on one machine.
//!
//! `serve` takes the data directory ([`DataDir`]), finds the engines ([`EngineDirs`]), and starts each as an
//! [`Engine`]: a child process that is watched, started again when it dies or hangs, and stopped in order. The rest of the
//! program sees only their addresses and cannot tell them from a broker and a ClickHouse that run elsewhere.
//!
//! What holds:
//! - One server a data directory: a lock, held as long as the process lives.
//! - No orphans. The kernel kills a child when the thread that forked it ends (`child`), which is why one thread
//!   lives as long as the process and forks them all; where the kernel has no such thing, the ClickHouse child
//!   reads its standard input and ends with it ([`parent_gone`]). What a crash leaves behind all the same is
//!   known by the pid file and is ended by the next start (`pidfile`).
//! - A start that cannot work says in one sentence what to do.

mod child;
pub mod disk;
mod home;
mod locate;
mod output;
mod pidfile;
mod probe;
mod spec;
mod supervise;

pub mod broker;
pub mod clickhouse;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use child::parent_gone;
pub use disk::{DataDir, free_percent as disk_free_percent};
pub use locate::{EngineDirs, LIBCHDB_VERSION, Missing, NISSHI_VERSION};
pub use supervise::{Engine, Status};

/// The section `engines` of the configuration. It counts for an engine only where no other is configured: with
/// `log.brokers` no broker is started, with `clickhouse.url` no ClickHouse.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// Where the engines are installed, as `scripts/engines` leaves them. Default: `TRAILHOUSE_ENGINES`, else
    /// `~/.cache/trailhouse/engines`.
    pub dir: Option<PathBuf>,

    /// Address of the embedded broker. Port 0 takes a free one.
    #[config(default = "127.0.0.1:9092")]
    pub kafka_listen: SocketAddr,

    /// Address of the embedded ClickHouse's HTTP interface. Port 0 takes a free one.
    #[config(default = "127.0.0.1:8123")]
    pub clickhouse_listen: SocketAddr,

    /// An engine that has answered nothing for so many seconds is killed and started again. At least 1.
    #[config(default = 30)]
    pub hung_after_seconds: u64,
}

impl Config {
    fn hung_after(&self) -> Duration {
        Duration::from_secs(self.hung_after_seconds.max(1))
    }
}

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It is not installed, or not usable.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Somebody else listens on its port.
    #[error(
        "{engine} cannot listen on {listen}: the port is taken; free it, or choose another with {flag} (port 0 takes a free one)"
    )]
    PortTaken {
        /// The engine's name.
        engine: &'static str,
        /// The address that was asked for.
        listen: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// The address is no address of this machine, or not ours to use.
    #[error("{engine} cannot listen on {listen}: {source}; choose another address with {flag}")]
    Address {
        /// The engine's name.
        engine: &'static str,
        /// The address that was asked for.
        listen: SocketAddr,
        /// The flag that changes it.
        flag: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended before it answered.
    #[error("{engine} ended before it answered ({exit}): {last_words}; more in {}", .log.display())]
    Ended {
        /// The engine's name.
        engine: &'static str,
        /// Its exit status.
        exit: String,
        /// The last line it wrote.
        last_words: String,
        /// Its log.
        log: PathBuf,
    },
    /// It runs and does not answer.
    #[error("{engine} did not answer on {listen} within {seconds} s; see {}", .log.display())]
    Silent {
        /// The engine's name.
        engine: &'static str,
        /// Where it was asked.
        listen: SocketAddr,
        /// How long.
        seconds: u64,
        /// Its log.
        log: PathBuf,
    },
    /// The system refused something.
    #[error("{engine}: cannot {act}: {source}")]
    Io {
        /// The engine's name.
        engine: &'static str,
        /// What was tried.
        act: String,
        /// What the system said.
        source: std::io::Error,
    },
}
