//! The embedded ClickHouse: our own binary, started as `trailhouse clickhouse`, with the engine as a library in it.
//!
//! It is a process of its own so that its memory has its own bound, its crash is not ours, and it can be fenced.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Command;

use super::disk::DataDir;
use super::home::{Home, failed};
use super::probe::Probe;
use super::spec::Spec;
use super::{Config, Engine, EngineDirs, EngineError};

const ENGINE: &str = "the embedded ClickHouse";

/// What is started, where it is not simply this program.
#[derive(Clone, Debug, Default)]
pub struct Child {
    /// The program that knows the command `clickhouse`. Default: the one that runs now.
    pub program: Option<PathBuf>,
    /// Further arguments for it, such as a bound on memory.
    pub arguments: Vec<OsString>,
}

/// Starts it with its tables in `<data>/clickhouse` at `config.clickhouse_listen`; returns when it answers
/// `GET /ping`. Loading the engine takes about a second, reading many tables' parts more.
pub async fn start(config: &Config, data: &DataDir, child: Child) -> Result<Engine, EngineError> {
    let engines = EngineDirs::find(config.dir.as_deref());
    engines.libchdb()?;
    let program = child
        .program
        .map_or_else(std::env::current_exe, Ok)
        .map_err(failed(ENGINE, "find our own program"))?;
    let Home { dir, log, pid_file } = Home::of(ENGINE, "clickhouse", data)?;
    let command = move |listen: std::net::SocketAddr| {
        let mut command = Command::new(&program);
        command
            .arg("clickhouse")
            .arg("--data-dir")
            .arg(&dir)
            .args(["--listen", &listen.to_string()])
            .args(&child.arguments)
            .env("TRAILHOUSE_ENGINES", engines.root());
        command
    };
    let spec = Spec {
        engine: ENGINE,
        flag: "--clickhouse-listen",
        probe: Probe::Http,
        command: Box::new(command),
        log,
        pid_file,
        ready_within: Duration::from_secs(120),
        hung_after: config.hung_after(),
        stop_signal: Signal::SIGTERM,
        stop_within: Duration::from_secs(20),
    };
    Engine::start(spec, config.clickhouse_listen).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_child_is_told_where_its_tables_its_engine_and_its_door_are() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::open(&root.path().join("data")).unwrap();
        let config = Config {
            dir: Some(root.path().to_owned()),
            kafka_listen: "127.0.0.1:0".parse().unwrap(),
            clickhouse_listen: "127.0.0.1:0".parse().unwrap(),
            hung_after_seconds: 30,
        };
        // What is started in its place only says what it was told.
        let child = Child {
            program: Some("/bin/echo".into()),
            arguments: vec!["--memory".into(), "1G".into()],
        };

        let missing = start(&config, &data, child.clone())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("is not installed") && missing.contains("scripts/engines"),
            "{missing}"
        );

        let library = root.path().join("libchdb-26.5.3/libchdb.so");
        std::fs::create_dir_all(library.parent().unwrap()).unwrap();
        std::fs::write(library, "\x7fELF").unwrap();
        let ended = start(&config, &data, child).await.unwrap_err().to_string();
        let home = data.path().join("clickhouse");
        let home = home.display();
        let told = format!("clickhouse --data-dir {home} --listen 127.0.0.1:");
        assert!(ended.contains(&told) && ended.contains("--memory 1G"), "{ended}");
    }
}
