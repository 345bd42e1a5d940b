//! A running server: the real program, on a data directory of its own, on free ports.
//!
//! Starting one takes some seconds, so stories share [`App::shared`], each with tenants of its own; a story that
//! kills, stops or sets something has its own server. Nothing is ever ended by its name.

mod doors;
mod processes;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::brokers::{self, Kafka};
use super::leash;
use super::wait::{PATIENCE, until_some};

pub use processes::Child;

/// The password of the first user in every story.
pub const PASSWORD: &str = "correct-horse-battery";

/// A server and all that belongs to it. Dropped, it is gone without a trace.
pub struct App {
    home: TempDir,
    settings: Mutex<Vec<(String, String)>>,
    prefix: String,
    /// In a run on Apache Kafka: the broker, where this server has one of its own.
    kafka: Option<Kafka>,
    shared_kafka: Option<String>,
    at: Mutex<Option<Addresses>>,
    serve: Mutex<Option<std::process::Child>>,
    operator: OnceCell<String>,
}

/// Where a server answers: free ports at its first start, the same ones from then on.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub web: String,
    pub kafka: String,
    pub clickhouse: String,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl App {
    /// The server that stories share.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<App> = OnceCell::const_new();
        SHARED
            .get_or_init(|| async {
                leash::at_exit(|| SHARED.get().into_iter().for_each(App::end));
                // The inbox's allow-list is configuration, so its tenants have fixed names.
                Self::start_with(&[("TRAILHOUSE_GATE__ALLOW_TENANTS", "[\"inbox-a\", \"inbox-b\"]")]).await
            })
            .await
    }

    /// A server that is yet to be started.
    pub async fn prepared(settings: &[(&str, &str)]) -> Self {
        Self::prepare(settings, false).await
    }

    /// A server of its own.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::build(settings, false).await
    }

    /// A server of its own whose broker may be killed or stopped.
    pub async fn start_with_own_broker(settings: &[(&str, &str)]) -> Self {
        Self::build(settings, true).await
    }

    async fn build(settings: &[(&str, &str)], own_broker: bool) -> Self {
        let app = Self::prepare(settings, own_broker).await;
        app.start().await;
        app
    }

    async fn prepare(settings: &[(&str, &str)], own_broker: bool) -> Self {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect::<Vec<_>>()
            .into();
        let (kafka, shared_kafka) = match (brokers::on_kafka(), own_broker) {
            (false, _) => (None, None),
            (true, true) => (Some(Kafka::start().await), None),
            (true, false) => (None, Some(Kafka::shared().await.address())),
        };
        Self {
            home: tempfile::Builder::new()
                .prefix("trailhouse-story-")
                .tempdir()
                .unwrap(),
            settings,
            prefix: format!("{}.", super::unique("story")),
            kafka,
            shared_kafka,
            at: Mutex::default(),
            serve: Mutex::default(),
            operator: OnceCell::new(),
        }
    }

    /// Starts the program and waits for its greeting.
    pub async fn start(&self) {
        let (out, err) = (self.home.path().join("out"), self.home.path().join("err"));
        let logged_before = std::fs::metadata(&err).map_or(0, |found| found.len() as usize);
        let mut command = self.command(&["serve"]);
        command.stdin(Stdio::null());
        command.stdout(File::create(&out).unwrap());
        command.stderr(File::options().create(true).append(true).open(&err).unwrap());
        *self.child() = Some(leash::spawn(command));
        let web = until_some("the server greets", async || {
            let text = std::fs::read_to_string(&out).unwrap();
            if let Some(status) = self.child().as_mut().unwrap().try_wait().unwrap() {
                panic!("the server ended with {status}: {}", self.log());
            }
            Some(
                text.split_once("is ready at ")?
                    .1
                    .lines()
                    .next()?
                    .split_once("://")?
                    .1
                    .to_owned(),
            )
        })
        .await;
        let log = self.log()[logged_before..].to_owned();
        let address = |engine: &str| {
            let line = log
                .lines()
                .find(|line| line.contains("started") && line.contains(engine));
            let address = line
                .and_then(|line| line.split_once("listen="))
                .map(|(_, rest)| rest.trim().to_owned());
            address.unwrap_or_else(|| panic!("the log does not say where {engine} is: {log}"))
        };
        let kafka = self
            .kafka_address()
            .unwrap_or_else(|| address("the embedded broker"));
        *self.at.lock().unwrap() = Some(Addresses {
            web,
            kafka,
            clickhouse: address("the embedded ClickHouse"),
        });
    }

    /// The program with this server's settings.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trailhouse"));
        let ours = |name: &str| {
            name.starts_with("TRAILHOUSE_") && name != "TRAILHOUSE_ENGINES" || name == "RUST_LOG"
        };
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        let any = || "127.0.0.1:0".to_owned();
        let at = self.at.lock().unwrap().clone();
        let at = at.unwrap_or_else(|| Addresses {
            web: any(),
            kafka: any(),
            clickhouse: any(),
        });
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env("TRAILHOUSE_DATA_DIR", self.data_dir())
            .env("TRAILHOUSE_ADMIN_PASSWORD", PASSWORD)
            .env("TRAILHOUSE_WEB__LISTEN", &at.web)
            .env("TRAILHOUSE_ENGINES__CLICKHOUSE_LISTEN", &at.clickhouse)
            .env("TRAILHOUSE_LOG__PREFIX", &self.prefix)
            // A child that a story holds is not to be replaced.
            .env("TRAILHOUSE_ENGINES__HUNG_AFTER_SECONDS", "600")
            // Stories that wait for something search again and again.
            .env("TRAILHOUSE_LIMITS__SEARCHES_PER_SECOND", "100000")
            // Stories make many tenants, keys and more.
            .env("TRAILHOUSE_LIMITS__CHANGES_PER_SECOND", "100000")
            // However full this machine's disk is.
            .env("TRAILHOUSE_EXPORTS__FREE_PERCENT", "5")
            // On a busy machine things take longer, and are none the worse.
            .env("TRAILHOUSE_WEB__WAIT_INDEXED_SECONDS", "60");
        match self.kafka_address() {
            Some(brokers) => command.env("TRAILHOUSE_LOG__BROKERS", brokers),
            None => command.env("TRAILHOUSE_ENGINES__KAFKA_LISTEN", &at.kafka),
        };
        command.envs(self.settings.lock().unwrap().iter().cloned());
        command
    }

    fn kafka_address(&self) -> Option<String> {
        self.kafka
            .as_ref()
            .map(Kafka::address)
            .or_else(|| self.shared_kafka.clone())
    }

    /// Another command of the program, with this server's settings.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = tokio::process::Command::from(self.command(arguments));
        command.stdin(Stdio::null()).kill_on_drop(true);
        let ran = tokio::time::timeout(PATIENCE, command.output()).await;
        let ran = ran
            .unwrap_or_else(|_| panic!("trailhouse {arguments:?} does not end"))
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran {
            ok: ran.status.success(),
            out: text(ran.stdout),
            err: text(ran.stderr),
        }
    }

    /// A command that goes on, its output to be read; dropped, it is killed.
    pub fn goes_on(&self, arguments: &[&str]) -> tokio::process::Child {
        let mut command = tokio::process::Command::from(self.command(arguments));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command.spawn().unwrap()
    }

    /// A setting for the next start, and for commands from now on.
    pub fn set(&self, name: &str, value: &str) {
        self.settings
            .lock()
            .unwrap()
            .push((name.to_owned(), value.to_owned()));
    }

    pub fn at(&self) -> Addresses {
        self.at.lock().unwrap().clone().expect("it was started")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A place for a story's own files.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What the server printed at its last start.
    pub fn greeting(&self) -> String {
        std::fs::read_to_string(self.home.path().join("out")).unwrap()
    }

    /// What the server has logged since its first start.
    pub fn log(&self) -> String {
        let read = std::fs::read(self.home.path().join("err")).unwrap_or_default();
        String::from_utf8_lossy(&read).into_owned()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log());
        }
        self.end();
    }
}
