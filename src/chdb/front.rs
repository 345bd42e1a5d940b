//! The door: one HTTP request becomes one statement. Read the body to its end, take a place, run, answer.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::response::Response;
use axum::routing::get;
use http::{Method, StatusCode};
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::accounts::{Accounts, User};
use super::answer::{self, HELD, Shape};
use super::body::{self, Reading, Received};
use super::engine::{self, Engine, Job, Route};
use super::exception::Exception;
use super::framing::Frame;
use super::pump::Pump;
use super::reader::{ReaderLimits, denied};
use super::request::{Asked, header, url_parameters};
use super::sessions::Sessions;
use super::spool::descriptor_path;
use super::statement::{self, Fenced, Statement};

/// The most that `wait_end_of_query` keeps back; an answer beyond that is streamed all the same.
const HELD_TO_THE_END: usize = 64 << 20;

/// A pipe's size: what the engine can write ahead of the client.
const PIPE: i32 = 1 << 20;

/// What all requests share.
pub(super) struct Front {
    pub engine: Arc<Engine>,
    pub accounts: Accounts,
    pub sessions: Arc<Sessions>,
    pub limits: ReaderLimits,
    pub spool: PathBuf,
    pub body_max: u64,
    pub patience: Duration,
    pub places: Places,
    pub running: Mutex<HashSet<String>>,
}

/// As many statements run at once as there are lanes; as many wait as `queue` says, and for so long.
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    wait: Duration,
}

impl Places {
    pub(super) fn new(lanes: NonZeroUsize, queue: usize, wait: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(lanes.get())), waiting: AtomicUsize::new(0), queue, wait }
    }

    async fn take(&self) -> Result<OwnedSemaphorePermit, Exception> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = Waiting(&self.waiting, self.waiting.fetch_add(1, Ordering::Relaxed));
        if waiting.1 >= self.queue {
            return Err(overloaded("too many queries wait"));
        }
        match tokio::time::timeout(self.wait, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(engine::stopping()),
            Err(_) => Err(overloaded("no query ended in time")),
        }
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.free.close();
    }
}

struct Waiting<'a>(&'a AtomicUsize, usize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn overloaded(why: &str) -> Exception {
    let text = format!("Too many simultaneous queries: {why}. Try again in a moment");
    Exception { overloaded: true, ..Exception::new(202, "TOO_MANY_SIMULTANEOUS_QUERIES", text) }
}

/// The routes of the interface.
pub(super) fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/", get(root).post(query))
        .route("/ping", get(|| async { answer::text(StatusCode::OK, "Ok.\n") }))
        .route("/replicas_status", get(|| async { answer::text(StatusCode::OK, "Ok.\n") }))
        .fallback(|| async {
            answer::text(StatusCode::NOT_FOUND, "There is no such path: /, /ping and /replicas_status are\n")
        })
        .layer(DefaultBodyLimit::disable())
        .with_state(front)
}

async fn root(front: State<Arc<Front>>, request: Request) -> Response {
    match request.uri().query().is_none_or(str::is_empty) {
        true => answer::text(StatusCode::OK, "Ok.\n"),
        false => query(front, request).await,
    }
}

async fn query(State(front): State<Arc<Front>>, request: Request) -> Response {
    let mut query_id = String::new();
    match front.serve(request, &mut query_id).await {
        Ok(response) => response,
        Err(exception) => answer::refuse(&front.engine.facts, &query_id, &exception),
    }
}

impl Front {
    async fn serve(self: &Arc<Self>, request: Request, query_id: &mut String) -> Result<Response, Exception> {
        let (parts, body) = request.into_parts();
        let pairs = url_parameters(&parts)?;
        let user = self.accounts.authenticate(&parts.headers, &pairs)?;
        let mut asked = Asked::new(&parts, pairs)?;
        let has_body = parts.method == Method::POST
            || header(&parts.headers, "content-length").is_some_and(|length| length != "0");
        let body = asked.take_form(parts, body).await?.filter(|_| has_body);
        query_id.clone_from(&asked.query_id);
        self.allow(user, &asked)?;
        let reading = Reading {
            encoding: asked.body_encoding,
            framed: asked.block_body,
            directory: self.spool.clone(),
            limit: self.body_max,
        };
        let received = body::receive(asked.query.take(), body, reading).await?;
        let mut asked = asked;
        let held = if asked.wait_end { HELD_TO_THE_END } else { HELD };
        let plan = Plan::new(&mut asked, received, user, &self.limits)?;
        let shape = Shape {
            facts: self.engine.facts.clone(),
            query_id: asked.query_id.clone(),
            format: plan.format.clone(),
            encoding: asked.answer_encoding,
            framed: asked.block_answer,
        };
        let pieces = self.start(asked, plan, user).await?;
        Ok(answer::answer(shape, pieces, held).await)
    }

    /// What the read-only user may not even ask.
    fn allow(&self, user: User, asked: &Asked) -> Result<(), Exception> {
        if user == User::Operator {
            return Ok(());
        }
        let hidden = |name: &str| ["system", "information_schema"].iter().any(|own| name.eq_ignore_ascii_case(own));
        if let Some(database) = asked.database.as_deref().filter(|name| hidden(name)) {
            return Err(denied(&format!("{database} as current database")));
        }
        match asked.settings.iter().find(|(name, value)| !self.limits.allow(name, value)) {
            None => Ok(()),
            Some((name, _)) => {
                let text = format!("Cannot modify '{name}' setting in readonly mode, or not beyond its limit");
                Err(Exception::new(164, "READONLY", text))
            }
        }
    }

