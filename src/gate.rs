//! The gate: reads what producers wrote into `audit.inbox` and takes it in through the same door as HTTP.
//!
//! A record becomes an event in `audit.events`, or stands in `audit.rejected` with the reason; then its offset is
//! committed. A record without an id gets one from its place in the inbox, so that reading it twice, after a crash,
//! makes no second event. While a tenant writes more than it may, or the log is away, the gate waits: the inbox is
//! the queue.

mod avro;
mod complaint;
pub mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::auth::Principal;
use crate::event::TenantId;
use crate::ingest::{self, Ingest, Item, ItemError, Origin, Receipt};
use crate::log::group::{Gaps, GroupEvent};
use crate::log::registry::Registry;
use crate::log::rejected::{Reason, Rejection, reject};
use crate::log::{Log, LogError, Record, topics};
use crate::meters;

use complaint::Complaint;
use read::{Body, Unread};

/// The consumer group of all gates.
pub const GROUP: &str = "trailhouse-gate";

/// Whose the inbox is.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// The tenant that records of `audit.inbox` belong to.
    #[config(default = "default")]
    pub tenant: String,
    /// Other tenants that a record may name in its `tenant` header. The broker lets everyone who may write to the
    /// topic name any of these, so list only tenants whose producers you trust alike.
    #[config(default = [])]
    pub allow_tenants: Vec<String>,
}

/// The running gate.
pub struct Gate {
    log: Log,
    ingest: Ingest,
    registry: Option<Arc<Registry>>,
    tenant: TenantId,
    allowed: Vec<TenantId>,
    complaint: Complaint,
}

impl Gate {
    /// A gate before this door. [`LogError::Misconfigured`] when a configured tenant can't be one.
    pub fn new(
        log: Log,
        ingest: Ingest,
        registry: Option<Arc<Registry>>,
        config: &Config,
    ) -> Result<Self, LogError> {
        let parse = |name: &String| {
            TenantId::parse(name).ok_or_else(|| {
                LogError::Misconfigured(format!("gate: {name:?} can't be the name of a tenant"))
            })
        };
        let allowed = config.allow_tenants.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self {
            log,
            ingest,
            registry,
            tenant: parse(&config.tenant)?,
            allowed,
            complaint: Complaint::default(),
        })
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) -> Result<(), LogError> {
        let mut group = self.log.group(GROUP, topics::INBOX, 0, Gaps::Skip)?;
        // Records of a partition that went to another instance are that one's, its offsets as well.
        let mut mine = BTreeSet::new();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = group.next() => event,
            };
            match event {
                Some(GroupEvent::Records(mut records)) => {
                    records.retain(|record| mine.contains(&record.partition));
                    let mut next = BTreeMap::new();
                    for record in &records {
                        next.insert(record.partition, record.offset + 1);
                    }
                    if !self.pass(records, &stop).await {
                        return Ok(());
                    }
                    let next: Vec<_> = next.into_iter().collect();
                    if let Err(error) = group.commit(&next).await {
                        tracing::warn!(%error, "the inbox's offsets are not committed; the records will be read again");
                    }
                }
                Some(GroupEvent::Assigned(assignments)) => {
                    mine.extend(assignments.iter().map(|assignment| assignment.partition));
                    tracing::info!(partitions = assignments.len(), "reading the inbox");
                }
                Some(GroupEvent::Revoked(gone, hand_over)) => {
                    mine.retain(|partition| !gone.contains(partition));
                    hand_over.done();
                }
                Some(GroupEvent::Failed(error @ LogError::Misconfigured(_))) => return Err(error),
                Some(GroupEvent::Failed(error)) => {
                    tracing::warn!(%error, "the inbox can't be read; the gate tries again");
                    rest(&stop).await;
                }
                None => return Err(LogError::Unavailable("the reader of the inbox has ended".into())),
            }
        }
    }

    /// Deals with records, as long as it takes; false when the process stops first.
    async fn pass(&self, records: Vec<Record>, stop: &CancellationToken) -> bool {
        let mut bodies: BTreeMap<TenantId, Vec<(Record, Body)>> = BTreeMap::new();
        for record in records {
            let read = match self.tenant_of(&record) {
                Ok(tenant) => self
                    .read(&record, stop)
                    .await
                    .map(|body| body.map(|body| (tenant, body))),
                Err(unread) => Some(Err(unread)),
            };
            match read {
                Some(Ok((tenant, body))) => bodies.entry(tenant).or_default().push((record, body)),
                Some(Err(Unread { reason, detail })) => {
                    if !self.reject(&record, reason, &detail, None, stop).await {
                        return false;
                    }
                }
                None => return false,
            }
        }
        for (tenant, records) in bodies {
            if !self.take(tenant, records, stop).await {
                return false;
            }
        }
        true
    }

    /// Whose a record is: the topic's, or the one it names where that is allowed.
    fn tenant_of(&self, record: &Record) -> Result<TenantId, Unread> {
        let Some(named) = record.header("tenant") else {
            return Ok(self.tenant.clone());
        };
        let named = std::str::from_utf8(named).ok().and_then(TenantId::parse);
        match named {
            Some(tenant) if tenant == self.tenant || self.allowed.contains(&tenant) => Ok(tenant),
            _ => Err(Unread {
                reason: Reason::OtherTenant,
                detail: "the header `tenant` names a tenant that gate.allow_tenants does not list".into(),
            }),
        }
    }

    /// The body of a record; `None` when the process stops before the registry could be asked.
    async fn read(&self, record: &Record, stop: &CancellationToken) -> Option<Result<Body, Unread>> {
        loop {
            match read::body(record, self.registry.as_deref()).await {
                Ok(read) => return Some(read),
                Err(error) => self
                    .complaint
                    .say(&error, "a schema can't be asked for; the gate waits"),
            }
            if !rest(stop).await {
                return None;
            }
        }
    }

    async fn take(&self, tenant: TenantId, records: Vec<(Record, Body)>, stop: &CancellationToken) -> bool {
        let principal = Principal::system(tenant.clone(), "gate");
        let mut open = records;
        while !open.is_empty() {
            let places: Vec<String> = open.iter().map(|(record, _)| place(record)).collect();
            let headers: Vec<_> = open.iter().map(|(record, _)| read::headers(record)).collect();
            let items: Vec<Item<'_>> = open
                .iter()
                .zip(&headers)
                .zip(&places)
                .map(|(((record, body), headers), place)| Item {
                    form: read::form(record, body, headers),
                    client_id: None,
                    place: Some(place),
                })
                .collect();
            let outcomes = self
                .ingest
                .take(
                    &principal,
                    Origin {
                        kind: "kafka",
                        id: None,
                    },
                    &items,
                )
                .await;
            let waiting = open.len();
            let mut again = Vec::new();
            for ((record, body), outcome) in open.into_iter().zip(outcomes) {
                match self.settle(&tenant, record, outcome, stop).await {
                    Settled::Done => {}
                    Settled::Again(record) => again.push((*record, body)),
                    Settled::Stopped => return false,
                }
            }
            open = again;
            if open.len() == waiting && !rest(stop).await {
                return false;
            }
        }
        true
    }

    async fn settle(
        &self,
        tenant: &TenantId,
        record: Record,
        outcome: Result<Receipt, ItemError>,
        stop: &CancellationToken,
    ) -> Settled {
        let word = match verdict(outcome) {
            Verdict::Done(word) => word,
            Verdict::Later(error) => {
                self.complaint
                    .say(&error, "an event can't be appended; the gate waits");
                return Settled::Again(Box::new(record));
            }
            Verdict::Reject(reason, why) => {
                if !self.reject(&record, reason, &why, Some(tenant), stop).await {
                    return Settled::Stopped;
                }
                "rejected"
            }
        };
        metrics::counter!(meters::GATE, "outcome" => word).increment(1);
        Settled::Done
    }

    /// Keeps a record in `audit.rejected`, as long as it takes; false when the process stops first.
    async fn reject(
        &self,
        record: &Record,
        reason: Reason,
        detail: &str,
        tenant: Option<&TenantId>,
        stop: &CancellationToken,
    ) -> bool {
        let origin = place(record);
        loop {
            let rejection = Rejection {
                reason,
                detail,
                tenant,
                origin: &origin,
                key: &record.key,
                payload: &record.payload,
                headers: &record.headers,
            };
            match reject(&self.log, rejection).await {
                Ok(_) => return true,
                Err(error) => self
                    .complaint
                    .say(&error, "a rejection can't be written; the gate waits"),
            }
            if !rest(stop).await {
                return false;
            }
        }
    }
}

