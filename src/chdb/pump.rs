//! Rows on their way out: from the pipe that the engine writes into to whoever reads the answer. The pump outlives
//! the request: when the client leaves, it asks the engine to stop and empties the pipe until it has, because the
//! engine's thread must never be left waiting at a pipe that nobody reads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use super::engine::{CANCEL_AGAIN, Engine};
use super::exception::Exception;
use super::library::{Answer, Summary};

/// Bytes sent on at once.
const PIECE: usize = 256 << 10;

/// What comes out of a statement.
#[derive(Debug)]
pub(super) enum Piece {
    Rows(Bytes),
    /// The last one.
    End(Result<Summary, Exception>),
}

/// The outcome of a statement, sent by its lane.
pub(super) type Outcome = Result<Answer, Exception>;

/// A running statement, seen from the outside.
pub(super) struct Pump {
    pub engine: Arc<Engine>,
    pub query_id: String,
    pub outcome: oneshot::Receiver<Outcome>,
    pub cancelled: Arc<AtomicBool>,
    /// How long a client may take for a piece before it counts as gone.
    pub patience: Duration,
}

impl Pump {
    /// Carries rows from `pipe` to `out` until the statement is done.
    pub(super) async fn run(mut self, pipe: Option<pipe::Receiver>, out: mpsc::Sender<Piece>) {
        if let Some(pipe) = pipe
            && let Some(pipe) = self.carry(pipe, &out).await
        {
            return self.stop(pipe).await;
        }
        let outcome = (&mut self.outcome).await.unwrap_or_else(|_| Err(lost()));
        let end = match outcome {
            Ok(answer) => {
                if !answer.bytes.is_empty() {
                    let _ = out.send(Piece::Rows(answer.bytes.into())).await;
                }
                Ok(answer.summary)
            }
            Err(exception) => Err(exception),
        };
        let _ = out.send(Piece::End(end)).await;
    }

    /// Returns the pipe when nobody reads any more.
    async fn carry(&mut self, mut pipe: pipe::Receiver, out: &mpsc::Sender<Piece>) -> Option<pipe::Receiver> {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(PIECE);
            let read = tokio::select! {
                read = pipe.read_buf(&mut buffer) => read,
                () = out.closed() => return Some(pipe),
            };
            if !matches!(read, Ok(1..)) {
                return None;
            }
            while buffer.len() < PIECE {
                match pipe.try_read_buf(&mut buffer) {
                    Ok(1..) => {}
                    // An end shows again at the next read.
                    Ok(0) | Err(_) => break,
                }
            }
            let piece = Piece::Rows(buffer.split().freeze());
            if out.send_timeout(piece, self.patience).await.is_err() {
                return Some(pipe);
            }
        }
    }

    /// Stops the statement.
    async fn stop(mut self, mut pipe: pipe::Receiver) {
        self.cancelled.store(true, Ordering::Release);
        let mut again = tokio::time::interval(CANCEL_AGAIN);
        let mut waste = vec![0; PIECE];
        let mut open = true;
        loop {
            tokio::select! {
                _ = &mut self.outcome => return,
                _ = again.tick() => self.engine.cancel(&self.query_id),
                read = pipe.read(&mut waste), if open => open = is_open(read),
            }
        }
    }
}

fn is_open(read: io::Result<usize>) -> bool {
    matches!(read, Ok(1..))
}

fn lost() -> Exception {
    Exception::new(
        1001,
        "STD_EXCEPTION",
        "the statement's thread failed: see the log",
    )
}
