//! ClickHouse in a process of our own: the real engine, loaded as a library, behind the HTTP interface that every
//! ClickHouse client speaks. It is what `trailhouse clickhouse` runs and the embedded default of `serve`.
//!
//! The way of a request: `front` takes it, `accounts` says who asks, `request` what, `body` unpacks the statement and
//! spools the data of an `INSERT`, `framing` finds where the statement's parts are; a lane of the `engine` runs it
//! (`statement`), behind the fence of `reader` when the read-only user asks; rows come through a pipe and the `pump`
//! into the `answer`. No SQL is understood here beyond where a statement's `FORMAT` and data are.
//!
//! What differs from a server: one user name in the engine for everybody, so `system.processes` shows `default`; the
//! client's `query_id` is the query's `log_comment`, and `KILL QUERY WHERE query_id = …` is understood in that sense;
//! an `INSERT` begins when its data are all here; there are no external tables, roles, quotas and progress headers.

mod accounts;
mod answer;
mod blocks;
mod body;
mod configuration;
mod door;
mod encoding;
mod engine;
mod exception;
mod framing;
mod front;
mod lexer;
mod library;
mod places;
mod plan;
mod pump;
mod reader;
mod request;
mod scrutiny;
mod sessions;
mod spool;
mod statement;
mod walls;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use accounts::Accounts;
use door::{Door, Flushed};
use engine::{Boot, Engine};
use front::Front;
use places::{Places, QueryIds};
pub use reader::ReaderLimits;
use sessions::Sessions;

/// How to run the embedded ClickHouse.
#[derive(Debug, Clone)]
pub struct Config {
    /// Everything it keeps: `store/` (the engine's), `spool/`, `config/`, and while it runs `clickhouse.address`,
    /// which says where it listens.
    pub data_dir: PathBuf,
    /// The engine, `libchdb.so`.
    pub library: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether `listen` may be beyond loopback. The interface has no TLS.
    pub allow_remote: bool,
    /// Password of the user `default`; `None`: kept in `password_file`, and made there at the first start.
    pub password: Option<SecretString>,
    /// Default `clickhouse.password` in `data_dir`.
    pub password_file: PathBuf,
    /// Password of the user `readonly`; `None`: kept in `reader_password_file`.
    pub reader_password: Option<SecretString>,
    /// Default `clickhouse.readonly.password` in `data_dir`.
    pub reader_password_file: PathBuf,
    /// What one query of `readonly` may use.
    pub reader_limits: ReaderLimits,
    /// Bytes of memory the engine may take; `None`: 40 % of the machine's, at most 2 GiB.
    pub max_memory: Option<u64>,
    /// Statements run at once; `None`: two a core, at least 4.
    pub lanes: Option<NonZeroUsize>,
    /// Statements that may wait for a place; one more is answered 503.
    pub queue: usize,
    /// How long one waits before it is answered 503.
    pub queue_wait: Duration,
    /// The most data of one `INSERT`, in bytes after decompression. They wait on disk.
    pub body_max: u64,
    /// How long a client may leave rows unread before its query is stopped.
    pub send_timeout: Duration,
    /// How long running statements may go on after a stop.
    pub drain: Duration,
    /// Confine the engine to its directories, where the kernel has Landlock.
    pub landlock: bool,
}

impl Config {
    /// The defaults for an engine at `library` with its data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>, listen: SocketAddr, library: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            password_file: data_dir.join("clickhouse.password"),
            reader_password_file: data_dir.join("clickhouse.readonly.password"),
            data_dir,
            library: library.into(),
            listen,
            allow_remote: false,
            password: None,
            reader_password: None,
            reader_limits: ReaderLimits::default(),
            max_memory: None,
            lanes: None,
            queue: 256,
            queue_wait: Duration::from_secs(10),
            body_max: 4 << 30,
            send_timeout: Duration::from_secs(300),
            drain: Duration::from_secs(10),
            landlock: true,
        }
    }
}

/// Why the embedded ClickHouse does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is open to others, and nobody said so.
    #[error(
        "refusing to listen on {0}: it is not a loopback address, and the interface has no TLS; say so explicitly to allow it"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A directory or file of ours.
    #[error("cannot use {path}: {source}")]
    Files {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The library is missing, or not what it should be.
    #[error("cannot load the ClickHouse engine from {path}: {reason}. Run scripts/engines, which brings it")]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The engine does not start.
    #[error("the ClickHouse engine does not start: {0}")]
    Engine(String),
}

/// Runs until `stop` is cancelled: [`Server::start`] and [`Server::run`].
pub async fn serve(config: Config, stop: CancellationToken) -> Result<(), Error> {
    Server::start(config).await?.run(stop).await
}

/// A started engine that listens, but does not answer yet.
pub struct Server {
    front: Arc<Front>,
    listener: TcpListener,
    address: SocketAddr,
    drain: Duration,
    address_file: PathBuf,
}

