//! The answer over HTTP: status and headers when the outcome is known in time, and otherwise a stream that says
//! visibly when it fails in the middle: the tagged block that ClickHouse clients look for, and then a broken
//! connection, so that nobody takes a part for the whole.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, RETRY_AFTER, VARY};
use http::{HeaderValue, StatusCode};
use tokio::sync::mpsc;

use super::door::Flushed;
use super::encoding::{Encoder, Encoding};
use super::engine::Facts;
use super::exception::Exception;
use super::library::Summary;
use super::pump::Piece;

/// What an answer needs to know of its request.
pub(super) struct Shape {
    pub facts: Facts,
    pub query_id: String,
    pub format: String,
    pub encoding: Option<Encoding>,
    /// The engine's own block framing.
    pub framed: bool,
    /// The connection that it goes out by.
    pub flushed: Flushed,
}

/// Bytes kept back in the hope of a known outcome, as a real server's buffer.
pub(super) const HELD: usize = 1 << 20;

/// The most of an exception that is told behind rows.
const TOLD: usize = 16 << 10;

/// How long the last bytes may take to leave before the connection is broken.
const LEAVING: Duration = Duration::from_secs(30);

/// Builds the answer from what the pump brings.
pub(super) async fn answer(shape: Shape, mut pieces: mpsc::Receiver<Piece>, hold: usize) -> Response {
    let mut held = Vec::new();
    let mut length = 0;
    loop {
        match pieces.recv().await {
            Some(Piece::Rows(rows)) => {
                length += rows.len();
                held.push(rows);
            }
            Some(Piece::End(Ok(summary))) => return whole(&shape, &held, &summary),
            Some(Piece::End(Err(exception))) => return refuse(&shape.facts, &shape.query_id, &exception),
            None => return refuse(&shape.facts, &shape.query_id, &gone()),
        }
        if length >= hold {
            return streamed(shape, held, pieces);
        }
    }
}

fn gone() -> Exception {
    Exception::new(394, "QUERY_WAS_CANCELLED", "the query was stopped")
}

/// The answer to a statement that is done.
fn whole(shape: &Shape, rows: &[Bytes], summary: &Summary) -> Response {
    let packed = Encoder::new(shape.encoding, shape.framed).and_then(|mut encoder| {
        let mut packed = Vec::new();
        for rows in rows {
            packed.extend(encoder.push(rows)?);
        }
        packed.extend(encoder.finish()?);
        Ok(packed)
    });
    match packed {
        Ok(packed) => {
            let mut response = head(shape, Some(summary), None);
            *response.body_mut() = Body::from(packed);
            response
        }
        Err(error) => refuse(&shape.facts, &shape.query_id, &unpackable(&error)),
    }
}

fn unpackable(error: &io::Error) -> Exception {
    Exception::new(
        1001,
        "STD_EXCEPTION",
        format!("the answer cannot be compressed: {error}"),
    )
}

/// The answer to one that goes on.
fn streamed(shape: Shape, held: Vec<Bytes>, pieces: mpsc::Receiver<Piece>) -> Response {
    let encoder = match Encoder::new(shape.encoding, shape.framed) {
        Ok(encoder) => encoder,
        Err(error) => return refuse(&shape.facts, &shape.query_id, &unpackable(&error)),
    };
    let tag = uuid::Uuid::new_v4().simple().to_string()[..16].to_owned();
    let mut response = head(&shape, None, Some(&tag));
    let held = stream::iter(held).map(Piece::Rows);
    let rest = stream::unfold(pieces, |mut pieces| async {
        Some((pieces.recv().await?, pieces))
    });
    let state = Streaming {
        pieces: Box::pin(held.chain(rest)),
        encoder: Some(encoder),
        broken: false,
        tag,
        shape,
    };
    *response.body_mut() = Body::from_stream(stream::unfold(state, Streaming::next));
    response
}

struct Streaming {
    pieces: std::pin::Pin<Box<dyn futures_util::Stream<Item = Piece> + Send>>,
    encoder: Option<Encoder>,
    broken: bool,
    tag: String,
    shape: Shape,
}

impl Streaming {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        if self.broken {
            let _ = tokio::time::timeout(LEAVING, self.shape.flushed.wait()).await;
            self.broken = false;
            return Some((
                Err(io::Error::other("the query failed behind its first rows")),
                self,
            ));
        }
        let mut encoder = self.encoder.take()?;
        let packed = match self.pieces.next().await {
            Some(Piece::Rows(rows)) => {
                let packed = encoder.push(&rows);
                self.encoder = Some(encoder);
                packed
            }
            Some(Piece::End(Ok(_))) => encoder.finish(),
            Some(Piece::End(Err(exception))) => self.tell(encoder, &exception),
            None => self.tell(encoder, &gone()),
        };
        if packed.is_err() {
            self.encoder = None;
        }
        Some((packed.map(Bytes::from), self))
    }

    /// The block behind the rows: its own piece, as clients look for it at the end of one.
    fn tell(&mut self, mut encoder: Encoder, exception: &Exception) -> io::Result<Vec<u8>> {
        self.broken = true;
        let mut text = exception.text(&self.shape.facts.version);
        text.truncate(text.floor_char_boundary(TOLD));
        text.push('\n');
        let (tag, length) = (&self.tag, text.len());
        let block = format!("\r\n__exception__\r\n{tag}\r\n{text}{length} {tag}\r\n__exception__\r\n");
        let mut packed = encoder.push(block.as_bytes())?;
        packed.extend(encoder.finish()?);
        Ok(packed)
    }
}

