//! The engine as a few threads. One root thread loads the library, fences the process in, boots the engine and
//! starts the lanes; every thread that ever touches the engine descends from it, so what it gave up they have not.
//!
//! A lane is a thread that runs jobs, each on a connection without a trace of the client before: a new one costs about
//! 0.5 ms, so one waits opened, and those that can't have changed are used again. Two lanes stand apart, for our own and for clients' `KILL QUERY`,
//! so that a full house can be emptied.

use std::ffi::CString;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Error;
use super::exception::Exception;
use super::library::{Connection, Library};
use super::walls;

/// What the engine is booted with.
#[derive(Debug, Clone)]
pub(super) struct Boot {
    pub library: PathBuf,
    pub store: PathBuf,
    pub spool: PathBuf,
    pub configuration: PathBuf,
    pub max_memory: u64,
    pub lanes: NonZeroUsize,
    pub walls: bool,
}

/// What the engine says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub version: String,
    pub timezone: String,
    pub host: String,
    /// The names of all table functions, in lower case.
    pub table_functions: Arc<[String]>,
}

/// A piece of work for a lane.
pub(super) type Job = Box<dyn FnOnce(&mut Lane) + Send>;

/// The running engine. Dropping it without [`Engine::stop`] leaves its threads to the end of the process.
pub(super) struct Engine {
    pub facts: Facts,
    /// For work and for kills: gone when the engine stops.
    senders: Mutex<Option<[Sender<Job>; 2]>>,
    /// Cancelling goes on until the last statement has ended.
    cancels: Mutex<Option<Sender<Job>>>,
    root: Mutex<Option<Running>>,
}

/// The root thread, which says when the lanes are empty.
struct Running {
    thread: JoinHandle<()>,
    empty: Receiver<()>,
}

/// Which threads a job goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Work,
    Kills,
    Cancels,
}

impl Engine {
    /// Boots the engine; takes some 200 ms, more with many parts to load.
    pub(super) fn start(boot: Boot) -> Result<Self, Error> {
        let (work, work_in) = channel();
        let (kills, kills_in) = channel();
        let (cancels, cancels_in) = channel();
        let (report, reported) = channel();
        let (emptied, empty) = channel();
        let root = move || {
            let root = match Root::boot(&boot) {
                Ok(root) => root,
                Err(error) => return drop(report.send(Err(error))),
            };
            let work_in = Arc::new(Mutex::new(work_in));
            let lanes = (0..boot.lanes.get()).map(|_| Arc::clone(&work_in));
            let [kills_in, cancels_in] = [kills_in, cancels_in].map(|jobs| Arc::new(Mutex::new(jobs)));
            let lanes: Vec<_> = lanes.chain([kills_in]).map(|jobs| root.lane(jobs)).collect();
            let cancelling = root.lane(cancels_in);
            let _ = report.send(Ok(root.facts.clone()));
            for lane in lanes.into_iter().flatten() {
                let _ = lane.join();
            }
            let _ = emptied.send(());
            let _ = cancelling.map(JoinHandle::join);
            // The last connection closes the engine.
            drop(root);
        };
        let thread = std::thread::Builder::new()
            .name("engine-root".to_owned())
            .spawn(root)
            .map_err(|error| Error::Engine(error.to_string()))?;
        let facts = reported
            .recv()
            .map_err(|_| Error::Engine("its first thread died".to_owned()))??;
        let senders = Mutex::new(Some([work, kills]));
        let cancels = Mutex::new(Some(cancels));
        Ok(Self {
            facts,
            senders,
            cancels,
            root: Mutex::new(Some(Running { thread, empty })),
        })
    }

    /// Hands a job to a lane; it waits there until one is free.
    pub(super) fn submit(&self, route: Route, job: Job) -> Result<(), Exception> {
        let sent = match route {
            Route::Cancels => held(&self.cancels).as_ref().map(|cancels| cancels.send(job)),
            _ => held(&self.senders).as_ref().map(|[work, kills]| match route {
                Route::Kills => kills.send(job),
                _ => work.send(job),
            }),
        };
        sent.and_then(Result::ok).ok_or_else(stopping)
    }

    /// Ends what runs under a client's query id (held as `log_comment`), without waiting for it.
    pub(super) fn cancel(&self, query_id: &str) {
        let statement = format!(
            "KILL QUERY WHERE Settings['log_comment'] = {} ASYNC",
            super::quoted(query_id)
        );
        let job = move |lane: &mut Lane| {
            if let Err(exception) = lane.kept().and_then(|connection| connection.tell(&statement)) {
                tracing::warn!(%exception, "a query could not be cancelled");
            }
        };
        let _ = self.submit(Route::Cancels, Box::new(job));
    }

