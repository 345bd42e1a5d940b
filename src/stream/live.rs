//! What passes now, and who is shown it: events are handed to the buffers of those whose filters they satisfy.
//!
//! A buffer is bounded. Where one overflows, its client is cut off: it takes what is in the buffer, is told, and goes
//! on from where it was cut, from the last events that are kept or from the log itself. So nothing is skipped, and no
//! client waits for another one to take anything. What waits is a batch of the log, until every filter was held against
//! it ([`super::matched`]): only then is anybody handed some of it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{Notify, watch};

use super::cursor::Place;
use super::matched::Matched;
use super::passed::Passed;
use super::recent::{Recent, Revised};
use crate::clock::Timestamp;
use crate::event::TenantId;
use crate::meters;
use crate::query::Scope;
use crate::query::filter::Filter;
use crate::query::matching::Facts;

/// Bytes that a buffer may hold on to; one event always has room.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// How often those who came meanwhile are asked before events are handed out; whoever comes then is asked as it happens.
const ROUNDS: usize = 3;

/// What one client wants, and its buffer.
pub struct Client {
    /// Whose events.
    pub scope: Scope,
    /// Which of them.
    pub filter: Filter,
    /// Nothing that was received earlier.
    pub since: Option<Timestamp>,
    /// How many events its buffer holds.
    pub room: usize,
    buffer: Mutex<Buffer>,
    /// Told when something is in the buffer.
    pub wake: Notify,
}

#[derive(Default)]
struct Buffer {
    events: VecDeque<Arc<Passed>>,
    bytes: usize,
    /// Nothing before this is for the client.
    from: Place,
    cut: Option<Cut>,
}

/// Where a client was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first that it was not given.
    pub place: Place,
    /// How many events were not given to it so far.
    pub events: u64,
}

