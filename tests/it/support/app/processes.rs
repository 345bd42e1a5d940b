//! The server and its children as processes: killed, held still, stopped. By their ids, which the data directory tells.

use std::sync::MutexGuard;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::super::brokers::{self, kill9};
use super::super::ending::end;
use super::super::wait::{until, until_some};
use super::App;

/// A child of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    Broker,
    ClickHouse,
}

impl App {
    pub(super) fn child(&self) -> MutexGuard<'_, Option<std::process::Child>> {
        self.serve.lock().unwrap()
    }

    /// The process of a child, by the pid file in the data directory; Apache Kafka is nobody's child.
    pub fn pid(&self, child: Child) -> Option<Pid> {
        let file = match (child, &self.kafka) {
            (Child::Broker, Some(kafka)) => return Some(kafka.pid()),
            (Child::Broker, None) => "broker.pid",
            (Child::ClickHouse, _) => "clickhouse.pid",
        };
        let text = std::fs::read_to_string(self.data_dir().join(file)).ok()?;
        Some(Pid::from_raw(text.lines().next()?.parse().ok()?))
    }

    /// The memory that the server's own process has.
    pub fn resident_bytes(&self) -> usize {
        let pid = self.child().as_ref().expect("a running server").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).unwrap();
        kib.parse::<usize>().unwrap() << 10
    }

    /// How many threads of the server read this topic, each a partition of it.
    pub fn readers_of(&self, topic: &str) -> usize {
        let pid = self.child().as_ref().expect("a running server").id();
        // Linux keeps the first 15 bytes of a thread's name.
        let name: String = format!("read {topic}").chars().take(15).collect();
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        // One may end between the two.
        let names =
            threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.filter(|found| *found.trim_end() == *name).count()
    }

    /// Kills the server alone, as the system would at its worst, and waits until its children are gone as well.
    pub async fn kill9(&self) {
        let children = [Child::Broker, Child::ClickHouse].map(|child| {
            self.pid(child)
                .filter(|_| self.kafka.is_none() || child != Child::Broker)
        });
        if let Some(mut serve) = self.child().take() {
            serve.kill().unwrap();
            serve.wait().unwrap();
        }
        for pid in children.into_iter().flatten() {
            until("the server's children are gone with it", async || {
                !brokers::lives(pid)
            })
            .await;
        }
    }

    /// Another server on the same log and the same ClickHouse, with a data directory of its own. This one must have its
    /// master key from its settings.
    pub async fn beside(&self) -> Beside {
        let home = tempfile::tempdir().unwrap();
        let at = self.at();
        let password = std::fs::read_to_string(self.data_dir().join("clickhouse.password")).unwrap();
        let mut command = self.command(&["serve"]);
        let out = home.path().join("out");
        command
            .env("TRAILHOUSE_DATA_DIR", home.path().join("data"))
            .env("TRAILHOUSE_WEB__LISTEN", "127.0.0.1:0")
            .env("TRAILHOUSE_LOG__BROKERS", &at.kafka)
            .env("TRAILHOUSE_CLICKHOUSE__URL", format!("http://{}", at.clickhouse))
            .env("TRAILHOUSE_CLICKHOUSE__PASSWORD", password.trim())
            .stdin(std::process::Stdio::null())
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(std::fs::File::create(home.path().join("err")).unwrap());
        let mut beside = Beside {
            serve: super::super::leash::spawn(command),
            web: String::new(),
            home,
        };
        beside.web = until_some("the other server greets", async || {
            let ended = beside.serve.try_wait().unwrap();
            let err = || std::fs::read_to_string(beside.home.path().join("err")).unwrap();
            assert!(ended.is_none(), "the other server ended: {}", err());
            let text = std::fs::read_to_string(&out).unwrap();
            let line = text.split_once("is ready at ")?.1.lines().next()?;
            Some(line.split_once("://")?.1.to_owned())
        })
        .await;
        beside
    }

    /// Kills a child, which somebody starts again: the server, or, for Apache Kafka, this story.
    pub async fn kill9_child(&self, child: Child) {
        match (child, &self.kafka) {
            (Child::Broker, Some(kafka)) => kafka.kill9_and_start().await,
            // While it is being started again there is none.
            _ => kill9(until_some("a running child", async || self.pid(child)).await).await,
        }
    }

    /// Holds a child still, as if it hung; the guard lets it go on. On a crowded machine its threads may run on for a
    /// moment after the signal, so it is held when all of them are.
    pub fn hold(&self, child: Child) -> Held {
        let pid = self.pid(child).expect("a running child");
        kill(pid, Signal::SIGSTOP).unwrap();
        for _ in 0..3_000 {
            if is_held(pid) {
                return Held(pid);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{child:?} runs on");
    }

    /// Asks the server to stop, and waits.
    pub async fn stop(&self) -> std::process::ExitStatus {
        let mut serve = self.child().take().expect("a running server");
        kill(Pid::from_raw(serve.id().cast_signed()), Signal::SIGTERM).unwrap();
        until_some("the server stops", async || serve.try_wait().unwrap()).await
    }

    /// Ends everything and removes what it kept.
    pub(super) fn end(&self) {
        if let Some(mut serve) = self.child().take() {
            end(&mut serve);
        }
        // The kernel ends the children with the server; until they are gone they may still write.
        for _ in 0..200 {
            let pids = [Child::ClickHouse, Child::Broker].map(|child| {
                match (child, &self.shared_kafka, &self.kafka) {
                    (Child::Broker, Some(_), _) | (Child::Broker, _, Some(_)) => None,
                    _ => self.pid(child),
                }
            });
            if !pids.into_iter().flatten().any(brokers::lives) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = std::fs::remove_dir_all(self.home.path());
    }
}

/// A second server.
pub struct Beside {
    serve: std::process::Child,
    pub web: String,
    home: tempfile::TempDir,
}

impl Drop for Beside {
    fn drop(&mut self) {
        end(&mut self.serve);
    }
}

/// Whether every thread of a process is stopped.
fn is_held(pid: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok())
        .all(|stat| {
            stat.rsplit_once(')')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
        })
}

/// A process that is held still.
pub struct Held(Pid);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
