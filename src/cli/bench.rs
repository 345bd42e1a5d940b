//! `trailhouse bench`
//!
//! Runs beside a server, as a process of its own: [`load`] sends events of a [`mix`] over [`wire`], [`machine`] looks
//! at what the server's processes use meanwhile, and [`report`] writes it down beside what it should be.

mod export;
mod load;
mod machine;
mod mix;
mod queries;
mod report;
mod run;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tokio::time::Instant;

use super::connect::Remote;
use load::{Body, Plan, Until};
use machine::{Disk, Door, Watch};
use mix::Mix;
use report::Report;
use run::{Run, failures};
use wire::{Server, Wire};

/// How long the last events may take to become searchable before the run counts as failed.
const DRAIN_WITHIN: Duration = Duration::from_secs(600);
const DRAIN_POLL: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    mode: Mode,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Args)]
struct Shared {
    #[command(flatten)]
    remote: Remote,
    /// Print the figures as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Also write them into this markdown file, in the place of the last run of the same name
    #[arg(long, global = true, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Seed of the events' values
    #[arg(long, global = true, default_value_t = 7)]
    seed: u64,
}

#[derive(Subcommand)]
enum Mode {
    /// Many events a request: how many a second, until they can be searched
    Bulk {
        /// What is sent
        #[arg(long, value_enum, default_value = "app")]
        mix: Mix,
        /// Events a second [default: as many as are taken]
        #[arg(long)]
        rate: Option<f64>,
        /// How long
        #[arg(long, default_value_t = 60.0)]
        seconds: f64,
        /// Events a request
        #[arg(long, default_value_t = 1_000)]
        batch: usize,
        /// Connections
        #[arg(long, default_value_t = 8)]
        connections: usize,
    },
    /// One event a request, over many connections
    Single {
        /// Events a second [default: as many as are taken]
        #[arg(long)]
        rate: Option<f64>,
        /// How long
        #[arg(long, default_value_t = 30.0)]
        seconds: f64,
        /// Connections
        #[arg(long, default_value_t = 256)]
        connections: usize,
    },
    /// How long until an event can be searched, under a steady load
    Latency {
        /// Events a second, beside the probes
        #[arg(long, default_value_t = 5_000.0)]
        rate: f64,
        /// How long
        #[arg(long, default_value_t = 60.0)]
        seconds: f64,
        /// Events a request
        #[arg(long, default_value_t = 100)]
        batch: usize,
        /// Events a second that are waited for until they can be searched
        #[arg(long, default_value_t = 20.0)]
        probes: f64,
    },
    /// How long searches take
    Queries {
        /// Send application events first, until there are so many
        #[arg(long, default_value_t = 0)]
        fill: u64,
    },
    /// How fast everything is exported
    Export {
        /// In which form, with its parameters: `format=csv&compression=zstd`
        #[arg(long, default_value = "format=ndjson")]
        query: String,
    },
    /// What the server's processes use when nothing happens
    Idle {
        /// How long
        #[arg(long, default_value_t = 60.0)]
        seconds: f64,
    },
}

/// What every mode works with.
struct Bed {
    server: Server,
    data_dir: PathBuf,
    seed: u64,
}

