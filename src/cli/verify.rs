//! `trailhouse verify`

use std::process::ExitCode;

use clap::Args;

use super::connect::Engines;
use super::progress::Progress;
use super::rebuild::short;
use crate::app::{self, Connections};
use crate::config::Config;
use crate::log::decode::Decoder;
use crate::log::topics;
use crate::projections;
use crate::projections::verify::{Comparison, Report};
use crate::projections::visible::Visible;

#[derive(Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) engines: Engines,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let Connections { log, store, registry } = Connections::open(&config)?;
    let following = app::control(&config, &log).await?;
    let log_id = following.control.log_id();
    let comparison = Comparison::new(&log, &store, log_id, Visible::of(&following.control)).await?;
    let partitions = log.partitions(topics::EVENTS).await?.unwrap_or_default();
    println!("log {}: {partitions} partitions", short(log_id));
    let mut reports = Vec::new();
    for partition in 0..partitions {
        // What is not committed yet may not be in the table yet.
        let end = log
            .committed(projections::GROUP, topics::EVENTS, partition)
            .await?
            .unwrap_or_default();
        let progress = Progress::new("comparing");
        let decoder = Decoder::new(registry.clone());
        let tell = |records| progress.tell(records, end.max(0) as u64);
        let report = comparison.partition(decoder, partition, end, &tell).await?;
        progress.end();
        println!("{}", line(&report));
        reports.push(report);
    }
    let holds = reports.iter().all(Report::holds);
    println!(
        "{}",
        if holds {
            "The table says what the log says."
        } else {
            "They differ: `trailhouse rebuild` fills the table anew."
        }
    );
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn line(report: &Report) -> String {
    let mut line = format!(
        "partition {}: {} records, {} events; missing {}, unexplained {}, held twice {}",
        report.partition, report.records, report.firsts, report.missing, report.unexplained, report.repeated
    );
    if report.unreadable > 0 {
        line += &format!("; no events {}", report.unreadable);
    }
    if report.copies > 0 {
        line += &format!("; later copies {}", report.copies);
    }
    if report.cleaned > 0 {
        line += &format!("; cleaned up {}", report.cleaned);
    }
    if !report.examples.is_empty() {
        line += &format!("; missing offsets: {:?}", report.examples);
    }
    line
}
