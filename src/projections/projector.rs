//! The running projector: one member of the group, reading ahead while the last batch is being written.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Done, Row};
use super::reject::reject_record;
use super::takeover::{Held, TakeOver};
use super::writer::{Stopped, Writer};
use super::writing::{self, Writing, join, pause};
use super::{Config, GROUP};
use crate::log::decode::{DecodeError, Decoded, Decoder};
use crate::log::group::{Assignment, Gaps, Group, GroupEvent};
use crate::log::rejected::Reason;
use crate::log::seen::{Seen, Verdict, WINDOW};
use crate::log::{Log, LogError, Position, Record, topics};
use crate::meters;
use crate::store::progress::Progress;

/// How long a stop waits for the write that runs. What is not written by then is read again at the next start.
const WRITE_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Everything the projector works with.
pub struct Projector {
    log: Log,
    writer: Writer,
    take_over: TakeOver,
    decoder: Decoder,
    progress: Progress,
    config: Config,
    partitions: HashMap<i32, Partition>,
    batch: Batch,
    /// When the oldest record of the batch came in.
    since: Option<Instant>,
    writing: Option<Writing>,
    last_write: Instant,
    /// Rows of that write.
    last_rows: usize,
}

/// What is known of an assigned partition.
#[derive(Default)]
struct Partition {
    seen: Seen,
    /// The first offset that is to be processed; before it is look-back.
    next: i64,
    /// Offsets from `next` on that the table holds already, from before a crash.
    held: Held,
}

impl Projector {
    /// Prepares a projector; [`run`](Self::run) makes it work.
    pub fn new(
        log: Log,
        (writer, take_over): (Writer, TakeOver),
        decoder: Decoder,
        progress: Progress,
        config: Config,
    ) -> Self {
        Self {
            log,
            writer,
            take_over,
            decoder,
            progress,
            config,
            partitions: HashMap::new(),
            batch: Batch::default(),
            since: None,
            writing: None,
            last_write: Instant::now(),
            last_rows: 0,
        }
    }

    /// Works until `stop`, then writes and commits what it holds, unless ClickHouse takes too long.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), LogError> {
        match self.work(&stop).await {
            Err(error) if stop.is_cancelled() => {
                tracing::warn!(%error, "the projector stops with work left for its next start");
                Ok(())
            }
            ended => ended,
        }
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<(), LogError> {
        let mut group = self.log.group(GROUP, topics::EVENTS, WINDOW, Gaps::Fail)?;
        loop {
            let has_room = !self.batch.is_full(self.config.batch_rows);
            let flush_at = self.flush_at();
            tokio::select! {
                () = stop.cancelled() => break,
                finished = join(&mut self.writing), if self.writing.is_some() => {
                    self.written(finished, &group).await?;
                }
                () = tokio::time::sleep_until(flush_at), if self.writing.is_none() && !self.batch.is_empty() => {
                    self.start_writing();
                }
                event = group.next(), if has_room => match event {
                    Some(event) => if self.on(event, &group, stop).await?.is_break() { break },
                    None => return Err(LogError::Unavailable("the reader of the log has ended".into())),
                },
            }
        }
        self.finish(&group, stop).await
    }

    /// When the batch is due: at once when it is full or the last write is long ago, else at the next beat.
    fn flush_at(&self) -> Instant {
        let Some(since) = self.since else {
            return Instant::now();
        };
        if self.batch.is_full(self.config.batch_rows) {
            return Instant::now();
        }
        let beat = self.last_write + pause(self.config.batch_every_ms, self.last_rows);
        // A little company for an event that comes alone: bulk requests arrive as many records.
        beat.max(since + Duration::from_millis(20))
    }

