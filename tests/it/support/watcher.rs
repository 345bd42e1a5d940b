//! Somebody who watches a stream, over server-sent events or a WebSocket.

use std::collections::VecDeque;

use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::caller::Caller;
use super::wait::PATIENCE;

/// An open stream.
pub struct Watcher {
    wire: Wire,
    frames: VecDeque<Value>,
}

enum Wire {
    Sse(reqwest::Response, Vec<u8>),
    Ws(Box<WebSocketStream<TcpStream>>),
}

impl Watcher {
    /// Server-sent events; `headers` beside the credential.
    pub async fn sse(caller: &Caller, query: &str, headers: &[(&str, &str)]) -> Self {
        let answer = caller.open(&format!("/api/v1/logs/stream{query}"), headers).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            wire: Wire::Sse(answer, Vec::new()),
            frames: VecDeque::new(),
        }
    }

    /// A WebSocket, or why there is none.
    pub async fn try_ws(caller: &Caller, query: &str) -> Result<Self, StatusCode> {
        let url = format!("ws://{}/api/v1/logs/stream{query}", caller.address());
        let mut request = url.into_client_request().unwrap();
        if let Some(credential) = &caller.credential {
            let value = format!("Bearer {credential}").parse().unwrap();
            request.headers_mut().insert("authorization", value);
        }
        let stream = TcpStream::connect(caller.address()).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self {
                wire: Wire::Ws(Box::new(socket)),
                frames: VecDeque::new(),
            }),
            Err(Error::Http(answer)) => Err(StatusCode::from_u16(answer.status().as_u16()).unwrap()),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn ws(caller: &Caller, query: &str) -> Self {
        Self::try_ws(caller, query)
            .await
            .unwrap_or_else(|status| panic!("{status}"))
    }

    /// The next frame; `None` at the end.
    pub async fn frame(&mut self) -> Option<Value> {
        let next = tokio::time::timeout(PATIENCE, self.read()).await;
        next.expect("a frame comes")
    }

    /// The next frame that is no heartbeat.
    pub async fn told(&mut self) -> Value {
        let told = async {
            loop {
                let frame = self.read().await.expect("the stream goes on");
                if frame["type"] != "heartbeat" {
                    return frame;
                }
            }
        };
        tokio::time::timeout(PATIENCE, told)
            .await
            .expect("something is told")
    }

    /// The next event, with its cursor.
    pub async fn event(&mut self) -> (Value, String) {
        let mut frame = self.told().await;
        assert_eq!(frame["type"], "event", "{frame}");
        let cursor = frame["cursor"].as_str().unwrap().to_owned();
        (frame["event"].take(), cursor)
    }

    /// What their senders call the next events, and the cursor behind the last of them. They come in order within a
    /// partition only.
    pub async fn next(&mut self, count: usize) -> (Vec<String>, String) {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        while names.len() < count {
            let frame = self.told().await;
            if frame["type"] == "lagged" {
                continue;
            }
            assert_eq!(frame["type"], "event", "{frame}");
            names.push(
                frame["event"]["source_event_id"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
            cursor = frame["cursor"].as_str().unwrap().to_owned();
        }
        (names, cursor)
    }

    /// Waits until the stream is there: it begins with a heartbeat.
    pub async fn once_live(mut self) -> Self {
        let first = self.frame().await.unwrap();
        assert_eq!(first["type"], "heartbeat", "{first}");
        self
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            match &mut self.wire {
                Wire::Sse(answer, unread) => {
                    unread.extend_from_slice(&answer.chunk().await.ok()??);
                    while let Some(end) = unread.windows(2).position(|two| two == b"\n\n") {
                        let event: Vec<u8> = unread.drain(..end + 2).collect();
                        self.frames.push_back(sent(&String::from_utf8(event).unwrap()));
                    }
                }
                Wire::Ws(socket) => match socket.next().await? {
                    Ok(Message::Text(text)) => {
                        self.frames
                            .push_back(serde_json::from_str(text.as_str()).unwrap());
                    }
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(_) => {}
                },
            }
        }
    }
}

/// The frame of a server-sent event, whose id must be its cursor.
fn sent(event: &str) -> Value {
    let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let frame: Value = serde_json::from_str(line("data: ")).unwrap();
    assert_eq!(line("id: "), frame["cursor"].as_str().unwrap());
    frame
}