    /// Hands the statement to a lane, and its rows to a pump.
    async fn start(
        self: &Arc<Self>,
        asked: Asked,
        plan: Plan,
        user: User,
    ) -> Result<mpsc::Receiver<super::pump::Piece>, Exception> {
        let running = Running::enter(self, &asked.query_id)?;
        let session = match (&asked.session, user) {
            (Some(session), User::Operator) => Some(self.sessions.take(session, Instant::now())?),
            _ => None,
        };
        let place = match plan.route {
            Route::Work => Some(self.places.take().await?),
            _ => None,
        };
        let cancelled = Arc::new(AtomicBool::new(false));
        let statement = Statement {
            text: plan.text,
            format: plan.format,
            parameters: asked.parameters,
            read_only: asked.read_only && session.is_none() && user == User::Operator,
            settings: asked.settings,
            database: asked.database,
            query_id: asked.query_id.clone(),
            session,
            reader: plan.fenced,
            output: None,
            input: plan.input,
            cancelled: Arc::clone(&cancelled),
        };
        let (pipe, output) = match plan.pipe {
            Some((reading, writing)) => (Some(reading), Some(writing)),
            None => (None, None),
        };
        let statement = Statement { output, ..statement };
        let (report, outcome) = oneshot::channel();
        let job: Job = Box::new(move |lane| {
            let _held = (place, running);
            let outcome = statement::run(lane, statement);
            let _ = report.send(outcome);
        });
        self.engine.submit(plan.route, job)?;
        let (out, pieces) = mpsc::channel(2);
        let pump = Pump {
            engine: Arc::clone(&self.engine),
            query_id: asked.query_id,
            outcome,
            cancelled,
            patience: self.patience,
        };
        tokio::spawn(pump.run(pipe, out));
        Ok(pieces)
    }
}

/// A query id in use; a second query may not have it.
struct Running {
    front: Arc<Front>,
    query_id: String,
}

impl Running {
    fn enter(front: &Arc<Front>, query_id: &str) -> Result<Self, Exception> {
        let new = front.running.lock().unwrap_or_else(PoisonError::into_inner).insert(query_id.to_owned());
        match new {
            true => Ok(Self { front: Arc::clone(front), query_id: query_id.to_owned() }),
            false => Err(Exception::new(
                216,
                "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
                format!("Query with id = {query_id} is already running"),
            )),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.front.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.query_id);
    }
}

/// A statement's text with our own clauses in it, and what they name.
struct Plan {
    text: Vec<u8>,
    format: String,
    route: Route,
    fenced: Option<Fenced>,
    pipe: Option<(pipe::Receiver, OwnedFd)>,
    input: Option<super::spool::Spool>,
}

impl Plan {
    fn new(asked: &mut Asked, received: Received, user: User, limits: &ReaderLimits) -> Result<Self, Exception> {
        let default = asked.default_format.take().unwrap_or_else(|| "TabSeparated".to_owned());
        let plain = |text, format, route| Self { text, format, route, fenced: None, pipe: None, input: None };
        if asked.read_only && asked.session.is_some() && !matches!(received.frame, Frame::Rows { .. }) {
            return Err(Exception::new(164, "READONLY", "Cannot execute query in readonly mode: send it by POST"));
        }
        match received.frame {
            Frame::Rows { query, format, settings } => {
                let format = checked_format(format.unwrap_or(default))?;
                let (pipe, path) = open_pipe()?;
                let tail = format!("INTO OUTFILE '{path}' APPEND COMPRESSION 'none' FORMAT {format}");
                if user == User::Reader {
                    if !settings.is_empty() {
                        return Err(denied("settings in the query"));
                    }
                    let fenced = Some(Fenced { limits: *limits, tail });
                    let plan = plain(query, format, Route::Work);
                    return Ok(Self { fenced, pipe: Some(pipe), ..plan });
                }
                let text = [&query, b"\n" as &[u8], tail.as_bytes(), &settings].concat();
                Ok(Self { pipe: Some(pipe), ..plain(text, format, Route::Work) })
            }
            _ if user == User::Reader => Err(denied("it is not a SELECT")),
            Frame::Insert { head, settings, format, .. } => {
                let format = checked_format(format)?;
                let input = received.data.ok_or_else(|| Exception::new(108, "NO_DATA_TO_INSERT", "No data to insert"))?;
                let infile = format!("\nFROM INFILE '{}' COMPRESSION 'none' ", input.path());
                let tail = format!(" FORMAT {format}");
                let text = [&head, infile.as_bytes(), &settings, tail.as_bytes()].concat();
                Ok(Self { input: Some(input), ..plain(text, default, Route::Work) })
            }
            Frame::Kill { statement } => Ok(plain(statement, default, Route::Kills)),
            Frame::Plain { statement, format } => Ok(plain(statement, format.unwrap_or(default), Route::Work)),
        }
    }
}

/// Format names go into the statement, so they must be names.
fn checked_format(format: String) -> Result<String, Exception> {
    match !format.is_empty() && format.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => Ok(format),
        false => Err(Exception::new(73, "UNKNOWN_FORMAT", format!("Unknown format {}", format.escape_debug()))),
    }
}

/// A pipe, and the path of its writing end for the engine.
fn open_pipe() -> Result<((pipe::Receiver, OwnedFd), String), Exception> {
    let failed = |error| Exception::new(75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR", format!("no pipe for the answer: {error}"));
    let (sender, receiver) = pipe::pipe().map_err(failed)?;
    let writing = sender.into_blocking_fd().map_err(failed)?;
    #[cfg(target_os = "linux")]
    let _ = nix::fcntl::fcntl(&writing, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE));
    let path = descriptor_path(writing.as_raw_fd());
    Ok(((receiver, writing), path))
}

impl Front {
    /// Stops whatever runs.
    pub(super) fn cancel_all(&self) {
        for query_id in self.running.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.engine.cancel(query_id);
        }
    }
}
