//! What an engine is to its supervisor: how to start it, how to ask it, what it leaves behind.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use super::probe::Probe;
use super::{EngineError, child, output, pidfile};

/// How long a start waits for its port: what held it may just be ending.
const PORT_WITHIN: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);
/// How much of a log is read to find an engine's last words.
const LAST_WORDS_BYTES: u64 = 4096;

/// Everything that tells one engine from another.
pub(super) struct Spec {
    pub engine: &'static str,
    pub flag: &'static str,
    pub probe: Probe,
    /// The command for an address that is free; its output and its leash are set here.
    pub command: Box<dyn Fn(SocketAddr) -> Command + Send + Sync>,
    pub log: PathBuf,
    pub pid_file: PathBuf,
    /// From start to first answer.
    pub ready_within: Duration,
    /// It is killed when it has answered nothing for so long.
    pub hung_after: Duration,
    /// What asks it to end.
    pub stop_signal: Signal,
    /// From that signal to SIGKILL.
    pub stop_within: Duration,
}

/// A child that answered. Its standard input is held open: its end tells the child that we are gone.
pub(super) struct Running {
    pub child: Child,
    _input: Option<ChildStdin>,
}

impl Spec {
    /// The address to use: `wanted`, or a free port of it.
    pub fn address(&self, wanted: SocketAddr) -> Result<SocketAddr, EngineError> {
        if wanted.port() != 0 {
            return Ok(wanted);
        }
        let bound = TcpListener::bind(wanted).and_then(|listener| listener.local_addr());
        bound.map_err(|error| self.refused(wanted, error))
    }

    /// Starts the engine and returns when it answers. When it doesn't, nothing of it is left running.
    pub async fn up(&self, listen: SocketAddr) -> Result<Running, EngineError> {
        pidfile::end_leftover(&self.pid_file).await;
        self.wait_for_port(listen).await?;
        let (log, said_before) = self.open_log().map_err(|error| self.io("open its log", error))?;
        let mut command = (self.command)(listen);
        let second = log.try_clone().map_err(|error| self.io("open its log", error))?;
        command.stdout(log).stderr(second);
        let mut child = child::start(command)
            .await
            .map_err(|error| self.io("start it", error))?;
        let input = child.stdin.take();
        if let Some(pid) = child.id() {
            pidfile::write(&self.pid_file, pid).map_err(|error| self.io("write its pid file", error))?;
        }
        let mut running = Running { child, _input: input };
        match self
            .wait_until_ready(&mut running.child, listen, said_before)
            .await
        {
            Ok(()) => Ok(running),
            Err(error) => {
                self.down(running).await;
                Err(error)
            }
        }
    }

    /// Keeps the engine's log bounded.
    pub fn bound_log(&self) {
        if let Err(error) = output::bound(&self.log) {
            tracing::warn!(engine = self.engine, %error, "its log can't be kept short");
        }
    }

    /// Ends the engine: its signal, and SIGKILL when it takes too long.
    pub async fn down(&self, mut running: Running) {
        // No id: it has ended and was waited for, and the number may be another's by now.
        if let Some(pid) = running.child.id() {
            let asked = kill(Pid::from_raw(pid.cast_signed()), self.stop_signal);
            let ended = timeout(self.stop_within, running.child.wait()).await;
            if asked.is_err() || ended.is_err() {
                tracing::warn!(engine = self.engine, pid, "killing an engine that does not stop");
                // It fails only for a child that has ended.
                let _ = running.child.kill().await;
            }
        }
        pidfile::remove(&self.pid_file);
    }

    async fn wait_until_ready(
        &self,
        child: &mut Child,
        listen: SocketAddr,
        said_before: u64,
    ) -> Result<(), EngineError> {
        let answers = async {
            while !self.probe.answers(listen).await {
                sleep(STEP).await;
            }
        };
        tokio::select! {
            // The exit first: another process on the same port could answer in its place.
            biased;
            exit = child.wait() => Err(EngineError::Ended {
                engine: self.engine,
                exit: exit.map_or_else(|error| error.to_string(), |status| status.to_string()),
                last_words: last_words(&self.log, said_before).unwrap_or_else(|| "it said nothing".to_owned()),
                log: self.log.clone(),
            }),
            ready = timeout(self.ready_within, answers) => ready.map_err(|_| EngineError::Silent {
                engine: self.engine,
                listen,
                seconds: self.ready_within.as_secs(),
                log: self.log.clone(),
            }),
        }
    }

    async fn wait_for_port(&self, listen: SocketAddr) -> Result<(), EngineError> {
        let until = Instant::now() + PORT_WITHIN;
        loop {
            match TcpListener::bind(listen) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                    sleep(STEP).await
                }
                Err(error) => return Err(self.refused(listen, error)),
            }
        }
    }

    /// The log, and how long it was.
    fn open_log(&self) -> io::Result<(File, u64)> {
        output::bound(&self.log)?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let length = log.metadata()?.len();
        Ok((log, length))
    }

    fn refused(&self, listen: SocketAddr, source: io::Error) -> EngineError {
        let (engine, flag) = (self.engine, self.flag);
        match source.kind() {
            io::ErrorKind::AddrInUse => EngineError::PortTaken { engine, listen, flag },
            _ => EngineError::Address {
                engine,
                listen,
                flag,
                source,
            },
        }
    }

    fn io(&self, act: &str, source: io::Error) -> EngineError {
        EngineError::Io {
            engine: self.engine,
            act: act.to_owned(),
            source,
        }
    }
}

/// The last line that an engine wrote after the log was `from` bytes long.
fn last_words(log: &Path, from: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let end = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(from.max(end.saturating_sub(LAST_WORDS_BYTES))))
        .ok()?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).ok()?;
    let text = String::from_utf8_lossy(&tail);
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn last_words_are_those_of_this_run() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("broker.log");
        fs::write(&log, "error: an older one\n").unwrap();
        assert_eq!(last_words(&log, 0).as_deref(), Some("error: an older one"));
        assert_eq!(last_words(&log, 20), None);
        fs::write(&log, "error: an older one\nwarn\nerror: the disk is full\n\n").unwrap();
        assert_eq!(last_words(&log, 20).as_deref(), Some("error: the disk is full"));
        assert_eq!(last_words(&dir.path().join("none"), 0), None);
    }
}
