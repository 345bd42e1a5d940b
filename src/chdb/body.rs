//! From a request's body to a statement: bytes come in as the client sends them, are unpacked on a blocking thread,
//! and become the statement's text and, for an `INSERT`, its data in a [`Spool`].

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::encoding::{self, Encoding};
use super::exception::Exception;
use super::framing::{self, Frame};
use super::request::{STATEMENT_MAX, too_large};
use super::spool::Spool;

/// Pieces of a body under way between the two threads: with a socket's read size, under 1 MiB a request.
const PIECES: usize = 4;

/// How to read a body.
pub(super) struct Reading {
    pub encoding: Option<Encoding>,
    /// The engine's own block framing inside of that.
    pub framed: bool,
    pub directory: PathBuf,
    /// The most data of an `INSERT`, plain.
    pub limit: u64,
}

/// A statement, and the data that came with it.
pub(super) struct Received {
    pub frame: Frame,
    pub data: Option<Spool>,
}

/// Reads `query` and then all of `body`.
pub(super) async fn receive(
    query: Option<String>,
    body: Option<Body>,
    how: Reading,
) -> Result<Received, Exception> {
    let text = query.unwrap_or_default().into_bytes();
    let Some(body) = body else {
        return unpack(text, &mut io::empty(), &how);
    };
    let (sender, receiver) = mpsc::channel(PIECES);
    let source = Source(Arc::new(Mutex::new(Pieces {
        receiver,
        piece: Bytes::new(),
        ended: false,
    })));
    let unpacking = tokio::task::spawn_blocking(move || unpack_all(text, source, &how));
    let mut stream = body.into_data_stream();
    let failed = loop {
        let piece = match stream.next().await {
            None => Piece::End,
            Some(Ok(bytes)) => Piece::Bytes(bytes),
            Some(Err(_)) => break true,
        };
        let ended = matches!(piece, Piece::End);
        // A closed channel means that unpacking has stopped with an error of its own, which is the answer.
        if sender.send(piece).await.is_err() || ended {
            break false;
        }
    };
    drop(sender);
    let unpacked = unpacking
        .await
        .map_err(|_| Exception::new(1001, "STD_EXCEPTION", "the body could not be read"))?;
    if failed { Err(cut_short()) } else { unpacked }
}

enum Piece {
    Bytes(Bytes),
    End,
}

/// The body as it arrives. Only [`Piece::End`] is its end: a channel that closes before that is a client that left.
struct Pieces {
    receiver: mpsc::Receiver<Piece>,
    piece: Bytes,
    ended: bool,
}

#[derive(Clone)]
struct Source(Arc<Mutex<Pieces>>);

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while pieces.piece.is_empty() {
            if pieces.ended {
                return Ok(0);
            }
            match pieces.receiver.blocking_recv() {
                Some(Piece::Bytes(bytes)) => pieces.piece = bytes,
                Some(Piece::End) => pieces.ended = true,
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let length = out.len().min(pieces.piece.len());
        out[..length].copy_from_slice(&pieces.piece.split_to(length));
        Ok(length)
    }
}

fn unpack_all(text: Vec<u8>, mut source: Source, how: &Reading) -> Result<Received, Exception> {
    let mut plain = encoding::decoder(source.clone(), how.encoding, how.framed).map_err(broken)?;
    let received = unpack(text, &mut plain, how)?;
    // A decoder may stop at its own end mark; the body must have ended too.
    io::copy(&mut source, &mut io::sink()).map_err(broken)?;
    Ok(received)
}

/// Reads as much as the statement's frame needs, and spools the data behind it.
fn unpack(mut text: Vec<u8>, plain: &mut dyn Read, how: &Reading) -> Result<Received, Exception> {
    if !text.is_empty() {
        text.push(b'\n');
    }
    let mut wanted = text.len();
    let mut complete = false;
    let frame = loop {
        if let Some(frame) = framing::frame(&text, complete)? {
            break frame;
        }
        if text.len() > STATEMENT_MAX {
            return Err(too_large());
        }
        wanted = (wanted * 4).clamp(64 << 10, STATEMENT_MAX + 1);
        let room = wanted.saturating_sub(text.len()) as u64;
        let read = plain.take(room).read_to_end(&mut text).map_err(broken)?;
        complete = (read as u64) < room;
    };
    let data = match &frame {
        Frame::Insert { data, .. } => Some(spool(&text[*data..], plain, how)?),
        _ => {
            refuse_rest(plain)?;
            None
        }
    };
    Ok(Received { frame, data })
}

