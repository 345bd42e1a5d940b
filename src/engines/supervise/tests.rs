//! Supervision of real processes: this test program, started again as one of the ignored tests below.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::unistd::Pid;
use tokio::process::Command;

use super::super::probe::Probe;
use super::*;

const HOW: &str = "FAKE_ENGINE";
const LISTEN: &str = "FAKE_ENGINE_LISTEN";
const HOME: &str = "FAKE_ENGINE_HOME";

fn this_program(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let role = format!("engines::supervise::tests::{role}");
    command.args(["--exact", &role, "--ignored", "--nocapture"]);
    command
}

fn spec(dir: &Path, how: &'static str) -> Spec {
    Spec {
        engine: "the fake engine",
        flag: "--fake-listen",
        probe: Probe::Http,
        command: Box::new(move |listen| {
            let mut command = this_program("fake_engine");
            command.env(HOW, how).env(LISTEN, listen.to_string());
            command
        }),
        log: dir.join("fake.log"),
        pid_file: dir.join("fake.pid"),
        ready_within: Duration::from_secs(30),
        hung_after: Duration::from_secs(30),
        stop_signal: Signal::SIGTERM,
        stop_within: Duration::from_secs(10),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Not a test: what the tests below start as an engine.
#[test]
#[ignore = "the body of a child process of the tests beside it"]
fn fake_engine() {
    match std::env::var(HOW).as_deref() {
        Ok("answering") => answer_for_ever(),
        Ok("deaf") => {
            // SAFETY: no handler runs; the signal is only ignored.
            unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn) }.unwrap();
            answer_for_ever();
        }
        Ok("silent") => drop(std::io::stdin().read_to_end(&mut Vec::new())),
        Ok("leashed") => runtime().block_on(super::super::parent_gone()),
        Ok("failing") => panic!("error: the disk is made of cheese"),
        _ => {}
    }
}

fn answer_for_ever() {
    let listener = TcpListener::bind(std::env::var(LISTEN).unwrap()).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 100]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}

fn pid_of(status: &Status) -> u32 {
    match status {
        Status::Up { pid, .. } => *pid,
        other => panic!("not up: {other:?}"),
    }
}

fn kill_hard(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
}

/// Gone, or dead and only waiting to be reaped.
fn gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

async fn until_gone(pid: u32) {
    let wait = async {
        while !gone(pid) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("the process lives on");
}

#[tokio::test]
async fn an_engine_that_dies_is_started_again_on_its_port_and_stops_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(spec(dir.path(), "answering"), any_port())
        .await
        .unwrap();
    let listen = engine.listen();
    let mut status = engine.status();
    let mut pid = pid_of(&status.borrow());
    for restart in 1..=3 {
        kill_hard(pid);
        let again = |status: &Status| matches!(status, Status::Up { restarts, .. } if *restarts == restart);
        let now = status.wait_for(again).await.unwrap().clone();
        assert_ne!(pid_of(&now), pid);
        pid = pid_of(&now);
        assert!(Probe::Http.answers(listen).await);
    }
    engine.stop().await;
    assert_eq!(*status.borrow(), Status::Stopped);
    assert!(gone(pid));
    assert!(!dir.path().join("fake.pid").exists());
}

#[tokio::test]
async fn an_engine_that_hangs_is_said_to_be_silent_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), "answering");
    spec.hung_after = Duration::from_secs(1);
    let engine = Engine::start(spec, any_port()).await.unwrap();
    let mut status = engine.status();
    let held = pid_of(&status.borrow());
    kill(Pid::from_raw(held.cast_signed()), Signal::SIGSTOP).unwrap();
    let silent = |status: &Status| matches!(status, Status::Silent { pid, .. } if *pid == held);
    status.wait_for(silent).await.unwrap();
    let again = |status: &Status| matches!(status, Status::Up { restarts: 1.., .. });
    status.wait_for(again).await.unwrap();
    assert!(gone(held) && Probe::Http.answers(engine.listen()).await);
    engine.stop().await;
}

#[tokio::test]
async fn an_engine_that_answers_in_time_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), "answering");
    spec.hung_after = Duration::from_secs(20);
    let engine = Engine::start(spec, any_port()).await.unwrap();
    let mut status = engine.status();
    let pid = pid_of(&status.borrow());
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGSTOP).unwrap();
    let silent = |status: &Status| matches!(status, Status::Silent { .. });
    status.wait_for(silent).await.unwrap();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGCONT).unwrap();
    let up = |status: &Status| !silent(status);
    let then = status.wait_for(up).await.unwrap().clone();
    assert_eq!(then, Status::Up { pid, restarts: 0 });
    engine.stop().await;
}

