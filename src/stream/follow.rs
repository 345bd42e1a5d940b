//! The one follower of this process: reads every partition while anybody is there, and for ten minutes after.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::live::Live;
use super::reader::Reader;
use crate::log::decode::Decoder;
use crate::log::{Log, topics};
use crate::meters;

/// How long it goes on when the last client has left: the next one would wait until the seen window has been read, some
/// five seconds.
const KEPT_FOR: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_secs(10);
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Follows the log whenever somebody is there, until `stop`.
pub(super) async fn run(log: Log, decoder: Decoder, live: Arc<Live>, stop: CancellationToken) {
    let follow = async {
        loop {
            while live.clients() == 0 {
                live.wanted.notified().await;
            }
            tokio::select! {
                () = follow(&log, &decoder, &live) => {}
                () = nobody(&live) => tracing::debug!("nobody watches any more; the log is no longer followed"),
            }
        }
    };
    stop.run_until_cancelled(follow).await;
}

/// Ends when nobody was there for a while, and nothing is kept any more.
async fn nobody(live: &Live) {
    let mut alone = Duration::ZERO;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // What is not said again for a while is no longer shown.
        metrics::gauge!(meters::STREAMS).set(live.clients() as f64);
        alone = match live.clients() {
            0 => alone + LOOK_EVERY,
            _ => Duration::ZERO,
        };
        if alone >= KEPT_FOR && live.forget() {
            return;
        }
    }
}

async fn follow(log: &Log, decoder: &Decoder, live: &Arc<Live>) {
    let bounds = bounds(log, live.partitions()).await;
    // The last events are kept from here on; the seen window before them tells which are copies.
    let floor: Vec<i64> = bounds
        .iter()
        .map(|(low, end)| (end - live.kept as i64).max(*low))
        .collect();
    live.begin(floor.clone(), bounds.iter().map(|(_, end)| *end).collect());
    let (arrived, mut arrivals) = mpsc::channel(bounds.len().max(1));
    let mut readers = JoinSet::new();
    for (partition, ((low, end), from)) in bounds.into_iter().zip(floor).enumerate() {
        let reader = Reader::new(log.clone(), decoder.clone(), partition, low, from);
        readers.spawn(reading(reader, live.clone(), partition, end, arrived.clone()));
    }
    drop(arrived);
    let ready = async {
        // Each says when it is there, and lets go of its end.
        while arrivals.recv().await.is_some() {}
        live.ready.send_replace(true);
        tracing::debug!("the log is followed for those who watch");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = ready => {}
        // None ends but by a panic, of which its own words were printed.
        _ = readers.join_next() => tracing::error!("a reader of the stream has ended; all begin anew"),
    }
}

/// Reads a partition for ever; lets `arrived` go when it has come to `end`.
async fn reading(mut reader: Reader, live: Arc<Live>, partition: usize, end: i64, arrived: mpsc::Sender<()>) {
    let mut arrived = Some(arrived);
    loop {
        if reader.next_offset() >= end {
            arrived = None;
        }
        let events = reader.read().await;
        live.publish(partition, events, reader.next_offset()).await;
        if arrived.is_some() {
            tokio::task::yield_now().await;
        }
    }
}

/// Where each partition begins and ends.
async fn bounds(log: &Log, partitions: usize) -> Vec<(i64, i64)> {
    loop {
        let asked = (0..partitions).map(|partition| log.bounds(topics::EVENTS, partition as i32));
        match futures_util::future::try_join_all(asked).await {
            Ok(bounds) => return bounds,
            Err(error) => tracing::debug!(%error, "the stream can't ask how far the log goes; trying again"),
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}