fn spool(head: &[u8], plain: &mut dyn Read, how: &Reading) -> Result<Spool, Exception> {
    let mut spool = create(&how.directory)?;
    match spool.fill(head, plain, how.limit).map_err(broken)? {
        Some(_) => Ok(spool),
        None => Err(Exception::new(
            229,
            "QUERY_IS_TOO_LARGE",
            format!(
                "the data of one INSERT may have {} bytes: send them in parts",
                how.limit
            ),
        )),
    }
}

/// A spool, or a sentence on why there is none.
pub(super) fn create(directory: &Path) -> Result<Spool, Exception> {
    Spool::create(directory).map_err(|error| {
        Exception::new(
            243,
            "NOT_ENOUGH_SPACE",
            format!("cannot buffer in {}: {error}", directory.display()),
        )
    })
}

fn refuse_rest(plain: &mut dyn Read) -> Result<(), Exception> {
    match plain.read(&mut [0]).map_err(broken)? {
        0 => Ok(()),
        _ => Err(Exception::new(
            62,
            "SYNTAX_ERROR",
            "Syntax error: the body has more than the statement",
        )),
    }
}

fn cut_short() -> Exception {
    Exception::new(
        3,
        "UNEXPECTED_END_OF_FILE",
        "the request's body ended before its time: nothing was done",
    )
}

fn broken(error: io::Error) -> Exception {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => cut_short(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exception::new(
            243,
            "NOT_ENOUGH_SPACE",
            "the disk is full: the request could not be buffered",
        ),
        _ => Exception::new(
            271,
            "CANNOT_DECOMPRESS",
            format!("the request's body cannot be read: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how(encoding: Option<Encoding>, framed: bool) -> (tempfile::TempDir, Reading) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        (
            directory,
            Reading {
                encoding,
                framed,
                directory: path,
                limit: 1 << 20,
            },
        )
    }

    fn data(received: &Received) -> Vec<u8> {
        std::fs::read(received.data.as_ref().unwrap().path()).unwrap()
    }

    #[tokio::test]
    async fn a_statement_and_its_data_may_come_in_one_body_or_two_places() {
        let (_kept, reading) = how(None, false);
        let body = Body::from("INSERT INTO t FORMAT CSV\n1,2\n");
        let received = receive(None, Some(body), reading).await.unwrap();
        assert_eq!(data(&received), b"1,2\n");
        let (_kept, reading) = how(Some(Encoding::Gzip), false);
        let mut gzip = encoding::Encoder::new(Some(Encoding::Gzip), false).unwrap();
        let mut packed = gzip.push(b"\0\0\0").unwrap();
        packed.extend(gzip.finish().unwrap());
        let query = Some("INSERT INTO t FORMAT RowBinary".to_owned());
        let received = receive(query, Some(Body::from(packed)), reading).await.unwrap();
        assert_eq!(data(&received), b"\0\0\0");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_statement() {
        for (encoding, framed) in [(None, false), (None, true), (Some(Encoding::Gzip), false)] {
            let (_kept, reading) = how(encoding, framed);
            let mut encoder = encoding::Encoder::new(encoding, framed).unwrap();
            let packed = Bytes::from(encoder.push(b"1,2\n").unwrap());
            let broken = futures_util::stream::iter([Ok(packed), Err(io::Error::other("gone"))]);
            let query = Some("INSERT INTO t FORMAT CSV".to_owned());
            let refused = receive(query, Some(Body::from_stream(broken)), reading).await;
            assert_eq!(
                refused.err().map(|exception| exception.code),
                Some(3),
                "{encoding:?} {framed}"
            );
        }
    }

    #[tokio::test]
    async fn too_much_is_refused() {
        let (_kept, reading) = how(None, false);
        let query = Some("INSERT INTO t FORMAT CSV".to_owned());
        let refused = receive(query, Some(Body::from(vec![b'1'; 2 << 20])), reading).await;
        assert_eq!(refused.err().map(|exception| exception.code), Some(229));
        let (_kept, reading) = how(None, false);
        let long = format!("SELECT '{}'", "x".repeat(STATEMENT_MAX + 100));
        let refused = receive(None, Some(Body::from(long)), reading).await;
        assert_eq!(refused.err().map(|exception| exception.code), Some(229));
    }
}
