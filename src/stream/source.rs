//! Where one client's events come from: first what passed before, then what passes now, without a gap and without a
//! repetition; and back to the log when it was cut off.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Parts;
use super::cursor::Place;
use super::history::History;
use super::live::{Client, Cut, Joined, Live, Presence};
use super::matched::wanted;
use super::passed::Passed;
use super::revised;
use crate::event::TenantId;
use crate::limit::fair::Permit;

/// What is gathered before a client is given it: 25 flushes a second, however many events.
const GATHER: Duration = Duration::from_millis(40);
/// Events that are given on at once.
const AT_ONCE: usize = 512;
/// How long a client that reads the log may take for what it was given, before others may read.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of events, for each partition, that a client goes through before it lines up again where others wait. To go on
/// then, it first reads the seen window anew: 131,072 records, of 1 KB as a rule, so a quarter of that.
const TURN_BYTES: usize = 512 << 20;
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What a client is given.
pub(super) enum Given {
    /// These events, and how far it has everything then.
    Events(Vec<Arc<Passed>>, Place),
    /// It was cut off at its present place: so many events had no room.
    Lagged(u64),
}

/// The client has gone.
struct Gone;

pub(super) struct Source {
    parts: Arc<Parts>,
    live: Arc<Live>,
    /// Whose tenant's turn it is when this reads the log.
    asker: TenantId,
    client: Arc<Client>,
    place: Place,
    to: mpsc::Sender<Given>,
    _present: Presence,
}

impl Source {
    /// For a client that begins at a place; `None`: now.
    pub(super) async fn run(
        parts: Arc<Parts>,
        asker: TenantId,
        client: Arc<Client>,
        present: Presence,
        place: Option<Place>,
        to: mpsc::Sender<Given>,
    ) {
        let live = parts.live.clone();
        let place = match place {
            Some(place) => place,
            // What passes while it waits is shown.
            None => {
                let was_ready = *live.ready.borrow();
                wait_until_ready(&live).await;
                match was_ready {
                    true => live.place(),
                    false => live.end_at_first(),
                }
            }
        };
        // The first word: where this begins.
        let began = to.send(Given::Events(Vec::new(), place.clone())).await;
        let mut source = Self {
            parts,
            live,
            asker,
            client,
            place,
            to,
            _present: present,
        };
        if began.is_ok() {
            let _ = source.serve().await;
        }
    }

    async fn serve(&mut self) -> Result<(), Gone> {
        loop {
            wait_until_ready(&self.live).await;
            let backlog = match self.live.join(&self.client, &self.place) {
                Joined::Live(backlog) => backlog,
                Joined::Behind(to) => self.catch_up(to).await?,
            };
            let backlog = wanted(&self.client, backlog).await;
            for events in backlog.chunks(AT_ONCE) {
                self.give(events.to_vec()).await?;
            }
            let cut = self.follow().await?;
            self.place = cut.place;
            self.give(Vec::new()).await?;
            self.send(Given::Lagged(cut.events)).await?;
        }
    }

    /// Gives on what passes, until the client is cut off.
    async fn follow(&mut self) -> Result<Cut, Gone> {
        loop {
            // First the place, then the events: everything before it is among them.
            let place = self.live.place();
            let (events, cut) = self.client.take();
            let mut events = Vec::from(events);
            while events.len() > AT_ONCE {
                let rest = events.split_off(AT_ONCE);
                self.give(std::mem::replace(&mut events, rest)).await?;
            }
            self.note(&events);
            if let Some(cut) = cut {
                self.send(Given::Events(events, self.place.clone())).await?;
                return Ok(cut);
            }
            raise(&mut self.place, &place);
            self.send(Given::Events(events, self.place.clone())).await?;
            tokio::select! {
                () = self.client.wake.notified() => tokio::time::sleep(GATHER).await,
                // So that a quiet client's place moves on.
                () = tokio::time::sleep(self.parts.heartbeat) => {}
                () = self.to.closed() => return Err(Gone),
            }
        }
    }

    /// Gives on what the log holds, in turn with others who read it, until the client is among the live ones; gives
    /// what it missed in that moment.
    async fn catch_up(&mut self, mut to: Place) -> Result<Vec<Arc<Passed>>, Gone> {
        let parts = self.parts.clone();
        loop {
            self.live.leave(&self.client);
            let turn = self.turn().await;
            let opened = History::open(&parts.log, &parts.decoder, &self.place, &to).await;
            let mut history = match opened {
                Ok(history) => history,
                Err(error) => {
                    tracing::debug!(%error, "a stream can't read the log; trying again");
                    drop(turn);
                    tokio::time::sleep(TRY_AGAIN).await;
                    continue;
                }
            };
            while history.gone_through() < TURN_BYTES * self.place.len() || !turn.is_wanted() {
                if history.is_done() {
                    raise(&mut self.place, &to);
                    match self.live.join(&self.client, &self.place) {
                        Joined::Live(backlog) => return Ok(backlog),
                        Joined::Behind(further) => to = further,
                    }
                    history.extend(&to);
                }
                let mut place = self.place.clone();
                let events = history.next(&self.client, &mut place).await;
                let events = self.as_they_stand(events).await;
                self.place = place;
                let events = events.into_iter().map(Arc::new).collect();
                let given = Given::Events(events, self.place.clone());
                match tokio::time::timeout(PATIENCE, self.to.reserve()).await {
                    Ok(Ok(room)) => room.send(given),
                    Ok(Err(_)) => return Err(Gone),
                    // It takes its time, which it may; but neither the turn of others, nor what reading takes.
                    Err(_) => {
                        drop((history, turn));
                        self.send(given).await?;
                        break;
                    }
                }
            }
        }
    }

    /// Waits until it may read the log, however long that takes.
    async fn turn(&self) -> Permit {
        loop {
            if let Some(turn) = self.parts.catching_up.take(&self.asker).await {
                return turn;
            }
            // Of its tenant, too many stand in line already.
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Without what says something else by now; as long as it takes to know.
    async fn as_they_stand(&self, mut events: Vec<Passed>) -> Vec<Passed> {
        events.retain(|passed| !self.live.supersedes(passed));
        if events.is_empty() {
            return events;
        }
        let tenant = self.client.scope.tenant();
        loop {
            match revised::standing(&self.parts.store, tenant, &events).await {
                Ok(standing) => {
                    events.retain(|passed| standing.has(passed));
                    return events;
                }
                Err(error) => {
                    tracing::debug!(%error, "history waits for ClickHouse, which knows what was redacted");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    async fn give(&mut self, events: Vec<Arc<Passed>>) -> Result<(), Gone> {
        self.note(&events);
        self.send(Given::Events(events, self.place.clone())).await
    }

    fn note(&mut self, events: &[Arc<Passed>]) {
        for passed in events {
            if let Some(at) = self.place.get_mut(passed.partition) {
                *at = passed.offset + 1;
            }
        }
    }

    async fn send(&self, given: Given) -> Result<(), Gone> {
        self.to.send(given).await.map_err(|_| Gone)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.live.leave(&self.client);
    }
}

fn raise(place: &mut Place, to: &Place) {
    for (at, to) in place.iter_mut().zip(to) {
        *at = (*at).max(*to);
    }
}

async fn wait_until_ready(live: &Live) {
    // The sender lives as long as whoever waits here.
    let _ = live.ready.subscribe().wait_for(|ready| *ready).await;
}