    /// Lets the lanes finish what they have, cancelling what `running` names again and again, closes every connection
    /// in order and with the last one the engine. Blocks until that is done, or `patience` is at its end: false.
    pub(super) fn stop(&self, running: impl Fn() -> Vec<String>, patience: Duration) -> bool {
        held(&self.senders).take();
        let Some(root) = held(&self.root).take() else {
            return true;
        };
        let end = Instant::now() + patience;
        while let Err(RecvTimeoutError::Timeout) = root.empty.recv_timeout(CANCEL_AGAIN) {
            if Instant::now() > end {
                return false;
            }
            running().iter().for_each(|query_id| self.cancel(query_id));
        }
        held(&self.cancels).take();
        if root.thread.join().is_err() {
            tracing::error!("the engine's first thread panicked");
        }
        true
    }
}

/// Between two requests to stop a query that has not stopped yet.
pub(super) const CANCEL_AGAIN: Duration = Duration::from_millis(500);

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The refusal while the front stops.
pub(super) fn stopping() -> Exception {
    Exception {
        overloaded: true,
        ..Exception::new(745, "SERVER_OVERLOADED", "the embedded ClickHouse is stopping")
    }
}

/// What the root thread holds: the connection that keeps the engine alive.
struct Root {
    connector: Connector,
    facts: Facts,
    _keep: Connection,
}

impl Root {
    fn boot(boot: &Boot) -> Result<Self, Error> {
        let library = Library::load(&boot.library).map_err(|reason| Error::Library {
            path: boot.library.clone(),
            reason,
        })?;
        if boot.walls {
            walls::raise(boot);
        }
        let arguments = [
            "clickhouse".to_owned(),
            format!("--path={}", boot.store.display()),
            format!("--config-file={}", boot.configuration.display()),
            format!("--max_server_memory_usage={}", boot.max_memory),
        ];
        let arguments = arguments
            .into_iter()
            .map(CString::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Error::Engine("the data directory's path has a NUL".to_owned()))?;
        let connector = Connector {
            library,
            arguments: arguments.into(),
        };
        let mut keep = connector.open().map_err(|_| {
            Error::Engine(format!(
                "it does not open {}: the reason is in the lines above (another process on the same directory?)",
                boot.store.display()
            ))
        })?;
        // The engine's first exception reads the symbols of all loaded files, which must still be there as loaded: a
        // program replaced while it runs, and it could not, and would abort. So the first exception is thrown now.
        let _ = keep.tell("SELECT throwIf(1)");
        let mut ask = |query| {
            keep.ask(query, &[])
                .map_err(|exception| Error::Engine(exception.to_string()))
        };
        let facts = Facts {
            version: ask("SELECT version()")?,
            timezone: ask("SELECT timezone()")?,
            host: ask("SELECT hostName()")?,
            table_functions: ask("SELECT lower(name) FROM system.table_functions")?
                .lines()
                .map(str::to_owned)
                .collect(),
        };
        Ok(Self {
            connector,
            facts,
            _keep: keep,
        })
    }

    fn lane(&self, jobs: Arc<Mutex<Receiver<Job>>>) -> Option<JoinHandle<()>> {
        let mut lane = Lane {
            connector: self.connector.clone(),
            spare: None,
        };
        std::thread::Builder::new()
            .name("engine-lane".to_owned())
            .spawn(move || {
                loop {
                    lane.prepare();
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { break };
                    if catch_unwind(AssertUnwindSafe(|| job(&mut lane))).is_err() {
                        tracing::error!("a statement made the front panic");
                    }
                }
            })
            .map_err(|error| tracing::error!(%error, "a lane of the engine could not be started"))
            .ok()
    }
}

/// Opens connections.
#[derive(Clone)]
struct Connector {
    library: Library,
    arguments: Arc<[CString]>,
}

/// Settings that every connection starts with, unlike the engine's own defaults: inserts are answered when they are
/// stored, and a word that is no statement is no expression either.
const BASE: &str = "SET async_insert = 0, implicit_select = 0, allow_introspection_functions = 0";

impl Connector {
    fn open(&self) -> Result<Connection, Exception> {
        let mut connection = self
            .library
            .connect(&self.arguments)
            .ok_or_else(|| Exception::new(210, "NETWORK_ERROR", "the embedded engine gives no connection"))?;
        connection.tell(BASE)?;
        Ok(connection)
    }
}

/// A thread's access to the engine.
pub(super) struct Lane {
    connector: Connector,
    spare: Option<Connection>,
}

impl Lane {
    /// A connection without a trace of any client.
    pub(super) fn fresh(&mut self) -> Result<Connection, Exception> {
        match self.spare.take() {
            Some(connection) => Ok(connection),
            None => self.connector.open(),
        }
    }

    /// Takes back a connection that is as good as new.
    pub(super) fn give_back(&mut self, connection: Connection) {
        self.spare = Some(connection);
    }

    /// A connection that stays with the lane.
    fn kept(&mut self) -> Result<&mut Connection, Exception> {
        let connection = self.fresh()?;
        Ok(self.spare.insert(connection))
    }

    fn prepare(&mut self) {
        if self.spare.is_none() {
            self.spare = self.connector.open().ok();
        }
    }
}
