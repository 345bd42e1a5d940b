//! The embedded log: the `nisshi` broker with its records in one SQLite file.
//!
//! Its database path is read relative to its working directory whatever it looks like, so it runs inside
//! `<data-dir>/broker`. It also reads a `.env` file from there or from any directory above; an empty one of our
//! own keeps strangers' settings out, as the cleared environment does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Command;

use super::disk::DataDir;
use super::home::{Home, failed};
use super::probe::Probe;
use super::spec::Spec;
use super::{Config, Engine, EngineDirs, EngineError};

const ENGINE: &str = "the embedded broker";

/// Starts it under `data` at `config.kafka_listen`; returns when it answers Kafka's ApiVersions.
pub async fn start(config: &Config, data: &DataDir) -> Result<Engine, EngineError> {
    let program = EngineDirs::find(config.dir.as_deref()).nisshi()?;
    let Home { dir, log, pid_file } = Home::of(ENGINE, "broker", data)?;
    std::fs::write(dir.join(".env"), "").map_err(failed(ENGINE, "write in its directory"))?;
    let spec = Spec {
        engine: ENGINE,
        flag: "--kafka-listen",
        probe: Probe::Kafka,
        command: Box::new(move |listen| command(&program, &dir, listen)),
        log,
        pid_file,
        ready_within: Duration::from_secs(30),
        hung_after: config.hung_after(),
        // On SIGTERM it gives open connections 5 s to end, and consumers of others never do; on SIGINT it ends at
        // once. By then our producer is flushed, and what others have no answer for they send again.
        stop_signal: Signal::SIGINT,
        stop_within: Duration::from_secs(10),
    };
    Engine::start(spec, config.kafka_listen).await
}

fn command(program: &PathBuf, home: &Path, listen: SocketAddr) -> Command {
    let url = format!("tcp://{listen}");
    let mut command = Command::new(program);
    command
        .current_dir(home)
        .arg("broker")
        .args(["--cluster-id", "trailhouse"])
        .args(["--listener-url", &url])
        .args(["--advertised-listener-url", &url])
        // By default it lets in one request at a time; SQLite itself lets readers in beside a writer (WAL).
        .args(["--storage-engine", "sqlite:///log.db?mode=direct"])
        // The default makes a group's first member wait 3 s for company.
        .args(["--group-initial-rebalance-delay", "0s"])
        .arg("--silent")
        .env_clear()
        .env("RUST_LOG", "warn")
        .env("NO_COLOR", "1");
    command
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::kill;
    use nix::unistd::Pid;

    use super::super::Status;
    use super::*;

    fn config(listen: SocketAddr) -> Config {
        Config {
            dir: None,
            kafka_listen: listen,
            clickhouse_listen: "127.0.0.1:0".parse().unwrap(),
            hung_after_seconds: 30,
        }
    }

    #[tokio::test]
    async fn the_real_broker_answers_comes_back_and_keeps_its_port_to_itself() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, two) = (
            DataDir::open(one.path()).unwrap(),
            DataDir::open(two.path()).unwrap(),
        );
        let broker = start(&config("127.0.0.1:0".parse().unwrap()), &one)
            .await
            .unwrap();
        let mut status = broker.status();
        let Status::Up { pid, .. } = *status.borrow_and_update() else {
            panic!("it is not up")
        };

        let clash = start(&config(broker.listen()), &two)
            .await
            .unwrap_err()
            .to_string();
        assert!(clash.contains("--kafka-listen"), "{clash}");

        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
        status
            .wait_for(|status| matches!(status, Status::Up { restarts: 1, .. }))
            .await
            .unwrap();
        assert!(Probe::Kafka.answers(broker.listen()).await);
        assert!(
            one.path().join("broker/log.db").exists(),
            "the log is in the data directory"
        );
        broker.stop().await;
        assert_eq!(*status.borrow(), Status::Stopped);
    }
}