impl Bench {
    /// `data_dir` is the server's, to find its processes by.
    pub(crate) async fn run(self, data_dir: PathBuf) -> anyhow::Result<ExitCode> {
        let remote = &self.shared.remote;
        let server = Server::new(&remote.at(""), remote.token()?)?;
        // Two runs with one seed still send other events: ids are drawn from the time as well.
        let moment = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let bed = Bed {
            server,
            data_dir,
            seed: self.shared.seed.wrapping_mul(1_000_003) + (moment << 20),
        };
        bed.counters().await.with_context(|| remote.unreachable())?;
        let report = match self.mode {
            Mode::Bulk {
                mix,
                rate,
                seconds,
                batch,
                connections,
            } => {
                let name = match rate {
                    None => format!("Bulk, {}, as fast as they are taken", mix.name()),
                    Some(rate) => format!("Bulk, {}, {rate}/s", mix.name()),
                };
                let (requests, until) = (rate.map(|rate| rate / batch as f64), lasting(seconds));
                bed.bulk(
                    name,
                    bed.plan(mix, requests, connections, Body::Many(batch), until),
                )
                .await?
            }
            Mode::Single {
                rate,
                seconds,
                connections,
            } => {
                let name = match rate {
                    None => {
                        format!("Single posts over {connections} connections, as fast as they are answered")
                    }
                    Some(rate) => format!("Single posts over {connections} connections, {rate}/s"),
                };
                bed.single(
                    name,
                    bed.plan(Mix::App, rate, connections, Body::One, lasting(seconds)),
                )
                .await?
            }
            Mode::Latency {
                rate,
                seconds,
                batch,
                probes,
            } => {
                let load = bed.plan(
                    Mix::App,
                    Some(rate / batch as f64),
                    8,
                    Body::Many(batch),
                    lasting(seconds),
                );
                let mut probe = bed.plan(Mix::App, Some(probes), 64, Body::Probe, lasting(seconds));
                probe.seed += 1 << 16;
                bed.latency(format!("Until searchable, at {rate} events/s"), load, probe)
                    .await?
            }
            Mode::Queries { fill } => bed.queries(fill).await?,
            Mode::Export { query } => bed.export(remote, &query).await?,
            Mode::Idle { seconds } => bed.idle(seconds).await,
        };
        if self.shared.json {
            println!("{}", report.json());
        } else {
            print!("{report}");
        }
        if let Some(file) = &self.shared.report {
            report
                .write_into(file)
                .with_context(|| format!("{} can't be written", file.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn lasting(seconds: f64) -> Until {
    Until::Elapsed(Duration::from_secs_f64(seconds.max(0.1)))
}

impl Bed {
    fn plan(&self, mix: Mix, requests: Option<f64>, connections: usize, body: Body, until: Until) -> Plan {
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

    async fn bulk(&self, name: String, plan: Plan) -> anyhow::Result<Report> {
        let mix = plan.mix;
        let run = self.measure(plan).await?;
        let mut report = Report::new(name);
        let seconds = run.outcome.elapsed.as_secs_f64();
        report.add("from bulk HTTP to searchable", run.rate(), "events/s");
        if mix == Mix::App {
            report.target("20,000 embedded, 50,000 on Apache Kafka");
        }
        report.add("acknowledged", run.outcome.acked as f64 / seconds, "events/s");
        report.add("acknowledged, all", run.outcome.acked as f64, "events");
        report.add(
            "searchable after the last answer",
            run.drained.as_secs_f64() - seconds,
            "s",
        );
        report.latencies("a request", &run.outcome.latency, None);
        run.costs(&mut report, mix);
        Ok(report)
    }

    async fn single(&self, name: String, plan: Plan) -> anyhow::Result<Report> {
        let run = self.measure(plan).await?;
        let mut report = Report::new(name);
        let seconds = run.outcome.elapsed.as_secs_f64();
        report
            .add("acknowledged", run.outcome.acked as f64 / seconds, "posts/s")
            .target("10,000");
        report.latencies("a post", &run.outcome.latency, Some((0.99, "under 60 ms")));
        report.add("from post to searchable", run.rate(), "events/s");
        run.costs(&mut report, Mix::App);
        Ok(report)
    }

    async fn latency(&self, name: String, load: Plan, probe: Plan) -> anyhow::Result<Report> {
        let watch = Watch::start(&machine::processes(&self.data_dir));
        let (load, probes) = tokio::join!(load::run(&load), load::run(&probe));
        let (load, probes, used) = (load?, probes?, watch.end().await);
        let mut report = Report::new(name);
        let seconds = load.elapsed.as_secs_f64();
        report.add("acknowledged", load.acked as f64 / seconds, "events/s");
        report.add("probes found", probes.acked as f64, "events");
        report
            .add(
                "probes not found, or not in time",
                (probes.sent - probes.acked) as f64,
                "events",
            )
            .target("0");
        report.latencies(
            "until searchable",
            &probes.latency,
            Some((0.99, "under 1,000 ms")),
        );
        report.latencies("a request of the load", &load.latency, None);
        failures(&mut report, &load);
        if probes.failed() > 0 {
            failures(&mut report, &probes);
        }
        report.processes(&used, seconds);
        Ok(report)
    }

    /// Events that can be searched. The server itself counts no further than a million.
    async fn held(&self) -> anyhow::Result<u64> {
        match Door::find(&self.data_dir) {
            Some(door) => Ok(door.disk().await.rows),
            None => queries::count(&self.server).await,
        }
    }

    async fn idle(&self, seconds: f64) -> Report {
        let mut watched = machine::processes(&self.data_dir);
        watched.retain(|process| process.name != "bench");
        let watch = Watch::start(&watched);
        tokio::time::sleep(Duration::from_secs_f64(seconds.max(0.1))).await;
        let used = watch.end().await;
        let mut report = Report::new("Idle".to_owned());
        let all: f64 = used.iter().map(|process| process.cpu_seconds).sum();
        report
            .add("all processes: CPU", all / seconds * 100.0, "% of a core")
            .target("under 5 %");
        report.processes(&used, seconds);
        report
    }

    /// Sends, waits until everything can be searched, and says what that took.
    async fn measure(&self, plan: Plan) -> anyhow::Result<Run> {
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

    /// Events that are in the table or were dropped as copies, since the server started.
    async fn counters(&self) -> anyhow::Result<u64> {
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
