//! What a run costs: the processes of the server as the system sees them, and what stands on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The clock ticks of `/proc/PID/stat`, fixed at 100 a second on every Linux that matters.
const TICKS: f64 = 100.0;
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// A process that is watched.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) name: &'static str,
    pid: u32,
}

/// What a process used between two looks.
#[derive(Clone, Debug)]
pub(super) struct Used {
    pub(super) name: &'static str,
    pub(super) cpu_seconds: f64,
    pub(super) max_rss: u64,
}

/// The server and its engines, by the pid files in its data directory, and this process. Engines that run elsewhere
/// are missing; so is everything where there is no `/proc`.
pub(super) fn processes(data_dir: &Path) -> Vec<Process> {
    let engine = |name, file: &str| pid_in(&data_dir.join(file)).map(|pid| Process { name, pid });
    let engines: Vec<_> = [
        engine("broker", "broker.pid"),
        engine("clickhouse", "clickhouse.pid"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let serve = engines
        .iter()
        .find_map(|engine| parent(engine.pid))
        .map(|pid| Process { name: "serve", pid });
    let own = Process {
        name: "bench",
        pid: std::process::id(),
    };
    serve.into_iter().chain(engines).chain([own]).collect()
}

fn pid_in(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.lines().next()?.parse().ok()
}

fn parent(pid: u32) -> Option<u32> {
    field(&format!("/proc/{pid}/status"), "PPid:")
}

fn field<T: std::str::FromStr>(file: &str, name: &str) -> Option<T> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

impl Process {
    fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        // utime and stime are the fields 14 and 15 of the line, 12 and 13 after the name.
        let ticks = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / TICKS
    }

    fn rss(&self) -> u64 {
        field::<u64>(&format!("/proc/{}/status", self.pid), "VmRSS:").unwrap_or_default() * 1_024
    }
}

/// Looks at processes from its making until [`Watch::end`].
pub(super) struct Watch {
    before: Vec<(Process, f64)>,
    stop: CancellationToken,
    sampling: tokio::task::JoinHandle<Vec<u64>>,
}

impl Watch {
    pub(super) fn start(processes: &[Process]) -> Self {
        let stop = CancellationToken::new();
        let (watched, stopped) = (processes.to_vec(), stop.clone());
        let sampling = tokio::spawn(async move {
            let mut most = vec![0; watched.len()];
            loop {
                for (most, process) in most.iter_mut().zip(&watched) {
                    *most = process.rss().max(*most);
                }
                tokio::select! {
                    () = stopped.cancelled() => return most,
                    () = tokio::time::sleep(SAMPLE_EVERY) => {}
                }
            }
        });
        let before = processes
            .iter()
            .map(|process| (process.clone(), process.cpu_seconds()))
            .collect();
        Self {
            before,
            stop,
            sampling,
        }
    }

    pub(super) async fn end(self) -> Vec<Used> {
        self.stop.cancel();
        let most = self.sampling.await.unwrap_or_default();
        let used = self
            .before
            .iter()
            .zip(most.into_iter().chain(std::iter::repeat(0)));
        used.map(|((process, before), max_rss)| Used {
            name: process.name,
            cpu_seconds: process.cpu_seconds() - before,
            max_rss,
        })
        .collect()
    }
}

/// What stands on disk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Disk {
    /// Rows of the events table, as they stand in its parts.
    pub(super) rows: u64,
    /// Bytes of these parts, indexes included.
    pub(super) table: u64,
    /// Bytes of the embedded log.
    pub(super) log: u64,
}

/// The door of the embedded ClickHouse, from its process's own arguments and the password file.
pub(super) struct Door {
    url: String,
    password: String,
    log: PathBuf,
}

impl Door {
    /// `None` where no embedded ClickHouse runs on this data directory.
    pub(super) fn find(data_dir: &Path) -> Option<Self> {
        let pid = pid_in(&data_dir.join("clickhouse.pid"))?;
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut arguments = arguments.split(|byte| *byte == 0);
        let listen = arguments
            .find(|argument| *argument == b"--listen")
            .and(arguments.next())?;
        let password = fs::read_to_string(data_dir.join(crate::app::CLICKHOUSE_PASSWORD)).ok()?;
        Some(Self {
            url: format!("http://{}/", String::from_utf8_lossy(listen)),
            password: password.trim().to_owned(),
            log: data_dir.join("broker"),
        })
    }

    /// What stands on disk now.
    pub(super) async fn disk(&self) -> Disk {
        let sql = "SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts \
                   WHERE active AND table = 'events' AND database = 'trailhouse' FORMAT JSONEachRow";
        let row: Value = serde_json::from_str(self.ask(sql).await.trim()).unwrap_or_default();
        let number = |name: &str| match &row[name] {
            Value::String(text) => text.parse().unwrap_or_default(),
            other => other.as_u64().unwrap_or_default(),
        };
        Disk {
            rows: number("rows"),
            table: number("bytes"),
            log: folder(&self.log),
        }
    }

    /// Merges the table's parts, as ClickHouse does by itself in time.
    pub(super) async fn merge(&self) {
        self.ask("OPTIMIZE TABLE trailhouse.events FINAL").await;
    }

    async fn ask(&self, sql: &'static str) -> String {
        let request = reqwest::Client::new()
            .post(&self.url)
            .basic_auth("default", Some(&self.password))
            .body(sql);
        match request.send().await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }
}

fn folder(path: &Path) -> u64 {
    let inside = fs::read_dir(path).into_iter().flatten().flatten();
    inside
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => folder(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}

/// One line about this machine and this program.
pub(super) fn describe() -> String {
    let model = field_text("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unnamed processor".into());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field::<u64>("/proc/meminfo", "MemTotal:").unwrap_or_default() >> 20;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let build = if cfg!(debug_assertions) {
        "debug build"
    } else {
        "release build"
    };
    format!(
        "{model}, {cores} cores, {memory} GiB, {} {}, trailhouse {} ({build})",
        std::env::consts::OS,
        kernel.trim(),
        env!("CARGO_PKG_VERSION")
    )
}

fn field_text(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_process_is_seen_at_work() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("broker.pid"),
            format!("{}\nx\n", std::process::id()),
        )
        .unwrap();
        let found = processes(dir.path());
        assert_eq!(
            found.iter().map(|process| process.name).collect::<Vec<_>>(),
            ["serve", "broker", "bench"]
        );
        let watch = Watch::start(&found);
        let until = std::time::Instant::now() + Duration::from_millis(60);
        while std::time::Instant::now() < until {
            std::hint::black_box(fs::read("/proc/self/stat").unwrap());
        }
        let used = watch.end().await;
        assert!(used[2].cpu_seconds > 0.0 && used[2].max_rss > 1 << 20, "{used:?}");
    }
}
