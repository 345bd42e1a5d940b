//! The one door: whatever becomes an event comes through [`Ingest::take`], from HTTP, the inbox and imports alike. Only
//! the server's own events have a way of their own, [`Ingest::record`].
//!
//! The caller's rate is asked, each item is checked and gets its id (`event::draft`), old ones are compared with what
//! the table holds, the rest is handed to the log, and the receipts say what became of each. An event is
//! acknowledged only after the log has it.
//!
//! Most copies are dropped by readers, within the seen window. Copies that come later than that can only be old
//! events, or events that never had a time, so those are looked up here before they are appended.

mod conflict;
mod held;
mod lag;
mod own;
mod reach;
mod receipt;
mod revise;

use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Histogram};
use tokio::time::Instant;

use crate::auth::Principal;
use crate::clock::{Clock, Timestamp};
use crate::control::{Control, Permission, Reads, State};
use crate::event::draft::{self, Accepted, FallbackId, Intake, Refusal};
use crate::event::{Event, schema};
use crate::limit::{Budget, Limited, Limits, Spender};
use crate::log::framing::Framing;
use crate::log::rejected::Reason;
use crate::log::{Log, NewRecord, Position, partitioner, topics};
use crate::meters;
use crate::schemas::{Busy, Schemas};
use crate::store::Store;
use crate::store::progress::Progress;

use lag::Others;
pub use own::OWN;
use reach::Reach;
pub use receipt::{Form, Item, ItemError, Origin, Receipt};

/// Header of a record whose copies could not be looked for: readers that must not repeat an effect look again.
pub const UNCHECKED: &str = "unchecked";

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    inner: Arc<Inner>,
}

/// What the door works with.
pub struct Parts {
    /// Where events go.
    pub log: Log,
    /// Where old ones are looked up.
    pub store: Store,
    /// Rates of tenants and keys.
    pub limits: Arc<Limits>,
    /// What tenants ask of events of a type.
    pub schemas: Schemas,
    /// Their quotas.
    pub control: Control,
    /// Now, and fresh ids.
    pub clock: Arc<dyn Clock>,
    /// How records are written.
    pub framing: Framing,
    /// How far the table has come.
    pub progress: Progress,
}

struct Inner {
    parts: Parts,
    /// Among how many partitions events are placed: those of the log's first day, whatever was added since.
    partitions: u32,
    /// How far back the seen window reaches at the present rate.
    reach: Mutex<Reach>,
    /// How far the table is where other instances fill it.
    others: Mutex<Others>,
    counters: Counters,
}

/// What every post counts, looked up in the metrics' registry once.
struct Counters {
    appended: Counter,
    append_seconds: Histogram,
    duplicates: Counter,
}

/// An item on its way: refused, held already, at odds with what is held, or to be appended.
enum Checked {
    Refused(ItemError),
    Held(Box<Accepted>),
    Conflict(Box<Accepted>),
    New {
        accepted: Box<Accepted>,
        unchecked: bool,
    },
}

impl Ingest {
    /// A door over these parts.
    pub fn new(parts: Parts) -> Self {
        let state = parts.control.state();
        Self {
            inner: Arc::new(Inner {
                partitions: state.deployment().map_or(0, |deployment| deployment.partitions),
                parts,
                reach: Mutex::default(),
                others: Mutex::default(),
                counters: Counters {
                    appended: metrics::counter!(meters::APPENDED),
                    append_seconds: metrics::histogram!(meters::APPEND_SECONDS),
                    duplicates: metrics::counter!(meters::DUPLICATES),
                },
            }),
        }
    }

    /// Whether so many events of this caller are within its tenant's rate and its key's. For those who can be told to
    /// come back later: what stands in a topic already is not asked, for it would hold up what stands behind it.
    pub fn admit(&self, principal: &Principal, events: usize) -> Result<(), Limited> {
        let parts = &self.inner.parts;
        let spender = Spender {
            tenant: principal.tenant(),
            key: principal.key_id(),
            user: None,
            manages: false,
        };
        parts
            .limits
            .spend(&parts.control.state(), spender, events, Budget::Writing)
    }

    /// Takes a batch of items. The answer has one entry an item, in order.
    pub async fn take(
        &self,
        principal: &Principal,
        origin: Origin<'_>,
        items: &[Item<'_>],
    ) -> Vec<Result<Receipt, ItemError>> {
        let mut checked = self.check(principal, origin, items).await;
        self.look_up(principal, &mut checked).await;
        self.keep_conflicts(principal, origin, items, &checked).await;
        let outcomes = self.append(checked).await;
        self.report(origin, &outcomes);
        outcomes
    }

    /// The parts, for whoever waits for what was taken.
    pub fn progress(&self) -> &Progress {
        &self.inner.parts.progress
    }

    async fn check(&self, principal: &Principal, origin: Origin<'_>, items: &[Item<'_>]) -> Vec<Checked> {
        let parts = &self.inner.parts;
        let (received_at, state) = (parts.clock.now(), parts.control.state());
        let own = principal.reads() == Reads::Own && principal.can(Permission::Write);
        let visible_from = parts.control.state().visible_from(principal.tenant());
        let (mut checked, mut busy) = (Vec::with_capacity(items.len()), false);
        for (index, item) in items.iter().enumerate() {
            if index % 256 == 255 {
                // Other requests want their turn as well.
                tokio::task::yield_now().await;
            }
            let intake = Intake {
                tenant: principal.tenant(),
                received_at,
                source_kind: origin.kind,
                source_id: origin.id,
                client_id: item.client_id,
                fallback: item
                    .place
                    .map_or(FallbackId::Mint(&*parts.clock), FallbackId::Derived),
                actor: own.then(|| principal.actor_id()),
            };
            let drafted = match item.form {
                Form::Event(body) => draft::accept(body, &intake),
                Form::CloudEvent {
                    headers,
                    content_type,
                    body,
                } => draft::accept_cloudevent_binary(headers, content_type, body, &intake),
                Form::Mapped { record, map } => map(record, &intake),
            };
            let accepted = drafted.and_then(|accepted| visible(accepted, visible_from));
            let accepted = match accepted {
                // Who comes back brings all of them again: none of the rest is waited for.
                Ok(_) if busy => Err(ItemError::Busy(Busy)),
                Ok(accepted) => self.satisfying(&state, accepted).await,
                Err(refusal) => Err(refusal.into()),
            };
            busy |= matches!(accepted, Err(ItemError::Busy(_)));
            checked.push(match accepted {
                Ok(accepted) => Checked::New {
                    accepted: Box::new(accepted),
                    unchecked: false,
                },
                Err(error) => Checked::Refused(error),
            });
        }
        checked
    }