fn head(shape: &Shape, summary: Option<&Summary>, tag: Option<&str>) -> Response {
    let mut response = common(&shape.facts, &shape.query_id);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(content_type(&shape.format)),
    );
    set(headers, "x-clickhouse-format", &shape.format);
    set(
        headers,
        "x-clickhouse-summary",
        &summary_json(summary.copied().unwrap_or_default()),
    );
    if let Some(tag) = tag {
        set(headers, "x-clickhouse-exception-tag", tag);
    }
    if let Some(encoding) = shape.encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}

fn common(facts: &Facts, query_id: &str) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    set(headers, "x-clickhouse-server-display-name", &facts.host);
    set(headers, "x-clickhouse-timezone", &facts.timezone);
    set(headers, "x-clickhouse-query-id", query_id);
    response
}

fn set(headers: &mut http::HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// All values are strings, as the real server has them.
fn summary_json(summary: Summary) -> String {
    let Summary {
        read_rows,
        read_bytes,
        written_rows,
        written_bytes,
        result_rows,
        elapsed_ns,
    } = summary;
    format!(
        r#"{{"read_rows":"{read_rows}","read_bytes":"{read_bytes}","written_rows":"{written_rows}","written_bytes":"{written_bytes}","total_rows_to_read":"0","result_rows":"{result_rows}","result_bytes":"0","elapsed_ns":"{elapsed_ns}"}}"#
    )
}

/// The refusal of a request.
pub(super) fn refuse(facts: &Facts, query_id: &str, exception: &Exception) -> Response {
    let mut response = common(facts, query_id);
    *response.status_mut() = exception.status();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    set(
        headers,
        "x-clickhouse-exception-code",
        &exception.code.to_string(),
    );
    if exception.overloaded {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    *response.body_mut() = Body::from(exception.text(&facts.version) + "\n");
    response
}

/// A short text of the front itself.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    response
}

fn content_type(format: &str) -> &'static str {
    match format {
        "JSONEachRow" | "NDJSON" | "JSONLines" => "application/x-ndjson; charset=UTF-8",
        _ if format.starts_with("JSON") => "application/json; charset=UTF-8",
        _ if format.starts_with("CSVWithNames") => "text/csv; charset=UTF-8; header=present",
        _ if format.starts_with("CSV") => "text/csv; charset=UTF-8; header=absent",
        _ if format.starts_with("TabSeparated") || format.starts_with("TSV") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "XML" => "application/xml; charset=UTF-8",
        "Parquet" | "Arrow" | "ArrowStream" | "ORC" | "Avro" | "Native" | "MsgPack" => {
            "application/octet-stream"
        }
        _ if format.starts_with("RowBinary") => "application/octet-stream",
        _ => "text/plain; charset=UTF-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        let facts = Facts {
            version: "26.5".into(),
            timezone: "UTC".into(),
            host: "h".into(),
            ..Facts::default()
        };
        Shape {
            facts,
            query_id: "q".into(),
            format: "TSV".into(),
            encoding: None,
            framed: false,
            flushed: Flushed::default(),
        }
    }

    async fn answered(pieces: Vec<Piece>) -> Response {
        answered_by(pieces, Flushed::default()).await
    }

    async fn answered_by(pieces: Vec<Piece>, flushed: Flushed) -> Response {
        let (sender, receiver) = mpsc::channel(8);
        for piece in pieces {
            sender.send(piece).await.unwrap();
        }
        answer(Shape { flushed, ..shape() }, receiver, 4).await
    }

    #[tokio::test]
    async fn a_failure_in_time_has_its_status() {
        let failed = Piece::End(Err(Exception::new(60, "UNKNOWN_TABLE", "no")));
        let response = answered(vec![Piece::Rows("abc".into()), failed]).await;
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["x-clickhouse-exception-code"], "60");
    }

    #[tokio::test]
    async fn a_failure_behind_rows_is_told_and_then_breaks_the_body() {
        let failed = Piece::End(Err(Exception::new(159, "TIMEOUT_EXCEEDED", "late")));
        let flushed = Flushed::default();
        let response = answered_by(vec![Piece::Rows("abcdef".into()), failed], flushed.clone()).await;
        assert_eq!(response.status(), 200);
        let tag = response.headers()["x-clickhouse-exception-tag"]
            .to_str()
            .unwrap()
            .to_owned();
        let mut body = response.into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "abcdef");
        let block = String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap();
        let message = "Code: 159. DB::Exception: late. (TIMEOUT_EXCEEDED) (version 26.5 (embedded))\n";
        let length = message.len();
        let expected = format!("\r\n__exception__\r\n{tag}\r\n{message}{length} {tag}\r\n__exception__\r\n");
        assert_eq!(block, expected);
        let broken = body.next();
        tokio::pin!(broken);
        let early = tokio::time::timeout(Duration::from_millis(20), &mut broken).await;
        assert!(early.is_err(), "broken before the block has left");
        flushed.mark();
        assert!(broken.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_whole_answer_has_its_summary() {
        let summary = Summary {
            written_rows: 3,
            ..Summary::default()
        };
        let response = answered(vec![Piece::Rows("abc".into()), Piece::End(Ok(summary))]).await;
        let header = response.headers()["x-clickhouse-summary"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(header.contains(r#""written_rows":"3""#), "{header}");
        assert_eq!(
            axum::body::to_bytes(response.into_body(), 100).await.unwrap(),
            "abc"
        );
    }
}
