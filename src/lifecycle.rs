//! Stopping in two steps, in stages, and the board of what runs.
//!
//! The first SIGTERM or SIGINT asks softly: every worker finishes what it holds. A second signal, or the
//! deadline, asks hard: let go now. Workers belong to stages, and a stage is asked to stop only when the one
//! before it has ended, so an order such as "accept nothing new, drain, stop the readers, flush the producer,
//! stop the engines" is the order in which the stages were declared.
//!
//! A worker that ends without having been asked (an error, a panic, or a plain return) stops the whole process,
//! loudly and with an error: half a server that looks alive is worse than one that is restarted.
//!
//! ```ignore
//! let mut life = Lifecycle::new(DEADLINE);
//! let (http, readers, engines) = (life.stage("http"), life.stage("readers"), life.stage("engines"));
//! engines.at_stop("broker", move |_| async move { broker.stop().await; Ok(()) });
//! readers.spawn("projector", |stop| projector.run(stop.soft_token()));
//! http.spawn("http", |stop| async move { Ok(axum::serve(door, app).with_graceful_shutdown(stop.soft()).await?) });
//! life.run_until_stopped().await
//! ```

mod board;
mod stop;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use board::{Board, Phase, TaskState, TaskStatus};
pub use stop::{Stop, StopHandle};

/// How long workers have to end softly unless the caller says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How long workers have after being told to let go; then they are abandoned and named in the error.
const HARD_GRACE: Duration = Duration::from_secs(5);

/// Why a run ended other than by an orderly stop.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// A worker ended although nobody had asked it to, or failed while it was stopping.
    #[error("worker {name:?} of stage {stage:?} ended: {why}")]
    Worker {
        /// The stage the worker belongs to.
        stage: &'static str,
        /// The worker's name on the board.
        name: String,
        /// Its error, its panic, or that it returned without being asked.
        why: String,
    },
    /// Workers that ignored the hard stop.
    #[error("these workers did not end in time: {}", .0.join(", "))]
    Abandoned(Vec<String>),
    /// The process cannot listen for signals.
    #[error("cannot listen for SIGTERM and SIGINT: {0}")]
    Signals(#[from] std::io::Error),
}

/// The running process: its stages, its workers, and how it is told to stop.
pub struct Lifecycle {
    deadline: Duration,
    grace: Duration,
    stages: Vec<Stage>,
    handle: StopHandle,
    board: Board,
    failures: mpsc::UnboundedReceiver<Ended>,
    failed: mpsc::UnboundedSender<Ended>,
}

impl Lifecycle {
    /// A lifecycle whose workers get `deadline` (usually [`DEADLINE`]) to end softly, all stages together.
    pub fn new(deadline: Duration) -> Self {
        let (failed, failures) = mpsc::unbounded_channel();
        Self {
            deadline,
            grace: HARD_GRACE,
            stages: Vec::new(),
            handle: StopHandle::default(),
            board: Board::default(),
            failures,
            failed,
        }
    }

    /// Declares the next stage. Stages stop in the order in which they were declared.
    pub fn stage(&mut self, name: &'static str) -> Stage {
        let stage = Stage {
            name,
            soft: CancellationToken::new(),
            handle: self.handle.clone(),
            tasks: TaskTracker::new(),
            board: self.board.clone(),
            failed: self.failed.clone(),
        };
        self.stages.push(stage.clone());
        stage
    }

    /// What runs, and in which phase the process is.
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// Asks for the same stop that a signal asks for; a second request is a hard one.
    pub fn stop_handle(&self) -> StopHandle {
        self.handle.clone()
    }

    /// Waits for SIGTERM, SIGINT, a [`StopHandle`] or a worker's unasked end, then stops stage by stage.
    ///
    /// `Ok` means that somebody asked and every worker ended well. Anything else should end the process with a
    /// non-zero exit code.
    pub async fn run_until_stopped(mut self) -> Result<(), Ended> {
        tokio::spawn(forward_signals(self.handle.clone())?);
        let mut outcome = tokio::select! {
            () = self.handle.soft.cancelled() => Ok(()),
            Some(failure) = self.failures.recv() => {
                tracing::error!(error = %failure, "stopping because a worker ended");
                Err(failure)
            }
        };
        self.handle.soft.cancel();
        self.board.enter(Phase::Stopping);
        let stopped = self.stop_stages().await;
        self.board.enter(Phase::Stopped);
        while let Ok(failure) = self.failures.try_recv() {
            tracing::error!(error = %failure, "a worker ended badly while stopping");
            outcome = outcome.and(Err(failure));
        }
        outcome.and(stopped)
    }

    async fn stop_stages(&self) -> Result<(), Ended> {
        let deadline = tokio::time::sleep(self.deadline);
        let hard = self.handle.hard.clone();
        let _watch = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
            deadline.await;
            hard.cancel();
        }));
        for stage in &self.stages {
            tracing::info!(stage = stage.name, "stopping");
            stage.soft.cancel();
            stage.tasks.close();
            let given_up = async {
                self.handle.hard.cancelled().await;
                tokio::time::sleep(self.grace).await;
            };
            tokio::select! {
                () = stage.tasks.wait() => {}
                () = given_up => {
                    tracing::error!(stage = stage.name, workers = ?self.board.running(), "workers ignore the hard stop");
                }
            }
        }
        match self.board.running() {
            left if left.is_empty() => Ok(()),
            left => Err(Ended::Abandoned(left)),
        }
    }
}

/// A group of workers that stop together. Cheap to clone.
#[derive(Clone)]
pub struct Stage {
    name: &'static str,
    soft: CancellationToken,
    handle: StopHandle,
    tasks: TaskTracker,
    board: Board,
    failed: mpsc::UnboundedSender<Ended>,
}

impl Stage {
    /// Starts a worker. It must run until [`Stop::soft`], and may finish what it holds until [`Stop::hard`].
    pub fn spawn<W, F>(&self, name: impl Into<String>, worker: W)
    where
        W: FnOnce(Stop) -> F,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = Stop::new(self.soft.clone(), self.handle.hard.clone());
        let work = AssertUnwindSafe(worker(stop)).catch_unwind();
        let place = self.board.put_up(self.name, name.into());
        let stage = self.clone();
        self.tasks.spawn(async move {
            let why = match work.await {
                Ok(Ok(())) if stage.soft.is_cancelled() => None,
                Ok(Ok(())) => Some("it returned without having been asked to stop".to_owned()),
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(panic) => Some(format!("it panicked: {}", panic_text(panic.as_ref()))),
            };
            stage.ended(place, why);
        });
    }

    /// Something to do when this stage's turn to stop comes, such as flushing a producer or stopping a child.
    pub fn at_stop<W, F>(&self, name: impl Into<String>, act: W)
    where
        W: FnOnce(Stop) -> F + Send + 'static,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.spawn(name, |stop| async move {
            stop.soft().await;
            act(stop).await
        });
    }

    fn ended(&self, place: usize, why: Option<String>) {
        let name = self.board.take_down(place, why.clone());
        if let Some(why) = why {
            // Nobody listens any more only when the process is ending anyway.
            let _ = self.failed.send(Ended::Worker {
                stage: self.name,
                name,
                why,
            });
        }
    }
}

/// Turns signals into requests; the second one is hard because the handle counts.
fn forward_signals(handle: StopHandle) -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        loop {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "asked to stop");
            handle.request();
        }
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests;