/// What is to become of a record.
#[derive(Debug)]
enum Verdict {
    /// It is dealt with; the word counts.
    Done(&'static str),
    /// It can't be taken now: it is held, and tried again.
    Later(ItemError),
    /// It is no event, now or later.
    Reject(Reason, String),
}

fn verdict(outcome: Result<Receipt, ItemError>) -> Verdict {
    match outcome {
        Ok(receipt) if receipt.duplicate => Verdict::Done("duplicate"),
        Ok(_) => Verdict::Done("taken"),
        // The door has kept the copy.
        Err(ItemError::Conflict { .. }) => Verdict::Done("conflict"),
        Err(ItemError::Log(LogError::Refused(why))) => Verdict::Reject(Reason::TooLarge, why),
        Err(error @ (ItemError::Log(_) | ItemError::Busy(_))) => Verdict::Later(error),
        Err(ItemError::Refused(refusal)) => Verdict::Reject(ingest::reason(&refusal), refusal.to_string()),
    }
}

/// What became of a record.
enum Settled {
    Done,
    Again(Box<Record>),
    Stopped,
}

/// Where a record stands: the id of an event that came without one.
fn place(record: &Record) -> String {
    format!("{}/{}/{}", record.topic, record.partition, record.offset)
}

/// A short wait; false when the process stops.
async fn rest(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(Duration::from_millis(500)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_with_the_record_itself_rejects_it() {
        let of = |error| verdict(Err(ItemError::Log(error)));
        for passing in [
            LogError::Misconfigured("no permission to write".into()),
            LogError::Unavailable("no leader".into()),
            LogError::Full,
        ] {
            let verdict = of(passing);
            assert!(matches!(verdict, Verdict::Later(_)), "{verdict:?}");
        }
        let verdict = of(LogError::Refused("it is too large".into()));
        assert!(
            matches!(verdict, Verdict::Reject(Reason::TooLarge, _)),
            "{verdict:?}"
        );
    }
}
