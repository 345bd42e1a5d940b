//! The log: brokers, topics, and how far the readers are behind.

use super::Finding;
use crate::log::partitioner::{self, Partitions};
use crate::log::{Log, LogError, topics};
use crate::{gate, projections};

/// A reader this far behind is worth a word: some seconds of full load.
const BEHIND: i64 = 100_000;

/// What was found, and where all topics are there, the partitions of `audit.events`.
pub(super) async fn look(log: &Log) -> (Vec<Finding>, Option<u32>) {
    let brokers = &log.config().brokers;
    let mut missing = Vec::new();
    let mut partitions = 0;
    for spec in topics::ALL {
        match log.partitions(spec.name).await {
            Ok(Some(count)) if spec.name == topics::EVENTS => partitions = count,
            Ok(Some(_)) => {}
            Ok(None) => missing.push(log.full_name(spec.name)),
            Err(error) => {
                let remedy = "start `trailhouse serve` if they are the embedded ones; else mend the brokers, or log.brokers";
                return (
                    vec![Finding::problem("log", format!("{brokers}: {error}"), remedy)],
                    None,
                );
            }
        }
    }
    if !missing.is_empty() {
        let finding = Finding::problem(
            "topics",
            format!("missing: {}", missing.join(", ")),
            "`trailhouse migrate`",
        );
        return (
            vec![Finding::ok("log", format!("{brokers} answers")), finding],
            None,
        );
    }
    let mut findings = vec![Finding::ok(
        "log",
        format!(
            "{brokers} answers; {} has {partitions} partitions",
            log.full_name(topics::EVENTS)
        ),
    )];
    findings.push(match topics::expiring(log).await {
        Ok(problems) if problems.is_empty() => {
            Finding::ok("topics", "all there; nothing that must stay can expire")
        }
        Ok(problems) => Finding::problem(
            "topics",
            problems.join("; "),
            "change these settings before records are gone",
        ),
        Err(error) => Finding::warning(
            "topics",
            error.to_string(),
            "let this user describe the topics' settings",
        ),
    });
    for (check, group, topic) in [
        ("projector", projections::GROUP, topics::EVENTS),
        ("gate", gate::GROUP, topics::INBOX),
    ] {
        findings.push(match lag(log, group, topic, partitions).await {
            Err(error) => Finding::warning(check, error.to_string(), "look again when the log answers"),
            Ok(behind) if behind > BEHIND => Finding::warning(
                check,
                format!("{behind} records of {} are not processed", log.full_name(topic)),
                "if the number does not fall: the log of `trailhouse serve` says why",
            ),
            Ok(behind) => Finding::ok(check, format!("{behind} records behind")),
        });
    }
    (findings, u32::try_from(partitions).ok())
}

/// What there is to say of partitions that are not those of the log's beginning.
pub(super) fn compare(found: u32, recorded: u32) -> Option<Finding> {
    let (check, changed) = ("partitions", partitioner::changed(found, recorded));
    match Partitions::compare(found, recorded) {
        Partitions::AsEver => None,
        Partitions::Added => {
            let remedy = "nothing: events stay where they were placed, and those that were added stay empty";
            Some(Finding::warning(check, changed, remedy))
        }
        Partitions::Gone => Some(Finding::problem(check, changed, partitioner::GONE_REMEDY)),
    }
}

async fn lag(log: &Log, group: &str, topic: &str, partitions: i32) -> Result<i64, LogError> {
    let mut behind = 0;
    for partition in 0..log.partitions(topic).await?.unwrap_or(partitions) {
        let (low, end) = log.bounds(topic, partition).await?;
        let next = log.committed(group, topic, partition).await?.unwrap_or(low);
        behind += (end - next).max(0);
    }
    Ok(behind)
}
