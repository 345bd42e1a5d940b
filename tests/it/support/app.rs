//! A running server: the real program, on a data directory of its own, on free ports.
//!
//! Starting one takes some seconds, so stories share [`App::shared`], each with tenants of its own; a story that
//! kills, stops or sets something has its own server. Nothing is ever ended by its name.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::brokers::{self, Kafka, kill9};
use super::caller::Caller;
use super::leash;
use super::wait::{PATIENCE, until, until_some};

/// The password of the first user in every story.
pub const PASSWORD: &str = "correct-horse-battery";

/// A child of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    Broker,
    ClickHouse,
}

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

    /// A server of its own.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::build(settings, false).await
    }

    /// A server of its own whose broker may be killed or stopped.
    pub async fn start_with_own_broker(settings: &[(&str, &str)]) -> Self {
        Self::build(settings, true).await
    }

    async fn build(settings: &[(&str, &str)], own_broker: bool) -> Self {
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
        let app = Self {
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
        };
        app.start().await;
        app
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
                text.split_once("is ready at http://")?
                    .1
                    .lines()
                    .next()?
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

    /// What the server has logged since its first start.
    pub fn log(&self) -> String {
        let read = std::fs::read(self.home.path().join("err")).unwrap_or_default();
        String::from_utf8_lossy(&read).into_owned()
    }

    fn child(&self) -> MutexGuard<'_, Option<std::process::Child>> {
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

    /// Kills a child, which somebody starts again: the server, or, for Apache Kafka, this story.
    pub async fn kill9_child(&self, child: Child) {
        match (child, &self.kafka) {
            (Child::Broker, Some(kafka)) => kafka.kill9_and_start().await,
            _ => match self.pid(child) {
                Some(pid) => kill9(pid).await,
                None => panic!("{child:?} has no pid file"),
            },
        }
    }

    /// Holds a child still, as if it hung; the guard lets it go on.
    pub fn hold(&self, child: Child) -> Held {
        let pid = self.pid(child).expect("a running child");
        kill(pid, Signal::SIGSTOP).unwrap();
        Held(pid)
    }

    /// Asks the server to stop, and waits.
    pub async fn stop(&self) -> std::process::ExitStatus {
        let mut serve = self.child().take().expect("a running server");
        kill(Pid::from_raw(serve.id().cast_signed()), Signal::SIGTERM).unwrap();
        until_some("the server stops", async || serve.try_wait().unwrap()).await
    }

    /// Ends everything and removes what it kept.
    fn end(&self) {
        if let Some(mut serve) = self.child().take() {
            let _ = serve.kill();
            let _ = serve.wait();
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

    /// Somebody without a credential.
    pub fn stranger(&self) -> Caller {
        Caller::new(&format!("http://{}", self.at().web), "", None)
    }

    /// Logs somebody in; gives the whole answer.
    pub async fn login(&self, user: &str, password: &str) -> Value {
        let body = json!({"username": user, "password": password});
        self.stranger().post("/login", &body).await.expect(200)
    }

    /// The first user: operator, and admin of `default`.
    pub async fn operator(&self) -> Caller {
        let token = self.operator.get_or_init(|| async {
            self.login("admin", PASSWORD).await["token"]
                .as_str()
                .unwrap()
                .to_owned()
        });
        Caller::new(
            &format!("http://{}", self.at().web),
            "default",
            Some(token.await.clone()),
        )
    }

    /// A fresh tenant, and a key of its admin's.
    pub async fn tenant(&self, about: &str) -> Caller {
        let name = super::unique(about);
        self.named_tenant(&name).await
    }

    /// A tenant of this name, made where there is none, and a key of its admin's.
    pub async fn named_tenant(&self, name: &str) -> Caller {
        let made = self
            .operator()
            .await
            .post("/api/v1/tenants", &json!({"id": name}))
            .await;
        assert!(matches!(made.status.as_u16(), 201 | 409), "{}", made.text());
        self.key(name, &["admin"]).await
    }

    /// An API key.
    pub async fn key(&self, tenant: &str, roles: &[&str]) -> Caller {
        let wanted = json!({"name": "story", "tenant_id": tenant, "roles": roles});
        let operator = self.operator().await;
        let made = operator.post("/api/v1/keys", &wanted).await.expect(201);
        let mut caller = operator.with(made["key"].as_str());
        caller.tenant = tenant.to_owned();
        caller
    }

    /// A user with these roles, logged in.
    pub async fn user(&self, tenant: &str, roles: &[&str]) -> Caller {
        let name = super::unique("user");
        let wanted = json!({"name": name, "tenant_id": tenant, "roles": roles, "password": PASSWORD});
        let operator = self.operator().await;
        operator.post("/api/v1/users", &wanted).await.expect(201);
        let token = self.login(&name, PASSWORD).await;
        let mut caller = operator.with(token["token"].as_str());
        caller.tenant = tenant.to_owned();
        caller
    }

    /// What `trailhouse rejected list` says of a tenant, oldest first.
    pub async fn rejected(&self, tenant: &str) -> Vec<Value> {
        let mut all = self.all_rejected().await;
        all.retain(|record| record["tenant"] == tenant);
        all
    }

    /// The same of all tenants, and of records that are nobody's.
    pub async fn all_rejected(&self) -> Vec<Value> {
        let ran = self.run(&["rejected", "list"]).await;
        assert!(ran.ok, "{}", ran.err);
        ran.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The answer of the embedded ClickHouse to a statement of its operator.
    pub async fn sql(&self, statement: &str) -> String {
        let password = std::fs::read_to_string(self.data_dir().join("clickhouse.password")).unwrap();
        let base = format!("http://{}", self.at().clickhouse);
        let key = [
            ("x-clickhouse-user", "default"),
            ("x-clickhouse-key", password.trim()),
        ];
        let answer = Caller::new(&base, "", None)
            .send(Method::POST, "/?database=trailhouse", &key, statement.to_owned())
            .await;
        assert_eq!(answer.status, 200, "{statement}: {}", answer.text());
        answer.text().trim_end().to_owned()
    }

    /// The full name of a topic.
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// librdkafka's settings for this server's log.
    pub fn kafka_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.at().kafka)
            .set("log_level", "0");
        config
    }

    /// Writes a record as anybody with the broker's permission may; gives partition and offset.
    pub async fn produce(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
        headers: &[(&str, &str)],
    ) -> (i32, i64) {
        let producer: FutureProducer = self.kafka_config().set("acks", "all").create().unwrap();
        let headers = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header {
                key,
                value: Some(*value),
            })
        });
        let topic = self.topic(topic);
        let record = FutureRecord::to(&topic)
            .key(key)
            .payload(payload)
            .headers(headers);
        let written = producer
            .send(record, Duration::from_secs(20))
            .await
            .expect("the log takes it");
        (written.partition, written.offset)
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

/// A process that is held still.
pub struct Held(Pid);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
