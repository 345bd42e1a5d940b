//! A request's body: in time, unpacked, and within its limit.
//!
//! gzip is read as RFC 1952 has it, member after member: log shippers put several behind one another. What else stands
//! behind the last one is refused.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, iter};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use axum::body::{self, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::{StreamExt as _, TryStreamExt};
use http_body_util::{LengthLimitError, Limited};
use tokio::io::{AsyncBufRead, AsyncRead};
use tokio_util::io::{ReaderStream, StreamReader};
use tower_http::timeout::{TimeoutBody, TimeoutError};

use super::{ApiError, AppState};
use crate::limit::room::Held;

/// What this request's body may take: put there by the layer that bounds bodies.
#[derive(Clone)]
pub(super) struct Allowed {
    /// Bytes it may have at most.
    max: usize,
    /// The room it has. Taken out while the body is read.
    held: Arc<Mutex<Option<Held>>>,
}

impl Allowed {
    /// So many bytes, in room that is shared.
    pub(super) fn new(max: usize, held: Held) -> Self {
        Self {
            max,
            held: Arc::new(Mutex::new(Some(held))),
        }
    }

    /// Gives the room back.
    pub(super) fn end(&self) {
        drop(self.room().take());
    }

    fn room(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a client may pause within its body.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The slowest client that is waited for, in bytes a second, after a moment for the way.
const SLOWEST: u64 = 64 * 1024;
const ON_ITS_WAY: Duration = Duration::from_secs(10);
/// How much is unpacked at once.
const CHUNK: usize = 16 * 1024;
/// Room that is taken at once, at least, by a body that does not say that it has less; then as much again as there is, and
/// from half of what it may have on, all of it.
const STEP: usize = 64 * 1024;

/// What a body may take.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// In bytes, as it was sent and unpacked. Both, for there is no end to members that hold nothing.
    max: usize,
    pause: Duration,
    /// As a whole, however steadily it drips.
    within: Duration,
}

impl Bounds {
    fn of(max: usize) -> Self {
        Self {
            max,
            pause: PAUSE_MAX,
            within: ON_ITS_WAY + Duration::from_secs(max as u64 / SLOWEST),
        }
    }
}

/// The body's bytes, unpacked, in time and within the limit.
pub struct Body(pub Bytes);

impl FromRequest<AppState> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, ApiError> {
        let Some(allowed) = request.extensions().get::<Allowed>().cloned() else {
            return Err(too_large(0));
        };
        let coding = Coding::of(request.headers())?;
        let Some(mut held) = allowed.room().take() else {
            return Err(too_busy());
        };
        let read = read(request.into_body(), coding, Bounds::of(allowed.max), &mut held).await;
        *allowed.room() = Some(held);
        read.map(Self)
    }
}

async fn read(body: body::Body, coding: Coding, bounds: Bounds, held: &mut Held) -> Result<Bytes, ApiError> {
    // What the connection says of the body, not what a header does: HTTP/2 needs no header to send one.
    let stated = body.size_hint().exact().filter(|_| coding == Coding::Plain);
    let stated = stated.and_then(|length| usize::try_from(length).ok());
    let sent = Limited::new(TimeoutBody::new(bounds.pause, body), bounds.max);
    let unpacked = coding.unpacked(body::Body::new(sent));
    let gathered = gathered(unpacked, stated, bounds.max, held);
    match tokio::time::timeout(bounds.within, gathered).await {
        Ok(read) => read,
        Err(_) => Err(too_slow()),
    }
}

/// All of a body, for which room is taken as it arrives: at most twice what has.
async fn gathered(
    body: body::Body,
    stated: Option<usize>,
    max: usize,
    held: &mut Held,
) -> Result<Bytes, ApiError> {
    let mut pieces = body.into_data_stream();
    let mut all = Vec::new();
    let most = stated.unwrap_or(max).min(max);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| refused(&error, max))?;
        let length = all.len() + piece.len();
        if length > max {
            return Err(too_large(max));
        }
        if length > all.capacity() {
            // The last half at once: one that has most of its room is not to wait for the rest.
            let room = match length {
                _ if 2 * length >= most => most,
                _ => length.max(2 * all.len()).max(STEP).min(most),
            };
            if !held.grow_to(room as u64).await {
                return Err(too_busy());
            }
            // Most come in one piece. The end is waited for, so that the connection knows that all was taken.
            if all.is_empty() && stated == Some(length) {
                return match pieces.next().await {
                    Some(Err(error)) => Err(refused(&error, max)),
                    _ => Ok(piece),
                };
            }
            all.reserve_exact(room - all.len());
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}

/// What the reason of a failure is, which its layers have wrapped.
fn refused(error: &(dyn Error + 'static), max: usize) -> ApiError {
    let mut reasons = iter::successors(Some(error), |&error| error.source());
    let known = reasons.find_map(|reason| match () {
        () if reason.is::<LengthLimitError>() => Some(too_large(max)),
        () if reason.is::<TimeoutError>() => Some(too_slow()),
        () => None,
    });
    known.unwrap_or_else(|| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "unreadable_body",
            format!("The body can't be read: {error}."),
        )
    })
}

/// 413.
pub(super) fn too_large(max: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!(
            "The body is larger than {}, as it is sent or unpacked. Send it in parts.",
            size(max)
        ),
    )
}

fn too_slow() -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        "body_too_slow",
        "The body came too slowly. Send it in smaller parts.",
    )
}

/// 503: there was no room for the body in time.
fn too_busy() -> ApiError {
    ApiError::unavailable(
        "too_busy",
        "Too many requests are being read, of this tenant or of all. Try again.",
        Duration::from_secs(2),
    )
}

/// A number of bytes, in the largest unit of which it is a whole number.
fn size(bytes: usize) -> String {
    const MIB: usize = 1 << 20;
    const KIB: usize = 1 << 10;
    match bytes {
        _ if bytes > 0 && bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        _ if bytes > 0 && bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} bytes"),
    }
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    /// By the headers; 415 for what nobody here can unpack, several codings on top of one another among it.
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut named = headers.get_all(header::CONTENT_ENCODING).iter();
        let coding = match (named.next(), named.next()) {
            (None, _) => Some(Self::Plain),
            (Some(name), None) => Self::named(name.as_bytes()),
            (Some(_), Some(_)) => None,
        };
        coding.ok_or_else(|| {
            ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                "This content-encoding is not known: send the body as it is, or as gzip or zstd.",
            )
        })
    }

    /// RFC 9110, 8.4.1: in any case, and with an old name for gzip.
    fn named(name: &[u8]) -> Option<Self> {
        match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"identity" => Some(Self::Plain),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn unpacked(self, body: body::Body) -> body::Body {
        match self {
            Self::Plain => body,
            Self::Gzip => {
                let mut members = GzipDecoder::new(reader(body));
                members.multiple_members(true);
                written(members)
            }
            Self::Zstd => {
                let mut frames = ZstdDecoder::new(reader(body));
                frames.multiple_members(true);
                written(frames)
            }
        }
    }
}

fn reader(body: body::Body) -> impl AsyncBufRead + Send + 'static {
    StreamReader::new(body.into_data_stream().map_err(io::Error::other))
}

fn written(unpacked: impl AsyncRead + Send + 'static) -> body::Body {
    body::Body::from_stream(ReaderStream::with_capacity(unpacked, CHUNK))
}

#[cfg(test)]
mod tests;
