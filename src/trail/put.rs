//! Many reads, one flush: what is put while the disk is busy goes out together in the next round.

use tokio::sync::{mpsc, oneshot};

use super::{NotRecorded, Trail, WAITING_MAX};

/// A record on its way to the spool, and who waits for it.
pub(super) struct Put {
    bytes: Vec<u8>,
    done: oneshot::Sender<bool>,
}

/// Puts a record into the spool; when this returns, it is on disk.
pub(super) async fn put(puts: &mpsc::Sender<Put>, bytes: Vec<u8>) -> Result<(), NotRecorded> {
    let (done, answer) = oneshot::channel();
    puts.send(Put { bytes, done }).await.map_err(|_| NotRecorded)?;
    match answer.await {
        Ok(true) => Ok(()),
        _ => Err(NotRecorded),
    }
}

/// Round after round, for as long as anybody puts.
pub(super) async fn flush(trail: Trail, mut waiting: mpsc::Receiver<Put>) {
    let mut round = Vec::new();
    while waiting.recv_many(&mut round, WAITING_MAX).await > 0 {
        let (records, askers): (Vec<_>, Vec<_>) = round.drain(..).map(|put| (put.bytes, put.done)).unzip();
        let kept = trail.with_spool(move |spool| spool.append(&records)).await;
        let kept = kept.unwrap_or_else(|error| {
            tracing::error!(%error, "the spool of reads can't be written");
            0
        });
        for (n, asker) in askers.into_iter().enumerate() {
            // Whoever has gone meanwhile needs no answer.
            let _ = asker.send(n < kept);
        }
    }
}
