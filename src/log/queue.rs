//! Group commit: what callers append to a topic at the same time goes to the brokers in one round.
//!
//! Callers put their batches into the queue; the topic's writer ([`producer`](super::producer)) takes all that wait
//! as a round, and the next round when that one was answered, or is late. So the requests grow with the load, and librdkafka never
//! holds more than it can send at once. Both matter: the embedded broker pays by the request and not by the record, and
//! librdkafka's thread spins while messages wait behind requests under way or for the last part of a millisecond
//! (three quarters of `serve`'s CPU, seen with `perf`, when each caller handed its records over by itself).
//!
//! A batch that no round takes within [`BEGIN_WITHIN`] was never sent, and says so: the log is full.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::batch::Records;
use super::{LogError, Position};

/// What became of a record.
pub(super) type Outcome = Result<Position, LogError>;

/// How long a batch waits for room, and how long for a round.
const BEGIN_WITHIN: Duration = Duration::from_secs(3);
/// A round is closed when it holds so much, which fits one request of librdkafka (2 MiB) whatever the partition.
const ROUND_BYTES: usize = 1_800_000;

/// Batches that wait, shared by callers and the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    room: Arc<Semaphore>,
    room_kib: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Something is under way.
    busy: bool,
    closed: bool,
}

/// A batch that was not sent yet.
pub(super) struct Waiting {
    pub(super) records: Records,
    reply: Reply,
    since: Instant,
}

/// Where the answers of a batch are gathered. They are sent when the last of its records is answered, or lost.
pub(super) struct Reply {
    outcomes: Mutex<Vec<Option<Outcome>>>,
    to: Option<oneshot::Sender<Vec<Outcome>>>,
    _room: OwnedSemaphorePermit,
}

impl Queue {
    /// A queue that bounds what waits and is under way to so many KiB.
    pub(super) fn new(room_kib: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            room: Arc::new(Semaphore::new(room_kib)),
            room_kib,
        }
    }

    /// Room for so many bytes, held until they are answered.
    pub(super) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, LogError> {
        let needed = bytes.div_ceil(1024).clamp(1, self.room_kib) as u32;
        let room = tokio::time::timeout(BEGIN_WITHIN, self.room.clone().acquire_many_owned(needed));
        match room.await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(LogError::Full),
        }
    }

    pub(super) fn push(&self, batch: Waiting) {
        self.lock().waiting.push_back(batch);
        self.changed.notify_all();
    }

    /// What goes out next; waits for it. All before was answered when this is asked. `None` after the end.
    pub(super) fn next_round(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        state.busy = false;
        self.changed.notify_all();
        state = self
            .changed
            .wait_while(state, |state| state.waiting.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.busy = !state.waiting.is_empty();
        state.busy.then(|| state.take_round(Instant::now()))
    }

    /// What goes out beside a round that is late; nothing where nothing waits.
    pub(super) fn another_round(&self) -> Vec<Waiting> {
        self.lock().take_round(Instant::now())
    }

    /// Waits until everything was answered, at most `within`; false when something still waits.
    pub(super) fn drain(&self, within: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), within, |state| {
            state.busy || !state.waiting.is_empty()
        });
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Ends the writer once nothing waits.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The batches of a round, oldest first. What has waited for too long is refused.
    fn take_round(&mut self, now: Instant) -> Vec<Waiting> {
        self.expire(now);
        let mut bytes = 0;
        let fitting = self.waiting.iter().take_while(|batch| {
            bytes += batch.records.bytes();
            bytes <= ROUND_BYTES
        });
        // One that is larger than a round goes alone.
        let count = fitting.count().max(1).min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }

    fn expire(&mut self, now: Instant) {
        while let Some(oldest) = self.waiting.front() {
            if now.saturating_duration_since(oldest.since) < BEGIN_WITHIN {
                return;
            }
            if let Some(expired) = self.waiting.pop_front() {
                expired.refuse(&LogError::Full);
            }
        }
    }
}

impl Waiting {
    pub(super) fn new(
        records: Records,
        to: oneshot::Sender<Vec<Outcome>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        let reply = Reply {
            outcomes: Mutex::new(vec![None; records.len()]),
            to: Some(to),
            _room: room,
        };
        Self {
            records,
            reply,
            since: Instant::now(),
        }
    }

    /// The records to be sent, and where their answers go.
    pub(super) fn begin(self) -> (Records, Arc<Reply>) {
        (self.records, Arc::new(self.reply))
    }

