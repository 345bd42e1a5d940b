//! Exports: everything that a search finds, oldest first, as a file that is made while it is read.
//!
//! ```text
//! ClickHouse ─► stretch (20,000 rows) ─► gathered ─► writer: format, compression ─► bytes ─► whoever asked
//!               retried by itself        bounded     on a thread for work           bounded
//! ```
//!
//! [`stretch`] reads the table by key, a stretch a query, and turns each row into what the format wants while it lies
//! in the answer's buffer (`gathered`); the next stretch is read while the present one is written (`writer`). Both
//! queues hold one item, which is made when there is room for it, so an export takes the memory of three stretches,
//! however long it is and however slowly it is read, and no query waits for a slow reader: a stretch is handed on when
//! it is complete. What is received after the export began is not in it. The last chunk says that it is the last;
//! whoever sees the chunks end without it has a broken file.

pub mod ask;
mod cell;
mod gathered;
mod stretch;
mod table;
mod writer;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use ask::{Compression, Export, Format};
use gathered::Gathered;
use stretch::Stretches;
use writer::Writer;

use super::scope::Scope;
use super::{Queries, QueryError};
use crate::auth::{Auth, AuthError, Principal, PrincipalKind};
use crate::clock::Timestamp;

/// A piece of the file.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// What comes next.
    pub bytes: Bytes,
    /// How many events are in it.
    pub events: u64,
    /// The time of the last of them.
    pub reached: Option<Timestamp>,
    /// Whether the file ends with it.
    pub is_last: bool,
}

/// The pieces of a file, in order. An error ends them, and the file is worth nothing. Who drops this ends the work.
pub type Chunks = mpsc::Receiver<Result<Chunk, QueryError>>;
type Out = mpsc::Sender<Result<Chunk, QueryError>>;

/// How long a piece may lie until it is taken: it has little more than 16 MiB, so a reader of 28 KiB a second is fast enough.
const TAKEN_WITHIN: Duration = Duration::from_secs(600);

/// Who waits for an export.
pub struct Asker {
    auth: Auth,
    principal: Principal,
    gives_up: CancellationToken,
    within: Duration,
}

impl Asker {
    /// Somebody who was let in. Who takes nothing for long is given up: `gives_up` ends the answer, with what waits to be
    /// taken of it.
    pub fn new(auth: &Auth, principal: &Principal, gives_up: CancellationToken) -> Self {
        Self {
            auth: auth.clone(),
            principal: principal.clone(),
            gives_up,
            within: TAKEN_WITHIN,
        }
    }

    /// That it would be let in now. A user's token may come to its end meanwhile: it was good when the export began.
    fn counts(&self) -> Result<(), QueryError> {
        match self.auth.still_counts(&self.principal) {
            Err(AuthError::Expired) if self.principal.kind() == PrincipalKind::User => Ok(()),
            Err(error) => Err(QueryError::Forbidden(error.to_string())),
            Ok(()) => Ok(()),
        }
    }
}

impl Queries {
    /// Begins an export for somebody who waits for it.
    pub fn export(&self, asker: Asker, export: Export) -> Result<Chunks, QueryError> {
        let scope = self.scope(&asker.principal, export.search.tenant_id.as_ref())?;
        Ok(self.begin_export(scope, export, Some(asker)))
    }

    /// Begins an export of what a scope sees.
    pub fn export_in(&self, scope: Scope, export: Export) -> Chunks {
        self.begin_export(scope, export, None)
    }

    fn begin_export(&self, scope: Scope, export: Export, asker: Option<Asker>) -> Chunks {
        let (read, gathered) = mpsc::channel(1);
        let (write, chunks) = mpsc::channel(1);
        let stretches = Stretches::new(self.clone(), scope, &export);
        tokio::spawn(stretches.read(read));
        tokio::spawn(pass_on(gathered, export, asker, write));
        chunks
    }

    /// How many events an export would have by now; `None` where counting takes too long.
    pub async fn export_size(&self, scope: &Scope, export: &Export) -> Option<u64> {
        let count = self.count(scope, &export.search.filter).await.ok()?;
        count.is_exact.then_some(count.events)
    }
}

/// From stretches to bytes, until there are no more, one fails, or nobody wants them.
async fn pass_on(
    mut gathered: mpsc::Receiver<Result<Gathered, QueryError>>,
    export: Export,
    asker: Option<Asker>,
    out: Out,
) {
    let work = async {
        let mut writer = Writer::new(&export).map_err(fault)?;
        // What was written waits until it is taken; only then is more unpacked.
        while let Some(room) = room(&out, asker.as_ref()).await {
            let next = gathered.recv().await.transpose()?;
            let Some(next) = next else {
                // It ended without saying so.
                return Err(QueryError::Failed(
                    "the reading of an export broke off".to_owned(),
                ));
            };
            let (events, reached, is_last) = (next.events(), next.reached(), next.is_last());
            let written = tokio::task::spawn_blocking(move || {
                let bytes = writer.take(next, is_last)?;
                Ok::<_, std::io::Error>((writer, bytes))
            });
            let (back, bytes) = written.await.map_err(fault)?.map_err(fault)?;
            writer = back;
            let chunk = Chunk {
                bytes,
                events,
                reached,
                is_last,
            };
            asker.as_ref().map_or(Ok(()), Asker::counts)?;
            room.send(Ok(chunk));
            if is_last {
                break;
            }
        }
        Ok(())
    };
    let done = tokio::select! {
        done = work => done,
        () = out.closed() => Ok(()),
    };
    if let Err(error) = done {
        tracing::warn!(%error, tenant = ?export.search.tenant_id, "an export broke off");
        if let Some(room) = room(&out, asker.as_ref()).await {
            room.send(Err(error));
        }
    }
}

/// Room for the next piece; `None` when nobody will take it.
async fn room<'a>(
    out: &'a Out,
    asker: Option<&Asker>,
) -> Option<mpsc::Permit<'a, Result<Chunk, QueryError>>> {
    let Some(asker) = asker else {
        return out.reserve().await.ok();
    };
    match tokio::time::timeout(asker.within, out.reserve()).await {
        Ok(room) => room.ok(),
        Err(_) => {
            tracing::info!(tenant = %asker.principal.tenant(), "an export that nobody takes is given up");
            asker.gives_up.cancel();
            None
        }
    }
}

fn fault(error: impl std::fmt::Display) -> QueryError {
    QueryError::Failed(error.to_string())
}
