use std::sync::{Arc, Mutex};

use super::*;

type Trace = Arc<Mutex<Vec<&'static str>>>;

fn noting(
    trace: &Trace,
    word: &'static str,
) -> impl FnOnce(Stop) -> futures_util::future::BoxFuture<'static, anyhow::Result<()>> {
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
    let cases: [(
        &str,
        fn(Stop) -> futures_util::future::BoxFuture<'static, anyhow::Result<()>>,
    ); 3] = [
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