    fn refuse(self, error: &LogError) {
        self.reply.lock().fill(Some(Err(error.clone())));
    }
}

impl Reply {
    pub(super) fn answer(&self, index: usize, outcome: Outcome) {
        if let Some(slot) = self.lock().get_mut(index) {
            *slot = Some(outcome);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Outcome>>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let outcomes = std::mem::take(&mut *self.lock());
        let no_answer = || Err(LogError::Unavailable("no answer".into()));
        let outcomes = outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(no_answer))
            .collect();
        if let Some(to) = self.to.take() {
            // A caller that went away is not told.
            let _ = to.send(outcomes);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const ROOM_KIB: usize = 8 * 1024;

    async fn waiting(queue: &Queue, sizes: &[usize]) -> (Waiting, oneshot::Receiver<Vec<Outcome>>) {
        let records = Records::of_sizes(sizes);
        let room = queue.room(records.bytes()).await.unwrap();
        let (answer, answered) = oneshot::channel();
        (Waiting::new(records, answer, room), answered)
    }

    fn at(offset: i64) -> Outcome {
        Ok(Position { partition: 0, offset })
    }

    #[tokio::test]
    async fn what_waits_goes_out_together_up_to_a_rounds_size() {
        let queue = Queue::new(ROOM_KIB);
        for size in [10, ROUND_BYTES - 20, 20, 2 * ROUND_BYTES, 5] {
            queue.push(waiting(&queue, &[size]).await.0);
        }
        let mut rounds = Vec::new();
        for _ in 0..4 {
            let batches = queue.next_round().unwrap();
            rounds.push(
                batches
                    .iter()
                    .map(|batch| batch.records.bytes())
                    .collect::<Vec<_>>(),
            );
        }
        let expected = [
            vec![10, ROUND_BYTES - 20],
            vec![20],
            vec![2 * ROUND_BYTES],
            vec![5],
        ];
        assert_eq!(rounds, expected, "one that is larger than a round goes alone");
        assert!(queue.another_round().is_empty());
        queue.close();
        assert!(queue.next_round().is_none());
    }

    #[tokio::test]
    async fn each_batch_gets_its_answers_in_order_whenever_they_come() {
        let queue = Queue::new(ROOM_KIB);
        let (one, mut first) = waiting(&queue, &[1, 1]).await;
        let (two, second) = waiting(&queue, &[1]).await;
        queue.push(one);
        queue.push(two);
        let batches = queue.next_round().unwrap();
        let replies: Vec<_> = batches.into_iter().map(|batch| batch.begin().1).collect();
        let [one, two] = <[_; 2]>::try_from(replies).ok().unwrap();
        two.answer(0, at(7));
        drop(two);
        assert!(matches!(
            second.await.unwrap().as_slice(),
            [Ok(Position { offset: 7, .. })]
        ));
        one.answer(1, at(9));
        assert!(first.try_recv().is_err(), "one answer is still due");
        assert!(!queue.drain(Duration::ZERO), "the round is under way");
        drop(one);
        let outcomes = first.await.unwrap();
        assert!(
            matches!(
                outcomes.as_slice(),
                [Err(LogError::Unavailable(_)), Ok(Position { offset: 9, .. })]
            ),
            "what librdkafka dropped without a word has no answer: {outcomes:?}"
        );
        queue.close();
        assert!(queue.next_round().is_none());
        assert!(queue.drain(Duration::ZERO));
    }

    #[tokio::test]
    async fn a_batch_that_no_round_takes_in_time_was_never_sent() {
        let queue = Queue::new(ROOM_KIB);
        let (mut old, refused) = waiting(&queue, &[1, 1]).await;
        old.since = Instant::now().checked_sub(BEGIN_WITHIN).unwrap();
        queue.push(old);
        queue.push(waiting(&queue, &[1]).await.0);
        assert_eq!(queue.next_round().unwrap().len(), 1);
        assert!(matches!(
            refused.await.unwrap().as_slice(),
            [Err(LogError::Full), Err(LogError::Full)]
        ));
    }

    #[tokio::test]
    async fn what_is_under_way_takes_room_from_what_comes() {
        let queue = Queue::new(ROOM_KIB);
        let all = queue.room(usize::MAX).await.unwrap();
        assert!(queue.room(1).now_or_never().is_none());
        drop(all);
        assert!(queue.room(1).now_or_never().is_some());
    }
}
