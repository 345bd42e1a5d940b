//! What every mode works with: the server, its processes, and how far it has come.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use super::load::{self, Body, Plan, Until};
use super::machine::{self, Disk, Door, Watch};
use super::mix::Mix;
use super::queries;
use super::run::Run;
use super::wire::{Server, Wire};

/// How long the last events may take to become searchable before the run counts as failed.
const DRAIN_WITHIN: Duration = Duration::from_secs(600);
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// The server under test.
pub(super) struct Bed {
    pub(super) server: Server,
    pub(super) data_dir: PathBuf,
    pub(super) seed: u64,
}

impl Bed {
    pub(super) fn plan(
        &self,
        mix: Mix,
        requests: Option<f64>,
        connections: usize,
        body: Body,
        until: Until,
    ) -> Plan {
        let server = self.server.clone();
        Plan {
            server,
            mix,
            requests,
            connections: connections.max(1),
            body,
            until,
            seed: self.seed,
        }
    }

    /// Sends, waits until everything can be searched, and says what that took.
    pub(super) async fn measure(&self, plan: Plan) -> anyhow::Result<Run> {
        let door = Door::find(&self.data_dir);
        let before = (self.counters().await?, disk(door.as_ref()).await);
        let watch = Watch::start(&machine::processes(&self.data_dir));
        let started = Instant::now();
        let outcome = load::run(&plan).await?;
        let wanted = before.0 + outcome.acked;
        while self.counters().await? < wanted {
            if started.elapsed() > outcome.elapsed + DRAIN_WITHIN {
                bail!(
                    "{} events were acknowledged and are not searchable",
                    wanted - self.counters().await?
                );
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
        let (drained, used) = (started.elapsed(), watch.end().await);
        let as_written = disk(door.as_ref()).await;
        if let Some(door) = &door {
            door.merge().await;
        }
        Ok(Run {
            outcome,
            drained,
            used,
            before: before.1,
            as_written,
            merged: disk(door.as_ref()).await,
        })
    }

    /// Sends application events until there are so many.
    pub(super) async fn fill(&self, events: u64) -> anyhow::Result<()> {
        let there = self.held().await?;
        if events > there {
            let plan = self.plan(
                Mix::App,
                None,
                8,
                Body::Many(1_000),
                Until::Events(events - there),
            );
            eprintln!("{there} events are there; sending {} more", events - there);
            self.measure(plan).await?;
        }
        Ok(())
    }

    /// Events that can be searched. The server itself counts no further than a million.
    pub(super) async fn held(&self) -> anyhow::Result<u64> {
        match Door::find(&self.data_dir) {
            Some(door) => Ok(door.disk().await.rows),
            None => queries::count(&self.server).await,
        }
    }

    /// Events that are in the table or were dropped as copies, since the server started.
    pub(super) async fn counters(&self) -> anyhow::Result<u64> {
        let answer = Wire::new(&self.server).send(&self.server.get("/metrics")).await?;
        if answer.status != 200 {
            bail!(
                "/metrics answers {}: run the bench on the server's own machine",
                answer.status
            );
        }
        let text = String::from_utf8_lossy(&answer.body);
        let value = |name: &str| {
            let mut lines = text
                .lines()
                .filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            lines.next().unwrap_or_default() as u64
        };
        Ok(value(crate::meters::PROJECTED) + value(crate::meters::COPIES))
    }
}

async fn disk(door: Option<&Door>) -> Disk {
    match door {
        Some(door) => door.disk().await,
        None => Disk::default(),
    }
}