    /// `Break` when nothing more may be taken.
    async fn on(
        &mut self,
        event: GroupEvent,
        group: &Group,
        stop: &CancellationToken,
    ) -> Result<ControlFlow<()>, LogError> {
        match event {
            GroupEvent::Records(records) => return Ok(self.take(records, stop).await),
            GroupEvent::Assigned(assignments) => {
                for assignment in assignments {
                    self.assign(assignment, stop).await?;
                }
            }
            GroupEvent::Revoked(gone, hand_over) => {
                self.finish(group, stop).await?;
                for partition in &gone {
                    self.partitions.remove(partition);
                    self.progress.forget(*partition);
                }
                self.batch.drop_partitions(&gone);
                hand_over.done();
            }
            GroupEvent::Failed(error @ LogError::Misconfigured(_)) => return Err(error),
            GroupEvent::Failed(error) => {
                tracing::warn!(%error, "the projector can't read the log; it tries again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn assign(&mut self, assignment: Assignment, stop: &CancellationToken) -> Result<(), LogError> {
        let Assignment {
            partition,
            next,
            from,
        } = assignment;
        let held = stop
            .run_until_cancelled(self.take_over.begin(partition, next))
            .await;
        let held = held.unwrap_or(Err(Stopped)).map_err(not_written)?;
        tracing::info!(
            partition,
            next,
            look_back = next - from,
            held = held.known(),
            "projecting a partition"
        );
        self.partitions.insert(
            partition,
            Partition {
                seen: Seen::default(),
                next,
                held,
            },
        );
        self.progress.reached(partition, next);
        Ok(())
    }

    /// Takes records in. It breaks off where the process stops first: nothing may be taken after what was left out, or
    /// it would be committed past it.
    async fn take(&mut self, records: Vec<Record>, stop: &CancellationToken) -> ControlFlow<()> {
        self.since.get_or_insert_with(Instant::now);
        for record in records {
            let at = Position {
                partition: record.partition,
                offset: record.offset,
            };
            let Some(decoded) = self.decode(&record, stop).await else {
                return ControlFlow::Break(());
            };
            let Some(partition) = self.partitions.get_mut(&at.partition) else {
                continue;
            };
            let look_back = at.offset < partition.next;
            let reached = self.take_over.reach(at.partition, at.offset, &mut partition.held);
            if reached.await.is_err() {
                return ControlFlow::Break(());
            }
            match decoded {
                Err(why) if !look_back => {
                    if !reject_record(&self.log, &record, None, (Reason::Unreadable, &why), stop).await {
                        return ControlFlow::Break(());
                    }
                    self.batch.done(at);
                }
                Err(_) => {}
                Ok(decoded) => match partition.seen.show(at.offset, decoded.print()) {
                    _ if look_back => {}
                    Verdict::First if partition.held.take(at.offset) => self.batch.done(at),
                    Verdict::First => self.batch.add(Row {
                        again: partition.held.was_reached(at.offset),
                        ..Row::new(&record, decoded)
                    }),
                    Verdict::Copy => {
                        metrics::counter!(meters::COPIES).increment(1);
                        self.batch.done(at);
                    }
                    Verdict::Conflict { first } => {
                        let event = &decoded.event;
                        let why = format!(
                            "event {} stands at offset {first} with other content",
                            event.event_id
                        );
                        let (tenant, why) = (Some(&event.tenant_id), (Reason::IdConflict, why.as_str()));
                        if !reject_record(&self.log, &record, tenant, why, stop).await {
                            return ControlFlow::Break(());
                        }
                        self.batch.done(at);
                    }
                },
            }
        }
        if self.batch.is_empty() {
            self.since = None;
        }
        ControlFlow::Continue(())
    }

    /// The event; `Err` when there will never be one, `None` when the process stops first.
    async fn decode(&self, record: &Record, stop: &CancellationToken) -> Option<Result<Decoded, String>> {
        let mut waits = false;
        loop {
            match self.decoder.decode(record).await {
                Ok(decoded) => return Some(Ok(decoded)),
                Err(DecodeError::Unreadable(why)) => return Some(Err(why)),
                Err(DecodeError::Later(error)) if !waits => {
                    let (partition, offset) = (record.partition, record.offset);
                    tracing::warn!(%error, partition, offset, "an event can't be read yet; the projector waits");
                    waits = true;
                }
                Err(DecodeError::Later(error)) => tracing::debug!(%error, "it waits still"),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    fn start_writing(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.since = None;
        self.last_write = Instant::now();
        self.last_rows = batch.rows();
        tracing::debug!(rows = self.last_rows, "writing a batch");
        let (writer, log) = (self.writer.clone(), self.log.clone());
        self.writing = Some(tokio::spawn(writing::write(writer, log, batch)));
    }

    async fn written(&mut self, finished: Result<Done, Stopped>, group: &Group) -> Result<(), LogError> {
        self.writing = None;
        // Nothing may be committed past rows that were not written: this projector ends here.
        let next = finished.map_err(not_written)?;
        for (partition, offset) in &next {
            self.progress.reached(*partition, *offset);
        }
        // A commit that fails is made up by the next; a crash in between finds the rows held.
        if let Err(error) = group.commit(&next).await {
            tracing::warn!(%error, "offsets are in ClickHouse but not yet committed");
        }
        Ok(())
    }

    /// Writes and commits all that is held; after `stop` only as long as a write usually takes.
    async fn finish(&mut self, group: &Group, stop: &CancellationToken) -> Result<(), LogError> {
        while self.writing.is_some() || !self.batch.is_empty() {
            if self.writing.is_none() {
                self.start_writing();
            }
            let late = async {
                stop.cancelled().await;
                tokio::time::sleep(WRITE_ENDS_WITHIN).await;
            };
            let finished = tokio::select! {
                finished = join(&mut self.writing) => finished,
                () = late => Err(Stopped),
            };
            self.written(finished, group).await?;
        }
        Ok(())
    }
}

fn not_written(_: Stopped) -> LogError {
    LogError::Unavailable("rows were read but not written; they will be read again".into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use confique::Config as _;
    use uuid::Uuid;

    use super::*;
    use crate::clock::{SystemClock, Timestamp};
    use crate::event::schema;
    use crate::log::framing::Framing;
    use crate::projections::batch::samples::row;
    use crate::{log, store};

    /// Of engines that nobody runs.
    fn projector(stop: &CancellationToken) -> Projector {
        let mut config = store::Config::builder().load().unwrap();
        config.url = Some("http://127.0.0.1:9".into());
        let store = store::Store::new(&config).unwrap();
        let mut config = log::Config::builder().load().unwrap();
        config.brokers = "127.0.0.1:9".into();
        let log = Log::new(&config, "test").unwrap();
        let writer = Writer::new(store.clone(), Uuid::nil(), Arc::new(SystemClock), stop.clone());
        let take_over = TakeOver::new(store, Uuid::nil(), writer.clone(), 1);
        let config = Config::builder().load().unwrap();
        let progress = Progress::default();
        Projector::new(log, (writer, take_over), Decoder::new(None), progress, config)
    }

    fn record(framing: Framing, offset: i64) -> Record {
        let mut payload = Vec::new();
        framing.begin(&mut payload);
        schema::encode(&row(1, 0).event, &mut payload);
        Record {
            topic: topics::EVENTS.into(),
            partition: 0,
            offset,
            appended_at: Timestamp::from_micros(0),
            key: Vec::new(),
            payload,
            headers: Vec::new(),
        }
    }

    #[tokio::test]
    async fn nothing_is_taken_after_a_record_that_a_stop_left_out() {
        let stop = CancellationToken::new();
        let mut projector = projector(&stop);
        projector.partitions.insert(0, Partition::default());
        let ours = Framing::SingleObject(schema::fingerprint());
        let taken = projector.take(vec![record(ours, 0)], &stop).await;
        assert!(taken.is_continue());

        stop.cancel();
        // Its schema can't be confirmed: it waits, and the stop ends the waiting.
        let records = vec![record(Framing::Confluent(3), 1), record(ours, 2)];
        assert!(projector.take(records, &stop).await.is_break());
        assert_eq!(projector.batch.into_parts().1, [(0, 1)]);
    }
}
