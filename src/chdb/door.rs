//! The connections of clients: so many at most, and each with a word on when all that was written has left for the
//! client. An answer that fails in the middle says why and then breaks its connection, and must not break it before
//! the why has gone out.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The most connections open at once. Further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 1024;

/// Accepts connections.
pub(super) struct Door {
    listener: TcpListener,
    free: Arc<Semaphore>,
}

impl Door {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            free: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }
}

impl Listener for Door {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        let permit = Arc::clone(&self.free).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let _ = stream.set_nodelay(true);
        (
            Guest {
                stream,
                flushed: Flushed::default(),
                _permit: permit,
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
pub(super) struct Guest {
    stream: TcpStream,
    flushed: Flushed,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Counts how often nothing was left to write to a connection.
#[derive(Clone, Default)]
pub(super) struct Flushed(Arc<Flushes>);

#[derive(Default)]
struct Flushes {
    count: AtomicU64,
    next: Notify,
}

impl Flushed {
    /// Nothing is left to write.
    pub(super) fn mark(&self) {
        self.0.count.fetch_add(1, Ordering::AcqRel);
        self.0.next.notify_waiters();
    }

    /// Waits until everything written before this call has left.
    pub(super) async fn wait(&self) {
        let before = self.0.count.load(Ordering::Acquire);
        loop {
            let next = self.0.next.notified();
            if self.0.count.load(Ordering::Acquire) > before {
                return;
            }
            next.await;
        }
    }
}

impl Connected<IncomingStream<'_, Door>> for Flushed {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().flushed.clone()
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The HTTP layer flushes when its own buffers are empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.flushed.mark();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
