//! `trailhouse bench`
//!
//! Runs beside a server, as a process of its own: [`load`] sends events of a [`mix`] over [`wire`], [`machine`] looks
//! at what the server's processes use meanwhile, and [`report`] writes it down beside what it should be.

mod bed;
mod export;
mod load;
mod machine;
mod mix;
mod modes;
mod queries;
mod read;
mod report;
mod run;
mod stream;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::connect::Remote;
use bed::Bed;
use load::{Body, Until};
use mix::Mix;
use read::Reading;
use wire::Server;

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
        /// How often each kind is asked
        #[arg(long, default_value_t = 200)]
        times: u32,
    },
    /// How long searches take while others search and events arrive, and how many may come
    Read {
        /// Searches a second
        #[arg(long, default_value_t = 10.0)]
        rate: f64,
        /// Events a second that arrive meanwhile
        #[arg(long, default_value_t = 2_000.0)]
        events: f64,
        /// How long
        #[arg(long, default_value_t = 60.0)]
        seconds: f64,
        /// Then look for the highest rate whose p95 is under 250 ms
        #[arg(long)]
        highest: bool,
        /// Send application events first, until there are so many
        #[arg(long, default_value_t = 0)]
        fill: u64,
    },
    /// How long events take to clients that watch the stream
    Stream {
        /// Clients
        #[arg(long, default_value_t = 100)]
        clients: usize,
        /// Events a second that arrive
        #[arg(long, default_value_t = 2_000.0)]
        events: f64,
        /// How long
        #[arg(long, default_value_t = 30.0)]
        seconds: f64,
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
            Mode::Queries { fill, times } => bed.queries(fill, times).await?,
            Mode::Read {
                rate,
                events,
                seconds,
                highest,
                fill,
            } => {
                bed.fill(fill).await?;
                bed.read(
                    &Reading {
                        rate,
                        events,
                        seconds,
                    },
                    highest,
                )
                .await?
            }
            Mode::Stream {
                clients,
                events,
                seconds,
            } => bed.stream(clients, events, seconds).await?,
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
