//! HTTP as cheap as it gets: one connection, one request at a time, no more read of an answer than is needed.
//!
//! The generator shares its cores with what it measures, so a general client's comfort would be paid for by the
//! figures. Plain HTTP only; TLS belongs into the proxy in front.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where the server is, and the credential.
#[derive(Clone)]
pub(super) struct Server {
    address: String,
    token: String,
}

impl Server {
    /// From a URL such as `http://127.0.0.1:8080`.
    pub(super) fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let Some(rest) = url.strip_prefix("http://") else {
            anyhow::bail!(
                "{url}: the bench speaks plain http:// only; measure the server itself, not the proxy in front"
            );
        };
        Ok(Self {
            address: rest.trim_end_matches('/').to_owned(),
            token: token.to_owned(),
        })
    }

    /// Where it is, as host and port.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The head of a POST to a path, up to its length.
    pub(super) fn post(&self, path: &str) -> Vec<u8> {
        let (address, token) = (&self.address, &self.token);
        format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: "
        )
        .into_bytes()
    }

    /// A whole GET.
    pub(super) fn get(&self, path: &str) -> Vec<u8> {
        let (address, token) = (&self.address, &self.token);
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n")
            .into_bytes()
    }
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A connection, opened when it is needed and again when the server closed it.
pub(super) struct Wire {
    server: Server,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Wire {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            server: server.clone(),
            stream: None,
            buffer: Vec::with_capacity(64 * 1024),
        }
    }

    /// Sends the head of a POST with its body, and reads the answer.
    pub(super) async fn post(&mut self, head: &[u8], body: &[u8]) -> io::Result<Answer> {
        let mut request = Vec::with_capacity(head.len() + body.len() + 16);
        request.extend_from_slice(head);
        request.extend_from_slice(body.len().to_string().as_bytes());
        request.extend_from_slice(b"\r\n\r\n");
        request.extend_from_slice(body);
        self.send(&request).await
    }

    /// Sends a whole request, and reads the answer.
    pub(super) async fn send(&mut self, request: &[u8]) -> io::Result<Answer> {
        let answer = self.exchange(request).await;
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.server.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let Some(stream) = &mut self.stream else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(head) = Head::read(&self.buffer)? {
                break head;
            }
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        while self.buffer.len() < head.body + head.length {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = self
            .buffer
            .get(head.body..head.body + head.length)
            .unwrap_or_default()
            .to_vec();
        if head.closes {
            self.stream = None;
        }
        Ok(Answer {
            status: head.status,
            body,
        })
    }
}

struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    length: usize,
    closes: bool,
}

impl Head {
    /// `None` while it is not all there. Our server states the length of every answer of the routes that are measured.
    fn read(buffer: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(buffer.get(..end).unwrap_or_default()).unwrap_or_default();
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let named = |wanted: &str| {
            let mut fields = text.split("\r\n").filter_map(|line| line.split_once(':'));
            fields
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.trim())
        };
        match (
            status,
            named("content-length").and_then(|length| length.parse().ok()),
        ) {
            (Some(status), Some(length)) => {
                let closes = named("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                Ok(Some(Self {
                    status,
                    body: end + 4,
                    length,
                    closes,
                }))
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an answer without a status or a length",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let text = b"HTTP/1.1 207 Multi-Status\r\nContent-Length: 5\r\nconnection: close\r\n\r\nhello";
        assert!(Head::read(&text[..40]).unwrap().is_none());
        let head = Head::read(text).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.closes), (207, 5, true));
        assert_eq!(&text[head.body..], b"hello");
        assert!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn only_plain_http_is_measured() {
        assert!(Server::new("https://x", "t").is_err());
        assert_eq!(
            Server::new("http://127.0.0.1:8080/", "t").unwrap().address,
            "127.0.0.1:8080"
        );
    }
}
