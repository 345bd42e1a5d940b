//! `trailhouse rejected list|replay`

mod door;
mod line;

use std::io::Write;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::connect::Engines;
use crate::app::Connections;
use crate::config::Config;
use crate::event::TenantId;
use crate::gate;
use crate::log::rejected::{self as dead, Reason};
use crate::log::{Log, LogError, NewRecord, topics};

use door::Door;

#[derive(Subcommand)]
pub(crate) enum Rejected {
    /// List them, oldest first, one JSON object a line
    List(Which),
    /// Put them back into the inbox, so that the gate looks at them again
    Replay(Again),
}

#[derive(Args)]
pub(crate) struct Which {
    /// Only this one, by its offset in audit.rejected
    #[arg(long)]
    offset: Option<i64>,
    /// Only those rejected for this reason
    #[arg(long, value_parser = PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)))]
    reason: Option<String>,
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    engines: Engines,
}

#[derive(Args)]
pub(crate) struct Again {
    #[command(flatten)]
    which: Which,
    /// Take in records of this tenant too, although gate.allow_tenants does not list it; may be repeated. Anybody who
    /// may write to the inbox can have named it, so look at them first
    #[arg(long, value_name = "TENANT")]
    allow_tenant: Vec<String>,
}

impl Rejected {
    /// Where the log is.
    pub(crate) fn engines(&self) -> &Engines {
        let (Self::List(which) | Self::Replay(Again { which, .. })) = self;
        &which.engines
    }

    pub(crate) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let connections = Connections::open(&config)?;
        match self {
            Self::List(which) => list(&which.find(&connections.log).await?),
            Self::Replay(again) => again.run(&config, &connections).await,
        }
    }
}

impl Which {
    fn fits(&self, rejected: &dead::Rejected) -> bool {
        self.offset.is_none_or(|offset| rejected.record.offset == offset)
            && self
                .reason
                .as_ref()
                .is_none_or(|reason| rejected.reason == *reason)
            && self
                .tenant
                .as_ref()
                .is_none_or(|tenant| rejected.tenant.as_ref() == Some(tenant))
    }

    async fn find(&self, log: &Log) -> Result<Vec<dead::Rejected>, LogError> {
        let (low, end) = log.bounds(topics::REJECTED, 0).await?;
        let mut next = self.offset.unwrap_or(low).max(low);
        let mut found = Vec::new();
        if next >= end {
            return Ok(found);
        }
        let mut tail = log.tail(topics::REJECTED, 0, next)?;
        while next < end && found.len() < self.limit {
            for record in tail.next().await? {
                next = record.offset + 1;
                let rejected = dead::Rejected::read(record);
                if self.fits(&rejected) && found.len() < self.limit {
                    found.push(rejected);
                }
            }
        }
        Ok(found)
    }
}

/// Said where no record is as it was asked for.
const NOTHING: &str = "audit.rejected holds no such record";

fn list(found: &[dead::Rejected]) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for rejected in found {
        writeln!(out, "{}", line::of(rejected))?;
    }
    if found.is_empty() {
        eprintln!("{NOTHING}");
    }
    Ok(ExitCode::SUCCESS)
}

impl Again {
    async fn run(self, config: &Config, connections: &Connections) -> anyhow::Result<ExitCode> {
        let found = self.which.find(&connections.log).await?;
        if found.is_empty() {
            anyhow::bail!(NOTHING);
        }
        let (mut queued, mut taken, mut left) = (0, 0, 0);
        let mut door = None;
        for rejected in found {
            let outcome = match self.way(&rejected, &config.gate) {
                Err(why) => Err(why),
                Ok(Way::Inbox) => {
                    into_the_inbox(&connections.log, &rejected).await?;
                    queued += 1;
                    Ok(())
                }
                Ok(Way::Door(tenant)) => {
                    let door = match &door {
                        Some(door) => door,
                        None => door.insert(Door::open(config, connections).await?),
                    };
                    let outcome = door.take(&tenant, &rejected).await;
                    taken += usize::from(outcome.is_ok());
                    outcome
                }
            };
            if let Err(why) = outcome {
                println!("{} stays: {why}", rejected.record.offset);
                left += 1;
            }
        }
        println!("{queued} records are in the inbox again");
        if taken > 0 {
            println!("{taken} records were taken in");
        }
        Ok(match (queued + taken, left) {
            (0, 1..) => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        })
    }

    /// How a record can be taken in, or why it can't.
    fn way(&self, rejected: &dead::Rejected, gate: &gate::Config) -> Result<Way, String> {
        if let Some(why) = obstacle(rejected) {
            return Err(why);
        }
        let named = match rejected.record.header("tenant") {
            Some(name) => Some(String::from_utf8_lossy(name).into_owned()),
            None => rejected.tenant.clone(),
        };
        let Some(name) = named.filter(|name| *name != gate.tenant && !gate.allow_tenants.contains(name))
        else {
            return Ok(Way::Inbox);
        };
        let tenant = TenantId::parse(&name)
            .ok_or_else(|| format!("it names {name:?}, which can't be the name of a tenant"))?;
        match self.allow_tenant.contains(&name) {
            true => Ok(Way::Door(tenant)),
            false => Err(format!(
                "the gate would refuse it again: gate.allow_tenants does not list {name}. Say --allow-tenant {name} if its \
                 producer may write for that tenant"
            )),
        }
    }
}

/// How a record can be taken in.
#[derive(Debug, PartialEq)]
enum Way {
    /// By the gate.
    Inbox,
    /// By this command, for a tenant that it was told to.
    Door(TenantId),
}

async fn into_the_inbox(log: &Log, rejected: &dead::Rejected) -> Result<(), LogError> {
    let record = &rejected.record;
    let mut headers: Vec<(&str, &[u8])> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    if let Some(tenant) = &rejected.tenant
        && record.header("tenant").is_none()
    {
        headers.push(("tenant", tenant.as_bytes()));
    }
    let again = NewRecord {
        partition: None,
        key: &record.key,
        payload: &record.payload,
        headers: &headers,
    };
    log.append(topics::INBOX, again).await?;
    Ok(())
}

/// Why a record can't go into the inbox again, or would only come back.
fn obstacle(rejected: &dead::Rejected) -> Option<String> {
    if let Some(cut) = &rejected.cut {
        return Some(format!(
            "only its first {} bytes are kept here, all {} stand at {}: let its producer send less at once",
            rejected.record.payload.len(),
            cut.bytes,
            rejected.origin
        ));
    }
    [
        (
            Reason::Unstorable,
            "it stands in audit.events already; mend what ClickHouse refuses, then `trailhouse rebuild`",
        ),
        (
            Reason::IdConflict,
            "its id belongs to another event; send it from where it came, under an id of its own",
        ),
    ]
    .into_iter()
    .find(|(reason, _)| rejected.reason == reason.as_str())
    .map(|(_, why)| why.to_owned())
}
