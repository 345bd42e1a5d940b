//! The embedded ClickHouse as a child process, and the ways to talk to it.
#![allow(clippy::expect_used)] // a test may fail

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ending::end;

/// A running front. Killed when dropped.
pub struct Front {
    child: Child,
    directory: PathBuf,
    pub url: String,
    pub operator: String,
    pub reader: String,
}

/// Where the engine is: `TRAILHOUSE_ENGINES`, by default the cache that `scripts/engines` fills.
pub fn library() -> PathBuf {
    let engines = std::env::var_os("TRAILHOUSE_ENGINES").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/trailhouse/engines"),
        PathBuf::from,
    );
    let found = std::fs::read_dir(&engines).ok().and_then(|entries| {
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("libchdb-"))
            })
            .map(|path| path.join("libchdb.so"))
            .find(|path| path.exists())
    });
    found.unwrap_or_else(|| {
        panic!(
            "no libchdb-*/libchdb.so in {}: run scripts/engines",
            engines.display()
        )
    })
}

impl Front {
    /// Starts on a directory, which may hold the data of one before, and waits until it answers.
    pub fn start(directory: &Path) -> Self {
        let address_file = directory.join("clickhouse.address");
        let _ = std::fs::remove_file(&address_file);
        let mut child = Command::new(env!("CARGO_BIN_EXE_trailhouse"))
            .arg("clickhouse")
            .args([
                "--listen",
                "127.0.0.1:0",
                "--max-server-memory-usage",
                "1500000000",
            ])
            .arg("--data-dir")
            .arg(directory)
            .arg("--library")
            .arg(library())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the trailhouse binary");
        let address = until("the front listens", || {
            assert!(
                child.try_wait().expect("wait").is_none(),
                "the front ended at its start"
            );
            std::fs::read_to_string(&address_file).ok()
        });
        let password = |name| {
            std::fs::read_to_string(directory.join(name))
                .expect("a password")
                .trim()
                .to_owned()
        };
        Self {
            child,
            directory: directory.to_owned(),
            url: format!("http://{}", address.trim()),
            operator: password("clickhouse.password"),
            reader: password("clickhouse.readonly.password"),
        }
    }

    /// The engine's own directory, the one place it may read.
    pub fn store(&self) -> PathBuf {
        self.directory.join("store")
    }

    /// Posts a statement as the operator.
    pub async fn post(&self, parameters: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Reply {
        self.post_as("default", parameters, body).await
    }

    /// Posts a statement as `default` or `readonly`.
    pub async fn post_as(
        &self,
        user: &str,
        parameters: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let password = if user == "readonly" {
            &self.reader
        } else {
            &self.operator
        };
        let request = reqwest::Client::builder()
            .no_gzip()
            .build()
            .expect("a client")
            .post(&self.url)
            .query(parameters)
            .basic_auth(user, Some(password));
        Reply::read(request.body(body).send().await.expect("an answer")).await
    }

    /// The answer to a statement that must succeed.
    pub async fn ask(&self, statement: &str) -> String {
        let reply = self.post(&[], statement.to_owned()).await;
        assert_eq!(reply.status, 200, "{statement}: {}", reply.text());
        reply.text().trim_end().to_owned()
    }

    /// A client of the `clickhouse` crate.
    pub fn client(&self) -> clickhouse::Client {
        clickhouse::Client::default()
            .with_url(&self.url)
            .with_user("default")
            .with_password(&self.operator)
    }

    /// `curl`, with the operator's name and password.
    pub fn curl(&self, arguments: &[&str], input: &[u8]) -> (String, Vec<u8>) {
        run(
            "curl",
            &[
                "-sS",
                "--max-time",
                "60",
                "-u",
                &format!("default:{}", self.operator),
            ],
            arguments,
            input,
        )
    }

    /// Ends it as the system would at its worst.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Asks it to stop, and waits.
    pub fn stop(mut self) -> ExitStatus {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("SIGTERM");
        self.child.wait().expect("wait")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A new one on a new directory.
pub fn front() -> (tempfile::TempDir, Front) {
    let directory = tempfile::tempdir().expect("a directory");
    let front = Front::start(directory.path());
    (directory, front)
}

/// An answer, read to its end. `broken`: the end never came.
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
    pub broken: bool,
}

impl Reply {
    async fn read(mut response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        let broken = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        Self {
            status,
            headers,
            body,
            broken,
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Runs a program to its end and returns its output as text and as bytes; it must succeed.
pub fn run(program: &str, first: &[&str], arguments: &[&str], input: &[u8]) -> (String, Vec<u8>) {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(first)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let mut stdin = child.stdin.take().expect("stdin");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("output");
    let _ = writer.join();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.stdout,
    )
}

/// Looks until something is there, for a minute at most.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
