use std::sync::{Arc, Mutex};

use super::*;

type Trace = Arc<Mutex<Vec<&'static str>>>;
type Work = futures_util::future::BoxFuture<'static, anyhow::Result<()>>;
type Worker = fn(Stop) -> Work;

fn noting(trace: &Trace, word: &'static str) -> impl FnOnce(Stop) -> Work {
    let trace = trace.clone();
    move |stop| {
        async move {
            stop.soft().await;
            tokio::task::yield_now().await;
            trace.lock().unwrap().push(word);
            Ok(())
        }
        .boxed()
    }
}

#[tokio::test]
async fn stages_stop_in_the_order_of_their_declaration() {
    let trace = Trace::default();
    let mut life = Lifecycle::new(DEADLINE);
    let (http, readers, engines) = (life.stage("http"), life.stage("readers"), life.stage("engines"));
    engines.at_stop("broker", {
        let trace = trace.clone();
        move |_| async move {
            trace.lock().unwrap().push("broker");
            Ok(())
        }
    });
    readers.spawn("projector", noting(&trace, "projector"));
    http.spawn("http", noting(&trace, "http"));
    let board = life.board();
    assert_eq!(board.phase(), Phase::Running);
    assert_eq!(board.running().len(), 3);

    life.stop_handle().request();
    life.run_until_stopped().await.unwrap();

    assert_eq!(*trace.lock().unwrap(), ["http", "projector", "broker"]);
    assert_eq!(board.phase(), Phase::Stopped);
    assert!(board.tasks().iter().all(|task| task.state == TaskState::Stopped));
}

#[tokio::test]
async fn a_worker_that_ends_unasked_stops_everything_with_an_error() {
    let cases: [(&str, Worker); 3] = [
        ("without having been asked", |_| async { Ok(()) }.boxed()),
        ("the disk is gone", |_| {
            async { anyhow::bail!("the disk is gone") }.boxed()
        }),
        ("panicked: ouch", |_| async { panic!("ouch") }.boxed()),
    ];
    for (why, worker) in cases {
        let trace = Trace::default();
        let mut life = Lifecycle::new(DEADLINE);
        let stage = life.stage("readers");
        stage.spawn("innocent", noting(&trace, "innocent"));
        stage.spawn("culprit", worker);
        let error = life.run_until_stopped().await.unwrap_err().to_string();
        assert!(error.contains("culprit") && error.contains(why), "{error}");
        assert_eq!(
            *trace.lock().unwrap(),
            ["innocent"],
            "the others are asked to stop as usual"
        );
    }
}

#[tokio::test]
async fn a_second_request_or_the_deadline_is_hard() {
    let far = Duration::from_secs(600);
    for (deadline, second_request) in [(far, true), (Duration::from_millis(20), false)] {
        let mut life = Lifecycle::new(deadline);
        let stage = life.stage("slow");
        stage.spawn("slow", |stop| async move {
            stop.hard().await;
            assert!(stop.is_soft() && stop.is_hard());
            Ok(())
        });
        life.stop_handle().request();
        if second_request {
            life.stop_handle().request();
        }
        life.run_until_stopped().await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_that_ignores_the_hard_stop_is_named_and_later_stages_still_stop() {
    let trace = Trace::default();
    let mut life = Lifecycle::new(Duration::from_millis(10));
    life.grace = Duration::from_millis(10);
    life.stage("stuck").spawn("deaf", |_| std::future::pending());
    life.stage("engines").spawn("broker", noting(&trace, "broker"));
    life.stop_handle().request();
    let error = life.run_until_stopped().await.unwrap_err();
    assert!(
        matches!(&error, Ended::Abandoned(names) if names == &["deaf"]),
        "{error}"
    );
    assert_eq!(*trace.lock().unwrap(), ["broker"]);
}

#[tokio::test]
async fn a_failure_while_stopping_is_not_swallowed() {
    let mut life = Lifecycle::new(DEADLINE);
    life.stage("producer")
        .at_stop("flush", |_| async { anyhow::bail!("3 records were left") });
    life.stop_handle().request();
    let error = life.run_until_stopped().await.unwrap_err().to_string();
    assert!(error.contains("3 records were left"), "{error}");
}

const HOME: &str = "FAKE_SERVICE_HOME";

/// Not a test: a service with one worker that leaves a file when it is asked to stop, and when it is told.
#[test]
#[ignore = "the body of a child process of the test below"]
fn fake_service() {
    let Ok(home) = std::env::var(HOME) else { return };
    let leave = move |name: &str| std::fs::write(std::path::Path::new(&home).join(name), "").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut life = Lifecycle::new(DEADLINE);
        life.stage("slow").spawn("slow", |stop| async move {
            stop.soft().await;
            leave("asked");
            stop.hard().await;
            leave("told");
            Ok(())
        });
        life.run_until_stopped().await.unwrap();
    });
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_first_signal_asks_and_the_second_tells() {
    use nix::sys::signal::{Signal, kill};

    for (first, second) in [
        (Signal::SIGTERM, Signal::SIGTERM),
        (Signal::SIGINT, Signal::SIGTERM),
    ] {
        let home = tempfile::tempdir().unwrap();
        let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "lifecycle::tests::fake_service", "--ignored"])
            .env(HOME, home.path());
        let mut service = command
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = nix::unistd::Pid::from_raw(service.id().unwrap().cast_signed());

        until(|| catches_signals(pid.as_raw())).await;
        kill(pid, first).unwrap();
        until(|| home.path().join("asked").exists()).await;
        assert!(!home.path().join("told").exists(), "one signal is no hard stop");
        kill(pid, second).unwrap();
        assert!(service.wait().await.unwrap().success());
        assert!(home.path().join("told").exists());
    }
}

/// Whether the process has handlers for both signals; before that they would simply kill it.
#[cfg(target_os = "linux")]
fn catches_signals(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    // Bit n - 1 stands for signal n: SIGINT is 2, SIGTERM 15.
    caught & (1 << 1) != 0 && caught & (1 << 14) != 0
}

#[cfg(target_os = "linux")]
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("it does not come to be");
}
