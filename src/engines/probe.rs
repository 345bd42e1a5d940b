//! Does an engine answer? A port that takes connections proves little, so each is asked its simplest question.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A probe that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// The question an engine is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Probe {
    /// Kafka's ApiVersions.
    Kafka,
    /// `GET /ping`.
    Http,
}

impl Probe {
    /// Whether the engine at `address` answers well.
    pub(super) async fn answers(self, address: SocketAddr) -> bool {
        let ask = async {
            let mut stream = TcpStream::connect(address).await?;
            match self {
                Self::Kafka => api_versions(&mut stream).await,
                Self::Http => ping(&mut stream).await,
            }
        };
        matches!(tokio::time::timeout(PATIENCE, ask).await, Ok(Ok(true)))
    }
}

/// ApiVersions version 0 with correlation id 7 and no client id: the request every Kafka broker knows. The answer
/// is a length, the correlation id, and an error code that should be 0.
async fn api_versions(stream: &mut TcpStream) -> io::Result<bool> {
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    stream.write_all(&REQUEST).await?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await?;
    Ok(answer[4..] == [0, 0, 0, 7, 0, 0])
}

async fn ping(stream: &mut TcpStream) -> io::Result<bool> {
    stream
        .write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    Ok(&answer == b"HTTP/1.1 200")
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Listens and gives every caller the same answer once it has asked something.
    async fn parrot(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut question = [0; 14];
                let _ = stream.read_exact(&mut question).await;
                let _ = stream.write_all(answer).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn only_the_right_answer_counts() {
        let kafka = parrot(&[0, 0, 0, 10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]).await;
        let refusing = parrot(&[0, 0, 0, 10, 0, 0, 0, 7, 0, 35, 0, 0, 0, 0]).await;
        let web = parrot(b"HTTP/1.1 200 OK\r\n\r\nOk.\n").await;
        let busy = parrot(b"HTTP/1.1 503 Unavailable\r\n\r\n").await;
        assert!(Probe::Kafka.answers(kafka).await);
        assert!(!Probe::Kafka.answers(refusing).await);
        assert!(!Probe::Kafka.answers(web).await);
        assert!(Probe::Http.answers(web).await);
        assert!(!Probe::Http.answers(busy).await);
        assert!(!Probe::Http.answers(kafka).await);
    }
}