impl Server {
    /// Binds the address, makes the directories and passwords, and boots the engine. Fails with a sentence that says
    /// what to do.
    pub async fn start(config: Config) -> Result<Self, Error> {
        if !config.listen.ip().is_loopback() && !config.allow_remote {
            return Err(Error::NotLoopback(config.listen));
        }
        let listen_error = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let drain = config.drain;
        let address_file = config.data_dir.join("clickhouse.address");
        let front = tokio::task::spawn_blocking(move || boot(&config))
            .await
            .map_err(|_| Error::Engine("its start panicked".to_owned()))??;
        write_address(&address_file, address).map_err(|source| Error::Files {
            path: address_file.clone(),
            source,
        })?;
        Ok(Self {
            front: Arc::new(front),
            listener,
            address,
            drain,
            address_file,
        })
    }

    /// Where it listens: the port is the one taken when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is cancelled. Then nobody new gets in, running statements have `drain` to end, the rest
    /// is cancelled, and the engine closes in order.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let Self {
            front,
            listener,
            address,
            drain,
            address_file,
        } = self;
        let done = CancellationToken::new();
        let _done = done.clone().drop_guard();
        tokio::spawn(sweep(Arc::clone(&front.sessions), done));
        let stopped = stop.clone().cancelled_owned();
        let service = front::router(Arc::clone(&front)).into_make_service_with_connect_info::<Flushed>();
        let serving = axum::serve(Door::new(listener), service).with_graceful_shutdown(stopped);
        let mut serving = tokio::spawn(serving.into_future());
        let ended = tokio::select! {
            ended = &mut serving => Some(ended),
            () = stop.cancelled() => tokio::time::timeout(drain, &mut serving).await.ok(),
        };
        front.places.close();
        front.reader_places.close();
        if ended.is_none() {
            front.cancel_all();
            if tokio::time::timeout(LAST_WAIT, &mut serving).await.is_err() {
                serving.abort();
            }
        }
        let _ = std::fs::remove_file(&address_file);
        front.sessions.close();
        let engine = Arc::clone(&front.engine);
        let query_ids = front.query_ids.clone();
        let stopping = tokio::task::spawn_blocking(move || engine.stop(|| query_ids.all(), LAST_WAIT));
        if !stopping.await.unwrap_or(false) {
            return Err(Error::Engine(
                "a statement could not be stopped, so it was not closed in order".to_owned(),
            ));
        }
        match ended {
            Some(Ok(Err(source))) => Err(Error::Listen { address, source }),
            _ => Ok(()),
        }
    }
}

/// How long cancelled statements have to notice: first to tell their clients, then to end at all.
const LAST_WAIT: Duration = Duration::from_secs(5);

async fn sweep(sessions: Arc<Sessions>, done: CancellationToken) {
    while done
        .run_until_cancelled(tokio::time::sleep(Duration::from_secs(30)))
        .await
        .is_some()
    {
        sessions.sweep(Instant::now());
    }
}

fn boot(config: &Config) -> Result<Front, Error> {
    let directory = |name: &str| -> Result<PathBuf, Error> {
        let path = config.data_dir.join(name);
        make_private(&path).map_err(|source| Error::Files {
            path: path.clone(),
            source,
        })?;
        path.canonicalize()
            .map_err(|source| Error::Files { path, source })
    };
    // Without it at the engine's first start, a synchronous DROP TABLE waits for ever.
    directory("store/metadata")?;
    let (store, spool, configuration) = (directory("store")?, directory("spool")?, directory("config")?);
    let password = |given: &Option<SecretString>, path: &Path| match given {
        Some(password) => Ok(password.clone()),
        None => accounts::password_file(path).map_err(|source| Error::Files {
            path: path.to_owned(),
            source,
        }),
    };
    let accounts = Accounts::new(
        &password(&config.password, &config.password_file)?,
        &password(&config.reader_password, &config.reader_password_file)?,
    );
    let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let lanes = config
        .lanes
        .or(NonZeroUsize::new((cores * 2).max(4)))
        .unwrap_or(NonZeroUsize::MIN);
    let half = NonZeroUsize::new(lanes.get() / 2).unwrap_or(NonZeroUsize::MIN);
    let max_memory = config.max_memory.unwrap_or_else(default_memory);
    let written = configuration::write(&configuration, max_memory, cores);
    let configuration = written.map_err(|source| Error::Files {
        path: configuration,
        source,
    })?;
    let boot = Boot {
        library: config.library.clone(),
        store,
        spool: spool.clone(),
        configuration,
        max_memory,
        lanes,
        walls: config.landlock,
    };
    let engine = Arc::new(Engine::start(boot)?);
    Ok(Front {
        sessions: Arc::new(Sessions::new(&engine)),
        engine,
        accounts,
        limits: config.reader_limits,
        spool,
        body_max: config.body_max,
        patience: config.send_timeout,
        places: Places::new(lanes, config.queue, config.queue_wait),
        reader_places: Places::new(half, config.queue / 4, config.queue_wait),
        query_ids: QueryIds::default(),
    })
}

/// For whoever started this with port 0. Renamed into place, so that a reader finds all of it or nothing.
fn write_address(path: &Path, address: SocketAddr) -> io::Result<()> {
    let beside = path.with_extension("address.new");
    std::fs::write(&beside, format!("{address}\n"))?;
    std::fs::rename(&beside, path)
}

fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// 40 % of the machine's memory, at least 512 MiB and at most 2 GiB.
fn default_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        })
        .map_or(4 << 30, |kib| kib << 10);
    (total / 10 * 4).clamp(512 << 20, 2 << 30)
}

/// A string literal.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A quoted name.
fn names_database(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}
