//! One client's stream: batches of frames, heartbeats in between, and its end as soon as the client counts no more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Parts;
use super::cursor::{Cursors, Place};
use super::frame::Frame;
use super::live::Client;
use super::source::{Given, Source};
use crate::auth::{AuthError, Principal};

/// How often it is asked whether the client still counts.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Batches that may wait for the client.
const WAITING_MAX: usize = 2;

/// How long a client may take for each piece of what it is given.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// And for all of it once its stream should have ended: so that who takes little at a time is shown nothing for long by a
/// credential that counts no more, and holds up no shutdown.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// Why a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The credential counts no more.
    Auth(AuthError),
    /// The server stops.
    Stopping,
}

/// What comes next.
pub enum Next {
    /// These frames, each with its cursor; none where only time has passed.
    Frames(Vec<(Frame, String)>),
    /// The last word, with the cursor at which to go on elsewhere.
    End(End, String),
}

/// A stream as it is given out. Dropped, nothing of it is left.
pub struct Session {
    parts: Arc<Parts>,
    principal: Principal,
    client: Arc<Client>,
    cursors: Cursors,
    /// Everything before was given out; `None` until it is known where now is.
    place: Option<Place>,
    given: mpsc::Receiver<Given>,
    _source: AbortOnDropHandle<()>,
    check: Interval,
    said: Instant,
    stop: CancellationToken,
    /// When it was seen that it should end.
    over: Option<Instant>,
}

impl Session {
    pub(super) fn begin(
        parts: Arc<Parts>,
        principal: Principal,
        client: Client,
        cursors: Cursors,
        place: Option<Place>,
    ) -> Self {
        let client = Arc::new(client);
        let (to, given) = mpsc::channel(WAITING_MAX);
        let present = parts.live.arrive();
        let asker = principal.tenant().clone();
        let source = Source::run(parts.clone(), asker, client.clone(), present, place.clone(), to);
        let mut check = tokio::time::interval(CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            stop: parts.stop.clone(),
            parts,
            principal,
            client,
            cursors,
            place,
            given,
            _source: AbortOnDropHandle::new(tokio::spawn(source)),
            check,
            said: Instant::now(),
            over: None,
        }
    }

    /// What comes next; waits for it. Cancel safe.
    pub async fn next(&mut self) -> Next {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Next::End(End::Stopping, self.cursor()),
                _ = self.check.tick() => {
                    if let Some(end) = self.end() {
                        return Next::End(end, self.cursor());
                    }
                    if self.said.elapsed() >= self.parts.heartbeat && self.place.is_some() {
                        self.said = Instant::now();
                        return Next::Frames(vec![(Frame::Heartbeat, self.cursor())]);
                    }
                }
                given = self.given.recv() => {
                    let frames = match given {
                        Some(Given::Events(events, place)) => self.events(events, place),
                        Some(Given::Lagged(events)) => vec![(Frame::Lagged(events), self.cursor())],
                        // The source ends with its client only.
                        None => return Next::End(End::Stopping, self.cursor()),
                    };
                    if !frames.is_empty() {
                        self.said = Instant::now();
                        return Next::Frames(frames);
                    }
                }
            }
        }
    }

    /// What comes of giving its client something; `None` where the client does not take it in time.
    pub async fn taken<T>(&mut self, giving: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            given = tokio::time::timeout(TAKEN_WITHIN, giving) => given.ok(),
            () = self.outlived() => None,
        }
    }

    /// Ends when it should have ended for [`LAST_WITHIN`]. Cancel safe.
    async fn outlived(&mut self) {
        while self.over.is_none() {
            match self.end() {
                Some(_) => self.over = Some(Instant::now()),
                None => tokio::select! {
                    () = self.stop.cancelled() => {}
                    _ = self.check.tick() => {}
                },
            }
        }
        if let Some(over) = self.over {
            tokio::time::sleep_until(over + LAST_WITHIN).await;
        }
    }

    /// Why it should end now, if it should.
    fn end(&self) -> Option<End> {
        match self.stop.is_cancelled() {
            true => Some(End::Stopping),
            false => self.parts.auth.still_counts(&self.principal).err().map(End::Auth),
        }
    }

    fn events(&mut self, events: Vec<Arc<super::passed::Passed>>, place: Place) -> Vec<(Frame, String)> {
        let visible = self
            .parts
            .control
            .state()
            .visible_from(self.client.scope.tenant());
        let Some(mut at) = self.place.take() else {
            // It is known now where the stream begins, and the client should know it too.
            let cursor = self.cursors.seal(&place);
            self.place = Some(place);
            return vec![(Frame::Heartbeat, cursor)];
        };
        let mut frames = Vec::with_capacity(events.len());
        for passed in events {
            if let Some(at) = at.get_mut(passed.partition) {
                *at = passed.offset + 1;
            }
            let event = &passed.event;
            let is_shown =
                visible.is_none_or(|from| event.time >= from) && !self.parts.live.supersedes(&passed);
            if is_shown {
                frames.push((Frame::Event(passed), self.cursors.seal(&at)));
            }
        }
        self.place = Some(place);
        frames
    }

    fn cursor(&self) -> String {
        self.place
            .as_ref()
            .map(|place| self.cursors.seal(place))
            .unwrap_or_default()
    }
}
