//! The log that a story stands on: the embedded broker, or Apache Kafka where `TRAILHOUSE_TEST_LOG=kafka` says so.
//!
//! One Kafka broker serves the whole run, told apart by a prefix for each server; a story that kills or stops its
//! broker has one of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use trailhouse::engines::{self, DataDir, Engine, broker};

use super::leash;
use super::wait::until;

/// Whether this run is on Apache Kafka.
pub fn on_kafka() -> bool {
    match std::env::var("TRAILHOUSE_TEST_LOG") {
        Err(_) => false,
        Ok(log) if log == "kafka" => true,
        Ok(other) => panic!("TRAILHOUSE_TEST_LOG is {other:?}; it can be `kafka`"),
    }
}

/// An Apache Kafka broker of one node.
pub struct Kafka {
    home: TempDir,
    port: u16,
    controller: u16,
    child: Mutex<Child>,
}

impl Kafka {
    /// Starts one, and waits until it answers.
    pub async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (port, controller) = (free_port(), free_port());
        let child = Mutex::new(spawn(home.path(), port, controller));
        let kafka = Self {
            home,
            port,
            controller,
            child,
        };
        kafka.answers().await;
        kafka
    }

    /// The one that the run shares.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                leash::at_exit(|| SHARED.get().into_iter().for_each(Kafka::end));
                Self::start().await
            })
            .await
    }

    /// Where it answers.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.lock().unwrap().id().cast_signed())
    }

    /// Kills it and starts it again on the same data.
    pub async fn kill9_and_start(&self) {
        kill_and_reap(&mut self.child.lock().unwrap());
        *self.child.lock().unwrap() = spawn(self.home.path(), self.port, self.controller);
        self.answers().await;
    }

    async fn answers(&self) {
        let address = self.address();
        until("Apache Kafka answers", async || {
            assert!(
                self.child.lock().unwrap().try_wait().unwrap().is_none(),
                "Apache Kafka ended: scripts/engines kafka"
            );
            let address = address.clone();
            tokio::task::spawn_blocking(move || answers(&address))
                .await
                .unwrap()
        })
        .await;
    }

    fn end(&self) {
        kill_and_reap(&mut self.child.lock().unwrap());
        let _ = std::fs::remove_dir_all(self.home.path());
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(home: &Path, port: u16, controller: u16) -> Child {
    let output = std::fs::File::options()
        .create(true)
        .append(true)
        .open(home.join("output"))
        .unwrap();
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka/broker"));
    command
        .arg(home.join("data"))
        .arg(port.to_string())
        .env("CONTROLLER_PORT", controller.to_string())
        // The script ends with its standard input, which is ours to hold.
        .stdin(Stdio::piped())
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    leash::spawn(command)
}

fn kill_and_reap(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn answers(address: &str) -> bool {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("log_level", "0");
    let asker: BaseConsumer = config.create().unwrap();
    asker
        .fetch_metadata(None, Duration::from_secs(2))
        .is_ok_and(|found| !found.brokers().is_empty())
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A log without a server, for stories about the parts that work on it.
pub struct Bare {
    /// `host:port`.
    pub address: String,
    /// Before every topic.
    pub prefix: String,
    embedded: Option<(Engine, DataDir, TempDir)>,
}

impl Bare {
    pub async fn start() -> Self {
        let prefix = format!("{}.", super::unique("bare"));
        if on_kafka() {
            let address = Kafka::shared().await.address();
            return Self {
                address,
                prefix,
                embedded: None,
            };
        }
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let config = engines::Config {
            dir: None,
            kafka_listen: any,
            clickhouse_listen: any,
            hung_after_seconds: 600,
        };
        let engine = broker::start(&config, &data).await.unwrap();
        Self {
            address: engine.listen().to_string(),
            prefix,
            embedded: Some((engine, data, folder)),
        }
    }

    pub async fn stop(self) {
        if let Some((engine, _data, _folder)) = self.embedded {
            engine.stop().await;
        }
    }
}

/// Ends a process and waits until the system has forgotten it, or it is only waiting to be reaped.
pub async fn kill9(pid: Pid) {
    let _ = kill(pid, Signal::SIGKILL);
    until("a killed process is gone", async || !lives(pid)).await;
}

/// Whether a process does anything any more.
pub fn lives(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(')')?.1.trim_start().starts_with(['Z', 'X'])))
        .is_some_and(|dead| !dead)
}