    /// What was accepted, where it is what the schema of its type allows.
    async fn satisfying(&self, state: &State, accepted: Accepted) -> Result<Accepted, ItemError> {
        let violations = self
            .inner
            .parts
            .schemas
            .violations(state, &accepted.event)
            .await?;
        match violations.is_empty() {
            true => Ok(accepted),
            false => Err(ItemError::Refused(Refusal::Invalid(violations))),
        }
    }

    async fn append(&self, checked: Vec<Checked>) -> Vec<Result<Receipt, ItemError>> {
        let parts = &self.inner.parts;
        let started = Instant::now();
        let mut batch = parts.log.append_all(topics::EVENTS);
        let mut outcomes = Vec::with_capacity(checked.len());
        let mut waiting = Vec::with_capacity(checked.len());
        let mut payload = Vec::with_capacity(1024);
        for (index, checked) in checked.into_iter().enumerate() {
            let (accepted, unchecked) = match checked {
                Checked::Refused(error) => {
                    outcomes.push(Err(error));
                    continue;
                }
                Checked::Held(accepted) => {
                    outcomes.push(Ok(Receipt::held(*accepted)));
                    continue;
                }
                Checked::Conflict(accepted) => {
                    let event_id = accepted.event.event_id;
                    outcomes.push(Err(ItemError::Conflict { event_id }));
                    continue;
                }
                Checked::New { accepted, unchecked } => (accepted, unchecked),
            };
            payload.clear();
            parts.framing.begin(&mut payload);
            schema::encode(&accepted.event, &mut payload);
            batch.push(self.record_of(&accepted.event, &payload, unchecked));
            waiting.push(index);
            outcomes.push(Ok(Receipt::pending(*accepted)));
        }
        let acks = batch.finish().await;
        let mut appended = 0;
        for (index, ack) in waiting.into_iter().zip(acks) {
            match ack {
                Ok(position) => {
                    appended += 1;
                    self.note(position);
                    if let Some(Ok(receipt)) = outcomes.get_mut(index) {
                        receipt.position = Some(position);
                    }
                }
                Err(error) => outcomes[index] = Err(ItemError::Log(error)),
            }
        }
        if appended > 0 {
            self.inner.counters.appended.increment(appended);
            self.inner.counters.append_seconds.record(started.elapsed());
        }
        outcomes
    }

    /// Counts what became of the items.
    fn report(&self, origin: Origin<'_>, outcomes: &[Result<Receipt, ItemError>]) {
        let (mut taken, mut held) = (0, 0);
        for outcome in outcomes {
            let reason = match outcome {
                Ok(receipt) if receipt.duplicate => {
                    held += 1;
                    continue;
                }
                Ok(_) => {
                    taken += 1;
                    continue;
                }
                Err(ItemError::Log(_) | ItemError::Busy(_)) => continue,
                Err(ItemError::Conflict { .. }) => Reason::IdConflict,
                Err(ItemError::Refused(refusal)) => reason(refusal),
            };
            metrics::counter!(meters::REJECTED, "reason" => reason.as_str()).increment(1);
        }
        metrics::counter!(meters::TAKEN, "source" => origin.kind).increment(taken);
        self.inner.counters.duplicates.increment(held);
    }

    fn record_of<'a>(&self, event: &'a Event, payload: &'a [u8], unchecked: bool) -> NewRecord<'a> {
        let key = event.event_id.as_bytes();
        NewRecord {
            partition: partitioner::partition_of(key, self.inner.partitions),
            key,
            payload,
            headers: if unchecked { &[(UNCHECKED, b"")] } else { &[] },
        }
    }

    fn note(&self, at: Position) {
        let now = self.inner.parts.clock.now();
        self.inner
            .reach
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(at, now);
    }
}

/// What nobody would ever see is not taken, rather than acknowledged and lost.
fn visible(accepted: Accepted, from: Option<Timestamp>) -> Result<Accepted, Refusal> {
    match from {
        Some(from) if accepted.event.time < from => {
            let why = format!("events from before {from} were cleaned up: this one would not be shown");
            Err(Refusal::of("/time", why))
        }
        _ => Ok(accepted),
    }
}

/// Why a refusal counts as rejected, in the words of `audit.rejected`.
pub fn reason(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::Invalid(_) => Reason::Invalid,
        Refusal::OtherTenant { .. } => Reason::OtherTenant,
        Refusal::TooLarge { .. } => Reason::TooLarge,
    }
}
