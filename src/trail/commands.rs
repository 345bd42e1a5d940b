//! Changes of control state as events: the reader of `audit.control` that makes one of every command, accepted or
//! refused, in the log of the tenant that it concerns.
//!
//! One instance at a time reads the topic's one partition. It commits after the log has the events, whose ids follow
//! from the log and the offset: a crash on the way makes copies, and loses none.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::read::{Occasion, cut, own};
use crate::clock::{Clock, Timestamp};
use crate::control::{By, Command, Control, Envelope, State, Verdict};
use crate::event::{Actor, Event, Json, Outcome, Resource, Severity, TenantId};
use crate::ingest::Ingest;
use crate::log::group::{Gaps, GroupEvent};
use crate::log::{Log, LogError, Record, topics};
use crate::{control, log};

/// The consumer group, without the configured prefix.
pub const GROUP: &str = "trailhouse-control-events";

const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Events that are appended together.
const AT_ONCE: usize = 200;

/// The reader.
pub struct Commands {
    log: Log,
    control: Control,
    ingest: Ingest,
    clock: std::sync::Arc<dyn Clock>,
}

impl Commands {
    /// Over the log and what the own fold makes of it.
    pub fn new(log: Log, control: Control, ingest: Ingest, clock: std::sync::Arc<dyn Clock>) -> Self {
        Self {
            log,
            control,
            ingest,
            clock,
        }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) -> Result<(), LogError> {
        match stop.run_until_cancelled(self.work()).await {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    async fn work(&self) -> LogError {
        let mut group = match self.log.group(GROUP, topics::CONTROL, 0, Gaps::Fail) {
            Ok(group) => group,
            Err(error) => return error,
        };
        let mut mine = false;
        loop {
            match group.next().await {
                Some(GroupEvent::Records(records)) if mine => {
                    let next: BTreeMap<_, _> = records
                        .iter()
                        .map(|record| (record.partition, record.offset + 1))
                        .collect();
                    for records in records.chunks(AT_ONCE) {
                        self.tell(records).await;
                    }
                    let next: Vec<_> = next.into_iter().collect();
                    if let Err(error) = group.commit(&next).await {
                        tracing::warn!(%error, "the offsets of control events are not committed; they will be told again");
                    }
                }
                Some(GroupEvent::Records(_)) => {}
                Some(GroupEvent::Assigned(_)) => mine = true,
                Some(GroupEvent::Revoked(_, hand_over)) => {
                    mine = false;
                    hand_over.done();
                }
                Some(GroupEvent::Failed(error @ LogError::Misconfigured(_))) => return error,
                Some(GroupEvent::Failed(error)) => {
                    tracing::warn!(%error, "control state can't be read for its events; trying again");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                None => return LogError::Unavailable("the reader of control events has ended".into()),
            }
        }
    }

    /// Appends the events of these records, as long as it takes.
    async fn tell(&self, records: &[Record]) {
        let mut events = Vec::with_capacity(records.len());
        for record in records {
            let verdict = self.control.verdict(record).await;
            if let Some(verdict) = verdict.filter(|verdict| !is_progress(&verdict.envelope)) {
                let state = self.control.state();
                let id = id_of(self.control.log_id(), record);
                events.push(event(&verdict, &state, self.clock.now(), id));
            }
        }
        while let Err(error) = self.ingest.record(&events).await {
            if matches!(error, LogError::Refused(_)) {
                return tracing::error!(%error, "the log refuses control events");
            }
            tracing::debug!(%error, "control events wait for the log");
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }
}

/// How far the server itself has come with something is no change that anybody has made.
fn is_progress(envelope: &Envelope) -> bool {
    envelope.by.who == By::system().who && matches!(envelope.command, Command::UpdateExport { .. })
}

/// The same for the same record, whoever reads it.
fn id_of(log_id: Uuid, record: &log::Record) -> Uuid {
    Uuid::new_v5(
        &log_id,
        format!("{}/{}", topics::CONTROL, record.offset).as_bytes(),
    )
}

/// What a command tells, once it was decided.
fn event(verdict: &Verdict, state: &State, now: Timestamp, id: Uuid) -> Event {
    let envelope = &verdict.envelope;
    let shown = envelope.command.shown();
    let (name, action) = named(&envelope.command, &shown);
    let (outcome, severity, refusal, version) = match &verdict.outcome {
        Some(control::Outcome::Accepted { version }) => {
            (Outcome::Success, Severity::Info, None, Some(*version))
        }
        Some(control::Outcome::Refused(refusal)) => (
            Outcome::Failure,
            Severity::Warning,
            Some(refusal.to_string()),
            None,
        ),
        None => (Outcome::Unknown, Severity::Info, None, None),
    };
    let message = match outcome {
        Outcome::Failure => "A change of control state was refused",
        _ => "Control state was changed",
    };
    let mut details = json!({"command": shown});
    for (name, value) in [
        ("refusal", refusal.map(Value::from)),
        ("version", version.map(Value::from)),
    ] {
        if let (Some(value), Some(members)) = (value, details.as_object_mut()) {
            members.insert(name.to_owned(), value);
        }
    }
    Event {
        time: envelope.at,
        action: Some(action.to_owned()),
        severity,
        outcome,
        actor: Actor {
            id: Some(cut(&envelope.by.who, 1_024)),
            ip: envelope.by.ip,
            ..Actor::default()
        },
        resource: Resource {
            kind: Some(envelope.command.kind().to_string()),
            id: Some(cut(&envelope.id, 1_024)),
            name: shown["name"].as_str().map(|name| cut(name, 1_024)),
        },
        message: Some(message.to_owned()),
        details: Some(Json::from_value(&details)),
        request_id: envelope.by.request_id.clone(),
        ..own(
            tenant_of(verdict, &shown, state),
            &name,
            &Occasion::default(),
            now,
            id,
        )
    }
}

/// Whose log it belongs to: the sender's own, or, for who spans all, that of what was changed, or was to be made.
fn tenant_of(verdict: &Verdict, shown: &Value, state: &State) -> TenantId {
    let envelope = &verdict.envelope;
    let walled = envelope.by.tenant.clone();
    let owner = || verdict.owner.clone();
    let present = || state.owner(envelope.command.kind(), &envelope.id);
    let named = || shown["tenant"].as_str().and_then(TenantId::parse);
    let found = walled.or_else(owner).or_else(present).or_else(named);
    found
        .filter(|tenant| state.tenant(tenant).is_some())
        .unwrap_or_else(TenantId::default_tenant)
}

/// The event's type, and the verb. From the command's own name, so that a new command needs nothing here:
/// `create_user` makes `trailhouse.user.created`.
fn named(command: &Command, shown: &Value) -> (String, &'static str) {
    let name = shown["do"].as_str().unwrap_or("change");
    let (verb, object) = name.split_once('_').unwrap_or((name, ""));
    let kind = command.kind();
    let (deed, action) = match verb {
        "create" => ("created".to_owned(), "CREATE"),
        "update" => ("updated".to_owned(), "UPDATE"),
        "delete" => ("deleted".to_owned(), "DELETE"),
        "revoke" if object == kind.as_str() => ("revoked".to_owned(), "DELETE"),
        "revoke" => (format!("{object}_revoked"), "UPDATE"),
        "set" | "put" => (format!("{object}_set"), "UPDATE"),
        "end" => (format!("{object}_ended"), "UPDATE"),
        "bootstrap" => ("began".to_owned(), "CREATE"),
        _ => (name.to_owned(), "UPDATE"),
    };
    (format!("trailhouse.{kind}.{deed}"), action)
}

#[cfg(test)]
mod tests;
