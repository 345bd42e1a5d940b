//! Work that takes long, off the threads that serve everybody: a page of the largest events is seconds of it, and whoever
//! else is served by the same thread would wait.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::ApiError;
use crate::event::TenantId;
use crate::limit::fair::Permits;
use crate::limit::room::Room;
use crate::query::QueryError;

/// Bytes that are worked through where they are: a few milliseconds.
const AT_ONCE: usize = 256 * 1024;

static ASIDE: LazyLock<Aside> = LazyLock::new(|| Aside {
    turns: Permits::new(2, Duration::from_secs(10)),
    room: Room::new(256 << 20, Duration::ZERO),
});

struct Aside {
    /// How much is done at once. The rest waits for its tenant's turn, longer than several of the largest pages take.
    turns: Permits,
    /// For what is done or waits: sixteen of the largest pages, five of one tenant. What doesn't fit would wait in memory,
    /// so it doesn't.
    room: Room,
}

/// Does some work on so many bytes: where they are many, in turn.
pub(super) async fn aside<T: Send + 'static>(
    tenant: &TenantId,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    match bytes <= AT_ONCE {
        true => Ok(work()),
        false => in_turn(tenant, bytes, work).await,
    }
}

/// The same for work that may be long whatever it is about.
pub(super) async fn in_turn<T: Send + 'static>(
    tenant: &TenantId,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    ASIDE.does(tenant, bytes, work).await
}

impl Aside {
    async fn does<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let mut held = self.room.of(tenant.as_str());
        if !held.grow_to(bytes as u64).await {
            return Err(too_busy());
        }
        let turn = self.turns.take(tenant).await.ok_or_else(too_busy)?;
        let done = spawn_blocking(move || {
            let done = work();
            // It goes on when nobody waits for it any more, and counts until its end.
            drop((turn, held));
            done
        });
        done.await
            .map_err(|error| QueryError::Failed(error.to_string()).into())
    }
}

/// 503: nobody had time for it.
fn too_busy() -> ApiError {
    ApiError::unavailable(
        "too_busy",
        "Too many large pages are being written, of this tenant or of all. Try again, or ask for less at once (limit).",
        Duration::from_secs(5),
    )
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::{Arc, mpsc};

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_counts_until_its_end() {
        let aside = Arc::new(Aside {
            turns: Permits::new(1, Duration::from_secs(3_600)),
            room: Room::new(300, Duration::ZERO),
        });
        let [a, b] = ["a", "b"].map(|name| TenantId::parse(name).unwrap());
        let ((begins, begun), (end, ends)) = (oneshot::channel(), mpsc::channel::<()>());
        let asked = tokio::spawn({
            let (aside, a) = (aside.clone(), a.clone());
            let work = move || (begins.send(()), ends.recv()).1.is_ok();
            async move { aside.does(&a, 100, work).await }
        });
        begun.await.unwrap();
        asked.abort();
        assert!(asked.await.is_err());
        let refused = aside.does(&a, 1, || ()).await.unwrap_err();
        assert_eq!(refused.kind, "too_busy", "it has its share of the room");
        let mut waits = pin!(aside.does(&b, 50, || 7));
        assert!(waits.as_mut().now_or_never().is_none());
        end.send(()).unwrap();
        assert_eq!(waits.await.unwrap(), 7);
        assert_eq!(aside.does(&a, 80, || 8).await.unwrap(), 8);
    }
}
