//! Keeping an engine up: watched, started again when it dies or hangs, stopped when asked.
//!
//! It is asked its simplest question every few seconds. One that misses an answer is said to be silent; one that has
//! answered nothing for [`Spec::hung_after`] is killed, which loses nothing that was acknowledged, and started again.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::spec::{Running, Spec};
use super::{EngineError, output};

/// The pause before a restart: doubled with each failure, and short again once the engine has stayed up.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
const STAYED_UP: Duration = Duration::from_secs(60);
/// How often it is asked whether it answers, at most.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// One missed answer proves nothing: this process may have been the one that was held up.
const MISSES_MIN: u32 = 2;
/// A free port may be gone by the time the engine takes it; then another is tried.
const FREE_PORTS_TRIED: usize = 3;

/// How an engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It answers.
    Up {
        /// Its process.
        pid: u32,
        /// How often it has been started again.
        restarts: u32,
    },
    /// It runs, and has missed an answer.
    Silent {
        /// Its process.
        pid: u32,
        /// How often it has been started again.
        restarts: u32,
    },
    /// It died, with the reason; it is being started again.
    Down {
        /// The exit status, or why it could not be started.
        why: String,
        /// How often it has been started again.
        restarts: u32,
    },
    /// It was stopped, as asked.
    Stopped,
}

/// An embedded engine that runs until it is stopped. Dropped without a stop, its process is killed.
#[derive(Debug)]
pub struct Engine {
    listen: SocketAddr,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    supervisor: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts it and waits for its first answer. From then on it is started again whenever it dies.
    pub(super) async fn start(spec: Spec, wanted: SocketAddr) -> Result<Self, EngineError> {
        let (listen, running) = first_start(&spec, wanted).await?;
        let (tell, status) = watch::channel(up(&running, 0));
        let stop = CancellationToken::new();
        tracing::info!(engine = spec.engine, %listen, "started");
        let supervisor = Supervisor {
            spec,
            listen,
            tell: Arc::new(tell),
            stop: stop.clone(),
        };
        Ok(Self {
            listen,
            status,
            stop,
            supervisor: Some(tokio::spawn(supervisor.run(running))),
        })
    }

    /// Where it answers.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// How it is, now and from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Stops it: asked first, killed when it takes too long. Returns when the process is gone.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(supervisor) = self.supervisor.take() {
            // A supervisor that panicked has dropped its child, which killed it.
            let _ = supervisor.await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.abort();
        }
    }
}

async fn first_start(spec: &Spec, wanted: SocketAddr) -> Result<(SocketAddr, Running), EngineError> {
    let mut left = if wanted.port() == 0 { FREE_PORTS_TRIED } else { 1 };
    loop {
        let listen = spec.address(wanted)?;
        left -= 1;
        match spec.up(listen).await {
            Ok(running) => return Ok((listen, running)),
            Err(EngineError::Ended { .. } | EngineError::PortTaken { .. }) if left > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

impl Status {
    /// The same, while it does not answer.
    fn silent(&self) -> Self {
        match *self {
            Self::Up { pid, restarts } => Self::Silent { pid, restarts },
            _ => self.clone(),
        }
    }
}

fn up(running: &Running, restarts: u32) -> Status {
    Status::Up {
        pid: running.child.id().unwrap_or_default(),
        restarts,
    }
}

struct Supervisor {
    spec: Spec,
    listen: SocketAddr,
    tell: Arc<watch::Sender<Status>>,
    stop: CancellationToken,
}

impl Supervisor {
    async fn run(self, mut running: Running) {
        let mut restarts = 0;
        let mut pause = PAUSE_MIN;
        loop {
            let since = Instant::now();
            let why = tokio::select! {
                why = self.watch(&mut running, restarts) => why,
                () = self.stop.cancelled() => return self.stopped(Some(running)).await,
            };
            tracing::error!(engine = self.spec.engine, why, "died; starting it again");
            self.tell.send_replace(Status::Down { why, restarts });
            pause = if since.elapsed() > STAYED_UP {
                PAUSE_MIN
            } else {
                pause
            };
            let again = self.up_again(&mut restarts, &mut pause);
            running = tokio::select! {
                running = again => running,
                () = self.stop.cancelled() => return self.stopped(None).await,
            };
            tracing::info!(engine = self.spec.engine, restarts, "answers again");
            self.tell.send_replace(up(&running, restarts));
        }
    }

    /// Watches the engine until it ends, by itself or because it hangs, and keeps its log bounded meanwhile. Why it ended.
    async fn watch(&self, running: &mut Running, restarts: u32) -> String {
        let up = up(running, restarts);
        let mut hangs = pin!(self.hangs(&up));
        loop {
            tokio::select! {
                exit = running.child.wait() => {
                    return exit.map_or_else(|error| error.to_string(), |status| status.to_string());
                }
                () = &mut hangs => {
                    // It fails only for a child that has ended.
                    let _ = running.child.kill().await;
                    return format!("it answered nothing for {} s and was killed", self.spec.hung_after.as_secs());
                }
                () = sleep(output::LOOK_EVERY) => self.spec.bound_log(),
            }
        }
    }

    /// Resolves when the engine has answered nothing for too long; says when it falls silent, and when it speaks again.
    async fn hangs(&self, up: &Status) {
        let every = ASK_EVERY.min(self.spec.hung_after / 10);
        let (mut answered, mut misses) = (Instant::now(), 0);
        while misses < MISSES_MIN || answered.elapsed() < self.spec.hung_after {
            sleep(every).await;
            if !self.spec.probe.answers(self.listen).await {
                if misses == 0 {
                    tracing::warn!(engine = self.spec.engine, "does not answer");
                    self.tell.send_replace(up.silent());
                }
                misses += 1;
                continue;
            }
            if misses > 0 {
                tracing::info!(engine = self.spec.engine, "answers again");
                self.tell.send_replace(up.clone());
            }
            (answered, misses) = (Instant::now(), 0);
        }
    }

    async fn up_again(&self, restarts: &mut u32, pause: &mut Duration) -> Running {
        loop {
            sleep(*pause).await;
            *pause = (*pause * 2).min(PAUSE_MAX);
            *restarts += 1;
            match self.spec.up(self.listen).await {
                Ok(running) => return running,
                Err(error) => {
                    tracing::error!(engine = self.spec.engine, %error, "cannot be started again; trying on");
                    self.tell.send_replace(Status::Down {
                        why: error.to_string(),
                        restarts: *restarts,
                    });
                }
            }
        }
    }

    async fn stopped(&self, running: Option<Running>) {
        if let Some(running) = running {
            self.spec.down(running).await;
        }
        tracing::info!(engine = self.spec.engine, "stopped");
        self.tell.send_replace(Status::Stopped);
    }
}

#[cfg(test)]
mod tests;
