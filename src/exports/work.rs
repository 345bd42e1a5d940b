//! What is to be done: exports of this instance that nobody has written yet are begun, tenant by tenant, so many at once;
//! those that were deleted end; files that have expired, or belong to no export, are removed.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::job::{self, JobError, PART};
use super::progress::Progress;
use super::{Exports, Running, order};
use crate::clock::Timestamp;
use crate::control::{By, Change, Command, Export, ExportState, Outcome};
use crate::query::QueryError;

/// Between two looks where nothing changes.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Before it is said again where an export stands.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Before the next look after a change: many come together.
const SETTLE: Duration = Duration::from_millis(50);

impl Exports {
    /// Works until `stop`; what is unfinished then begins again at the next start.
    pub async fn run(self, stop: CancellationToken) {
        if let Err(error) = self.prepare() {
            tracing::error!(%error, dir = %self.0.parts.dir.display(), "no exports: their directory can't be used");
            return;
        }
        let mut changes = self.0.parts.control.watch();
        let mut jobs = JoinSet::new();
        loop {
            self.remove_strangers().await;
            self.expire().await;
            for export in self.due() {
                let running = Running {
                    tenant: export.tenant.clone(),
                    progress: Arc::default(),
                    ends: stop.child_token(),
                };
                self.running().insert(export.id.clone(), running.clone());
                let exports = self.clone();
                jobs.spawn(async move { exports.work(&export, running).await });
            }
            let changed = async {
                let _ = changes.changed().await;
                tokio::time::sleep(SETTLE).await;
            };
            tokio::select! {
                () = changed => {}
                Some(_) = jobs.join_next() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// What a crash left unfinished is worth nothing.
    fn prepare(&self) -> io::Result<()> {
        let dir = &self.0.parts.dir;
        std::fs::create_dir_all(dir)?;
        for entry in std::fs::read_dir(dir)?.flatten() {
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == PART)
            {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// The next exports to begin.
    fn due(&self) -> Vec<Arc<Export>> {
        let state = self.0.parts.control.state();
        let running = self.running();
        let is_due = |export: &&Arc<Export>| {
            let is_open = matches!(export.state, ExportState::Queued | ExportState::Running);
            is_open && *export.instance == *self.instance() && !running.contains_key(&export.id)
        };
        let waiting = state.exports().filter(is_due).cloned().collect();
        let tenants = running.values().map(|running| running.tenant.clone()).collect();
        let mut turns = self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.next(waiting, tenants, self.0.parts.config.at_once.get())
    }

    async fn work(&self, export: &Arc<Export>, running: Running) {
        let done = running
            .ends
            .run_until_cancelled(self.write(export, &running.progress))
            .await;
        let outcome = match done {
            // It goes on after the next start, or was deleted.
            None => None,
            Some(Ok(state)) => Some(state),
            Some(Err(JobError::Query(QueryError::Unavailable | QueryError::Busy))) => {
                tracing::warn!(id = %export.id, "an export could not be read, and begins again");
                running
                    .ends
                    .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
                    .await;
                None
            }
            Some(Err(error)) => {
                tracing::warn!(%error, id = %export.id, tenant = %export.tenant, "an export failed");
                Some(ExportState::Failed {
                    reason: reason(&error).into(),
                })
            }
        };
        if let Some(outcome) = outcome {
            // Until it is heard: what is done is not to be done again, over a file whose digest may be known by then.
            let said = async {
                while !self.tell(&export.id, outcome.clone()).await {
                    tokio::time::sleep(SAID_AGAIN_AFTER).await;
                }
            };
            running.ends.run_until_cancelled(said).await;
        }
        self.running().remove(&export.id);
        let part = self.file(&export.id).with_extension(PART);
        let _ = tokio::fs::remove_file(part).await;
    }

    async fn write(&self, export: &Export, progress: &Progress) -> Result<ExportState, JobError> {
        if export.state == ExportState::Queued {
            self.tell(&export.id, ExportState::Running).await;
        }
        let (scope, order) = order::read(export, &self.0.parts.control.state())?;
        let queries = &self.0.parts.queries;
        // Before the first event is read: a redaction that comes while it is read is none that the file knows.
        let redactions = queries.redactions(&scope, &order).await?;
        let chunks = queries.export_in(scope.clone(), order.clone());
        let count = async {
            if let Some(events) = queries.export_size(&scope, &order).await {
                progress.expect(events);
            }
        };
        let exports = self.clone();
        let room = move || exports.disk_problem();
        let write = job::write(chunks, self.file(&export.id), progress, room);
        let (written, ()) = tokio::join!(write, count);
        let written = written?;
        Ok(ExportState::Done {
            events: written.events,
            bytes: written.bytes,
            sha256: written.sha256,
            redactions,
        })
    }

    /// Says where an export stands; `false` where nobody knows whether that was heard.
    async fn tell(&self, id: &str, state: ExportState) -> bool {
        let control = &self.0.parts.control;
        let Some(version) = control.state().export(id).map(|export| export.version) else {
            return true;
        };
        self.submit(id, version, Command::UpdateExport { state }).await
    }

    async fn submit(&self, id: &str, version: u64, command: Command) -> bool {
        let change = Change {
            request_id: self.0.parts.clock.fresh_id(),
            expected_version: version,
            by: By::system(),
            id: id.to_owned(),
            command,
        };
        let answer = self.0.parts.control.submit(change).await;
        match &answer {
            Ok(Outcome::Accepted { .. }) => {}
            Ok(Outcome::Refused(refusal)) => tracing::debug!(%refusal, id, "an export has changed meanwhile"),
            Err(error) => tracing::warn!(%error, id, "where an export stands could not be said"),
        }
        answer.is_ok()
    }

    /// Files whose time is over go, and after the same time again what is known of them, whoever made them.
    async fn expire(&self) {
        let state = self.0.parts.control.state();
        let now = self.0.parts.clock.now();
        let keep = Duration::from_secs(u64::from(self.keep_hours()) * 3_600);
        let over = |export: &&Arc<Export>| export.expires_at <= now;
        for export in state.exports().filter(over) {
            let forgotten = export.expires_at.plus(keep);
            match is_forgotten(now, forgotten, &export.state) {
                Some(true) => {
                    self.submit(&export.id, export.version, Command::DeleteExport)
                        .await;
                }
                Some(false) if *export.instance == *self.instance() => {
                    let _ = tokio::fs::remove_file(self.file(&export.id)).await;
                    self.tell(&export.id, ExportState::Expired).await;
                }
                _ => {}
            }
        }
    }

    /// Ends what was deleted, and removes files that belong to nothing.
    async fn remove_strangers(&self) {
        let state = self.0.parts.control.state();
        let mine: HashSet<Arc<str>> = state
            .exports()
            .filter(|export| *export.instance == *self.instance())
            .map(|export| export.id.clone())
            .collect();
        for (id, running) in self.running().iter() {
            if !mine.contains(id) {
                running.ends.cancel();
            }
        }
        let dir = self.0.parts.dir.clone();
        let _ = spawn_blocking(move || remove_others(&dir, &mine)).await;
    }
}

/// Removes the files of all exports but these.
fn remove_others(dir: &Path, mine: &HashSet<Arc<str>>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let id = path.file_stem().and_then(|name| name.to_str());
        if id.is_some_and(|id| !mine.contains(id)) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether an export whose time is over is to be forgotten, or only its file; `None`: neither.
fn is_forgotten(now: Timestamp, forgotten: Timestamp, state: &ExportState) -> Option<bool> {
    match state {
        _ if forgotten <= now => Some(true),
        ExportState::Done { .. } | ExportState::Failed { .. } => Some(false),
        ExportState::Queued | ExportState::Running | ExportState::Expired => None,
    }
}

/// For those who see the export: what went wrong, without what is the server's own.
fn reason(error: &JobError) -> &'static str {
    match error {
        JobError::Query(QueryError::TooCostly) => {
            "reading would cost more time or memory than it may: narrow it with from and to"
        }
        JobError::Query(QueryError::Invalid(_)) => "the query is none that this version of the server knows",
        JobError::Query(QueryError::Forbidden(_)) => "the limit of the grant that asked for it can't be read",
        JobError::Query(_) => "the events could not be read; the server's log says why",
        JobError::File(_) => "the file could not be written; the server's log says why",
        JobError::DiskFull(_) => "there is no room on the disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_first_and_what_is_known_of_it_later() {
        let (now, later) = (Timestamp::from_micros(5), Timestamp::from_micros(6));
        let failed = ExportState::Failed { reason: "x".into() };
        for (forgotten, state, expected) in [
            (later, &failed, Some(false)),
            (later, &ExportState::Expired, None),
            (later, &ExportState::Running, None),
            (now, &ExportState::Expired, Some(true)),
            (now, &ExportState::Queued, Some(true)),
        ] {
            assert_eq!(is_forgotten(now, forgotten, state), expected, "{state:?}");
        }
    }
}
