//! Work that takes long, off the threads that serve everybody: a page of the largest events is seconds of it, and whoever
//! else is served by the same thread would wait.

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::ApiError;
use crate::query::QueryError;

/// Bytes that are worked through where they are: a few milliseconds.
const AT_ONCE: usize = 256 * 1024;
/// How much of it is done at once; the rest waits its turn.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Does some work on so many bytes.
pub(super) async fn aside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    if bytes <= AT_ONCE {
        return Ok(work());
    }
    let _turn = TURNS.acquire().await;
    let done = spawn_blocking(work).await;
    done.map_err(|error| QueryError::Failed(error.to_string()).into())
}