#[tokio::test]
async fn a_log_that_grows_while_the_engine_runs_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(spec(dir.path(), "answering"), any_port())
        .await
        .unwrap();
    let pid = pid_of(&engine.status().borrow());
    // Appended as the engine's own lines are.
    let mut log = std::fs::File::options()
        .append(true)
        .open(dir.path().join("fake.log"))
        .unwrap();
    log.write_all(&vec![b'x'; 11 << 20]).unwrap();
    let aside = async {
        while !dir.path().join("fake.log.1").exists() || log.metadata().unwrap().len() > 1 << 20 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), aside)
        .await
        .expect("the log stays as it is");
    assert_eq!(pid_of(&engine.status().borrow()), pid);
    engine.stop().await;
}

#[tokio::test]
async fn an_engine_that_ignores_sigterm_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec(dir.path(), "deaf");
    spec.stop_within = Duration::from_millis(200);
    let engine = Engine::start(spec, any_port()).await.unwrap();
    let pid = pid_of(&engine.status().borrow());
    engine.stop().await;
    assert!(gone(pid));
}

#[tokio::test]
async fn dropping_an_engine_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(spec(dir.path(), "answering"), any_port())
        .await
        .unwrap();
    let pid = pid_of(&engine.status().borrow());
    drop(engine);
    until_gone(pid).await;
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let failing = Engine::start(spec(dir.path(), "failing"), any_port())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        failing.contains("exit status: 101") && failing.contains("fake.log"),
        "{failing}"
    );

    let mut quiet = spec(dir.path(), "silent");
    quiet.ready_within = Duration::from_millis(300);
    let silent = Engine::start(quiet, any_port()).await.unwrap_err().to_string();
    assert!(silent.contains("did not answer"), "{silent}");
    assert!(
        !dir.path().join("fake.pid").exists(),
        "it is stopped and forgotten"
    );

    let mut absent = spec(dir.path(), "answering");
    absent.command = Box::new(|_| Command::new("/no/such/program"));
    let absent = Engine::start(absent, any_port()).await.unwrap_err().to_string();
    assert!(absent.contains("cannot start it"), "{absent}");
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_flag_that_changes_it() {
    let dir = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = holder.local_addr().unwrap();
    let error = Engine::start(spec(dir.path(), "answering"), listen)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&listen.to_string()) && error.contains("--fake-listen"),
        "{error}"
    );
}

/// Not a test: a server that starts an engine, says both addresses, and waits to be killed.
#[test]
#[ignore = "the body of a child process of the tests beside it"]
fn fake_server() {
    let Ok(home) = std::env::var(HOME) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let engine = Engine::start(spec(Path::new(&home), "answering"), any_port())
            .await
            .unwrap();
        let pid = pid_of(&engine.status().borrow());
        std::fs::write(
            Path::new(&home).join("up.new"),
            format!("{pid} {}", engine.listen()),
        )
        .unwrap();
        std::fs::rename(Path::new(&home).join("up.new"), Path::new(&home).join("up")).unwrap();
        std::future::pending::<()>().await;
    });
}

/// Starts a server with an engine in `home` and kills it: the engine's process and address.
async fn killed_server(home: &Path) -> (u32, SocketAddr) {
    let mut server = this_program("fake_server")
        .env(HOME, home)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let up = async {
        loop {
            match std::fs::read_to_string(home.join("up")) {
                Ok(text) => break text,
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(30), up).await.unwrap();
    let (pid, listen) = said.split_once(' ').unwrap();
    let (pid, listen) = (pid.parse().unwrap(), listen.parse().unwrap());
    assert!(!gone(pid));
    server.kill().await.unwrap();
    (pid, listen)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_engine_dies_with_a_server_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (pid, _) = killed_server(dir.path()).await;
    until_gone(pid).await;
}

#[tokio::test]
async fn the_start_after_a_killed_server_works_at_once_and_on_the_same_port() {
    let dir = tempfile::tempdir().unwrap();
    let (pid, listen) = killed_server(dir.path()).await;
    let engine = Engine::start(spec(dir.path(), "answering"), listen)
        .await
        .unwrap();
    assert!(gone(pid), "two engines on one directory");
    engine.stop().await;
}

#[tokio::test]
async fn a_child_that_watches_its_parent_ends_by_itself() {
    let mut command = this_program("fake_engine");
    command
        .env(HOW, "leashed")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = super::super::child::start(command).await.unwrap();
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(ended.success(), "{ended}");

    let elsewhere = tokio::time::timeout(Duration::from_millis(50), super::super::parent_gone()).await;
    assert!(
        elsewhere.is_err(),
        "nobody but an engine's process ends with its standard input"
    );
}