impl Client {
    /// With an empty buffer.
    pub fn new(scope: Scope, filter: Filter, since: Option<Timestamp>, room: usize) -> Self {
        Self {
            scope,
            filter,
            since,
            room,
            buffer: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Whether an event is for it.
    pub fn wants(&self, passed: &Passed) -> bool {
        self.wants_knowing(passed, &Facts::default())
    }

    /// The same, with what is known of the event already.
    pub(super) fn wants_knowing(&self, passed: &Passed, facts: &Facts) -> bool {
        let event = &passed.event;
        self.scope.admits(event, facts)
            && self.since.is_none_or(|since| event.received_at >= since)
            && self.filter.matches_with(event, facts)
    }

    /// What has come since the last time, and whether it was cut off behind it.
    pub fn take(&self) -> (VecDeque<Arc<Passed>>, Option<Cut>) {
        let mut buffer = self.buffer();
        buffer.bytes = 0;
        (std::mem::take(&mut buffer.events), buffer.cut.take())
    }

    /// Puts an event into the buffer. Where there is no room, the client is cut off there: `next` is how far it was
    /// given everything in the other partitions.
    fn offer(&self, passed: &Arc<Passed>, next: impl Fn() -> Place) -> bool {
        let mut buffer = self.buffer();
        match buffer.from.get_mut(passed.partition) {
            Some(from) if passed.offset >= *from => *from = passed.offset + 1,
            _ => return false,
        }
        if let Some(cut) = &mut buffer.cut {
            cut.events += 1;
            return false;
        }
        let full = buffer.events.len() >= self.room
            || (buffer.bytes + passed.bytes > BUFFER_BYTES_MAX && !buffer.events.is_empty());
        if full {
            let mut place = next();
            for (at, from) in place.iter_mut().zip(&buffer.from) {
                *at = (*at).max(*from);
            }
            if let Some(at) = place.get_mut(passed.partition) {
                *at = passed.offset;
            }
            metrics::counter!(meters::STREAMS_LAGGED).increment(1);
            buffer.cut = Some(Cut { place, events: 1 });
        } else {
            buffer.bytes += passed.bytes;
            buffer.events.push_back(passed.clone());
        }
        true
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a client that comes to a place goes on.
pub enum Joined {
    /// It is given what passes from now on, after these.
    Live(Vec<Arc<Passed>>),
    /// It must first read the log up to there.
    Behind(Place),
}

/// What passes now. Shared by the follower, which hands out, and the clients.
pub struct Live {
    /// Everything before was handed out.
    next: Vec<AtomicI64>,
    /// How many of the last events are kept.
    pub kept: usize,
    inside: Mutex<Inside>,
    revised: RwLock<Revised>,
    any_revised: AtomicBool,
    clients: AtomicUsize,
    /// Whether it has come to the end of the log as it was when it began to follow.
    pub ready: watch::Sender<bool>,
    /// Told when a client comes.
    pub wanted: Notify,
}

#[derive(Default)]
struct Inside {
    recent: Recent,
    end: Place,
    clients: Clients,
}

type Clients = HashMap<TenantId, Vec<Arc<Client>>>;

/// Those of whose tenants some of these events are.
fn concerned<'a>(clients: &'a Clients, events: &[Arc<Passed>]) -> impl Iterator<Item = &'a Arc<Client>> {
    let mut tenants: Vec<&TenantId> = events.iter().map(|passed| &passed.event.tenant_id).collect();
    tenants.sort_unstable();
    tenants.dedup();
    tenants
        .into_iter()
        .filter_map(|tenant| clients.get(tenant))
        .flatten()
}

impl Live {
    /// Over so many partitions, keeping so many events; not yet following.
    pub fn new(partitions: usize, kept: usize) -> Self {
        Self {
            kept,
            next: (0..partitions).map(|_| AtomicI64::new(0)).collect(),
            inside: Mutex::default(),
            revised: RwLock::default(),
            any_revised: AtomicBool::new(false),
            clients: AtomicUsize::new(0),
            ready: watch::Sender::new(false),
            wanted: Notify::new(),
        }
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.next.len()
    }

    /// Begins to follow: events are kept from `floor` on, and the log ends at `end`.
    pub fn begin(&self, floor: Place, end: Place) {
        for (next, floor) in self.next.iter().zip(&floor) {
            next.store(*floor, Ordering::Release);
        }
        let mut inside = self.inside();
        inside.recent = Recent::from(floor, self.kept);
        inside.end = end;
    }

    /// Where "now" was when it began to follow.
    pub fn end_at_first(&self) -> Place {
        self.inside().end.clone()
    }

    /// Forgets everything, if nobody is there; whoever comes next makes it follow again.
    pub fn forget(&self) -> bool {
        let mut inside = self.inside();
        let nobody = self.clients.load(Ordering::Acquire) == 0;
        if nobody {
            inside.recent = Recent::default();
            self.ready.send_replace(false);
        }
        nobody
    }

    /// How far everything was handed out.
    pub fn place(&self) -> Place {
        self.next
            .iter()
            .map(|next| next.load(Ordering::Acquire))
            .collect()
    }

    /// Hands out what stands in a partition before `next`.
    pub async fn publish(&self, partition: usize, events: Vec<Passed>, next: i64) {
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        let mut matched = Matched::default();
        for round in 1.. {
            let unasked = {
                let mut inside = self.inside();
                let unasked: Vec<_> = concerned(&inside.clients, &events)
                    .filter(|client| matched.wanted(client).is_none())
                    .cloned()
                    .collect();
                if unasked.is_empty() || round > ROUNDS {
                    return self.hand_out(&mut inside, partition, events, next, &matched);
                }
                unasked
            };
            matched.ask(unasked, &events).await;
        }
    }

    fn hand_out(
        &self,
        inside: &mut Inside,
        partition: usize,
        events: Vec<Arc<Passed>>,
        next: i64,
        matched: &Matched,
    ) {
        // First of all, so that nobody is shown what says something else by now.
        events.iter().for_each(|passed| self.note_revision(passed));
        let mut woken: Vec<&Arc<Client>> = Vec::new();
        let Inside { recent, clients, .. } = inside;
        for client in concerned(clients, &events) {
            let mut is_woken = false;
            let offer = |passed| is_woken |= client.offer(passed, || self.place());
            match matched.wanted(client) {
                Some(wanted) => wanted
                    .iter()
                    .filter_map(|place| events.get(*place))
                    .for_each(offer),
                None => {
                    let is_ours = |passed: &&Arc<Passed>| passed.event.tenant_id == *client.scope.tenant();
                    let wanted = events
                        .iter()
                        .filter(is_ours)
                        .filter(|passed| client.wants(passed));
                    wanted.for_each(offer);
                }
            }
            if is_woken {
                woken.push(client);
            }
        }
        events.into_iter().for_each(|passed| recent.push(passed));
        if let Some(at) = self.next.get(partition) {
            at.fetch_max(next, Ordering::Release);
        }
        for client in woken {
            client.wake.notify_one();
        }
    }

    /// Lets a client in at a place, without a gap and without a repetition, where that is possible. What it is given
    /// then is of its tenant, and it may want it or not.
    pub fn join(&self, client: &Arc<Client>, place: &Place) -> Joined {
        let mut inside = self.inside();
        let Some(since) = inside.recent.since(place) else {
            return Joined::Behind(self.place());
        };
        let is_ours = |passed: &&Arc<Passed>| passed.event.tenant_id == *client.scope.tenant();
        let backlog = since.filter(is_ours).cloned().collect();
        {
            let mut buffer = client.buffer();
            *buffer = Buffer {
                from: place.clone(),
                ..Buffer::default()
            };
        }
        let clients = inside.clients.entry(client.scope.tenant().clone()).or_default();
        if !clients.iter().any(|known| Arc::ptr_eq(known, client)) {
            clients.push(client.clone());
        }
        Joined::Live(backlog)
    }

    /// Takes a client out of those who are given what passes.
    pub fn leave(&self, client: &Arc<Client>) {
        let mut inside = self.inside();
        let tenant = client.scope.tenant();
        if let Some(clients) = inside.clients.get_mut(tenant) {
            clients.retain(|known| !Arc::ptr_eq(known, client));
            if clients.is_empty() {
                inside.clients.remove(tenant);
            }
        }
    }

    /// Whether an event says something else by now, as far as that passed here.
    pub fn supersedes(&self, passed: &Passed) -> bool {
        self.any_revised.load(Ordering::Acquire)
            && self
                .revised
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .supersedes(passed)
    }

    fn note_revision(&self, passed: &Passed) {
        if passed.is_revision() {
            let mut revised = self.revised.write().unwrap_or_else(PoisonError::into_inner);
            revised.note(passed);
            self.any_revised.store(!revised.is_empty(), Ordering::Release);
        }
    }

    /// Counts somebody who is there, whether or not it was let in yet.
    pub fn arrive(self: &Arc<Self>) -> Presence {
        let before = self.clients.fetch_add(1, Ordering::AcqRel);
        metrics::gauge!(meters::STREAMS).set(before as f64 + 1.0);
        self.wanted.notify_one();
        Presence(self.clone())
    }

    /// How many are there.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Acquire)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who is there.
pub struct Presence(Arc<Live>);

impl Drop for Presence {
    fn drop(&mut self) {
        let before = self.0.clients.fetch_sub(1, Ordering::AcqRel);
        metrics::gauge!(meters::STREAMS).set(before as f64 - 1.0);
    }
}

#[cfg(test)]
mod tests;
