//! The topics, and what each must be so that nothing in it is lost.
//!
//! Topics are never made by the broker on first use: its defaults delete after seven days. [`ensure`] creates what
//! is missing with everything stated, and refuses an `audit.events` or `audit.control` that can expire.

use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::client::{describe, misconfigured, unavailable};
use super::{Log, LogError};

/// Every event, for ever: the truth.
pub const EVENTS: &str = "audit.events";
/// What producers write directly, before the gate has looked at it.
pub const INBOX: &str = "audit.inbox";
/// What could not be taken, with the reason.
pub const REJECTED: &str = "audit.rejected";
/// Commands on tenants, users and keys: one partition, in one order for all.
pub const CONTROL: &str = "audit.control";

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const FOR_EVER: i64 = -1;
/// Where `log.partitions` says nothing.
const PARTITIONS: i32 = 4;

/// What a topic must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Name without the prefix.
    pub name: &'static str,
    /// `None`: as many as `log.partitions` says.
    pub partitions: Option<i32>,
    /// How long records are kept, in milliseconds; -1: for ever.
    pub retention_ms: i64,
}

/// All topics.
pub const ALL: [Spec; 4] = [
    Spec {
        name: EVENTS,
        partitions: None,
        retention_ms: FOR_EVER,
    },
    Spec {
        name: INBOX,
        partitions: None,
        retention_ms: 7 * DAY_MS,
    },
    Spec {
        name: REJECTED,
        partitions: Some(1),
        retention_ms: 28 * DAY_MS,
    },
    Spec {
        name: CONTROL,
        partitions: Some(1),
        retention_ms: FOR_EVER,
    },
];

/// The largest record: an event of 256 KiB with its raw original, framing and headers.
const MAX_MESSAGE_BYTES: &str = "2097152";
const WITHIN: Duration = Duration::from_secs(20);

/// Creates the topics that are missing; gives the names of those it made.
pub async fn ensure(log: &Log) -> Result<Vec<&'static str>, LogError> {
    let admin: AdminClient<DefaultClientContext> = log.client_config().create().map_err(misconfigured)?;
    let mut made = Vec::new();
    for spec in ALL {
        if log.partitions(spec.name).await?.is_none() {
            create(&admin, log, spec).await?;
            appear(log, spec.name).await?;
            made.push(spec.name);
        }
    }
    if let Some(problem) = expiring(log).await?.first() {
        return Err(LogError::Misconfigured(problem.clone()));
    }
    Ok(made)
}

/// Waits until the brokers have told one another of a new topic.
async fn appear(log: &Log, name: &'static str) -> Result<(), LogError> {
    let deadline = tokio::time::Instant::now() + WITHIN;
    while log.partitions(name).await?.is_none() {
        if tokio::time::Instant::now() >= deadline {
            return Err(LogError::Unavailable(format!(
                "topic {name} was created and does not appear"
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// One sentence for each topic that may lose what must be kept.
pub async fn expiring(log: &Log) -> Result<Vec<String>, LogError> {
    let admin: AdminClient<DefaultClientContext> = log.client_config().create().map_err(misconfigured)?;
    let mut problems = Vec::new();
    for spec in ALL.iter().filter(|spec| spec.retention_ms == FOR_EVER) {
        let name = log.full_name(spec.name);
        for (setting, bad) in [
            ("retention.ms", is_finite as fn(&str) -> bool),
            ("retention.bytes", is_finite),
            ("cleanup.policy", compacts),
        ] {
            if let Some(value) = setting_of(&admin, &name, setting).await?
                && bad(&value)
            {
                problems.push(format!(
                    "topic {name} may lose records: {setting} is {value}; set retention.ms=-1, retention.bytes=-1 and cleanup.policy=delete"
                ));
            }
        }
    }
    Ok(problems)
}

fn is_finite(value: &str) -> bool {
    value.trim() != "-1"
}

fn compacts(value: &str) -> bool {
    value.contains("compact")
}

async fn create(admin: &AdminClient<DefaultClientContext>, log: &Log, spec: Spec) -> Result<(), LogError> {
    let (name, retention) = (log.full_name(spec.name), spec.retention_ms.to_string());
    let replication = log.config().replication;
    let partitions = spec
        .partitions
        .unwrap_or(log.config().partitions.unwrap_or(PARTITIONS));
    let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(replication))
        .set("cleanup.policy", "delete")
        .set("retention.ms", &retention)
        .set("retention.bytes", "-1")
        .set("max.message.bytes", MAX_MESSAGE_BYTES)
        .set("message.timestamp.type", "LogAppendTime")
        .set("min.insync.replicas", if replication >= 3 { "2" } else { "1" });
    if replication >= 3 {
        topic = topic.set("unclean.leader.election.enable", "false");
    }
    let options = AdminOptions::new()
        .operation_timeout(Some(WITHIN))
        .request_timeout(Some(WITHIN));
    let results = admin
        .create_topics([&topic], &options)
        .await
        .map_err(unavailable)?;
    match results.into_iter().next() {
        // Another instance was faster: as good.
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) => Ok(()),
        Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor))) => Err(LogError::Misconfigured(format!(
            "topic {name} needs {replication} brokers: start them, or set log.replication to fewer"
        ))),
        Some(Err((_, code))) => Err(LogError::Unavailable(format!(
            "topic {name} can't be created: {code}"
        ))),
        None => Err(LogError::Unavailable(format!(
            "the broker did not say whether it created {name}"
        ))),
    }
}

/// A topic's setting; `None` when the broker does not tell (the embedded one tells only what was stated).
async fn setting_of(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
    setting: &str,
) -> Result<Option<String>, LogError> {
    let options = AdminOptions::new().request_timeout(Some(WITHIN));
    let described = admin
        .describe_configs([&ResourceSpecifier::Topic(name)], &options)
        .await
        .map_err(unavailable)?;
    let value = |resource: &ConfigResource| resource.get(setting).and_then(|entry| entry.value.clone());
    match described.into_iter().next() {
        Some(Ok(resource)) => Ok(value(&resource)),
        Some(Err(code)) => Err(LogError::Unavailable(describe(
            &rdkafka::error::KafkaError::AdminOp(code),
        ))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_and_the_commands_are_kept_for_ever() {
        for name in [EVENTS, CONTROL] {
            let spec = ALL.iter().find(|spec| spec.name == name).unwrap();
            assert_eq!(spec.retention_ms, FOR_EVER, "{name}");
        }
        assert!(is_finite("604800000") && !is_finite("-1"));
        assert!(compacts("compact,delete") && !compacts("delete"));
    }
}
