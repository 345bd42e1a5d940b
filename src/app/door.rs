//! The HTTP port: taken before anything starts, opened when there is somebody to answer.
//!
//! Until it is opened, callers are refused and not kept waiting.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be taken; the system's own bound comes on top.
const BACKLOG: u32 = 1024;

/// Takes the port, so that nobody else can and a wrong one is known at once.
pub(super) fn reserve(address: SocketAddr) -> anyhow::Result<TcpSocket> {
    let reserve = || -> io::Result<TcpSocket> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Else a port that was closed a moment ago stays taken for a minute.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    reserve().with_context(|| taken(address))
}

/// Lets callers in.
pub(super) fn open(door: TcpSocket, address: SocketAddr) -> anyhow::Result<TcpListener> {
    door.listen(BACKLOG).with_context(|| taken(address))
}

fn taken(address: SocketAddr) -> String {
    format!("can't listen for HTTP on {address}: free the port, or choose another with --listen")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_reserved_port_is_nobody_elses_and_answers_when_it_is_opened() {
        let any = "127.0.0.1:0".parse().unwrap();
        let door = reserve(any).unwrap();
        let address = door.local_addr().unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nobody answers yet");
        let listener = open(door, address).unwrap();
        TcpStream::connect(address).await.unwrap();
        let error = format!("{:#}", reserve(address).unwrap_err());
        assert!(error.contains("--listen") && error.contains("in use"), "{error}");
        drop(listener);
        reserve(address).unwrap();
    }
}
