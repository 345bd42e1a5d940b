//! `trailhouse rebuild`

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::connect::Engines;
use super::progress::Progress;
use crate::app::{self, Connections};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::log::decode::Decoder;
use crate::projections;
use crate::projections::visible::Visible;
use crate::projections::writer::Writer;

#[derive(Args)]
pub(crate) struct Rebuild {
    /// Go on although rows of other logs would be lost
    #[arg(long)]
    discard_other_logs: bool,
    /// Discard what another rebuild has made: for one that was killed
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub(crate) engines: Engines,
}

impl Rebuild {
    pub(crate) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let Connections { log, store, registry } = Connections::open(&config)?;
        let following = app::control(&config, &log).await?;
        let log_id = following.control.log_id();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let stop = CancellationToken::new();
        let signature = signature(clock.as_ref());
        let writer = Writer::new(store.clone(), log_id, clock, stop.clone());
        let writer = writer.obeying(Visible::of(&following.control));
        let decoder = Decoder::new(registry);
        let rebuild = projections::rebuild::Rebuild {
            log,
            store,
            writer,
            decoder,
            log_id,
            discard_other_logs: self.discard_other_logs,
            force: self.force,
            signature,
        };
        let progress = Progress::new("reading the log");
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.cancel();
            }
        });
        let done = rebuild.run(&|read, total| progress.tell(read, total)).await;
        progress.end();
        let done = done?;
        println!(
            "{} rows serve now; in audit.rejected are {} records that ClickHouse refuses and {} that are no events",
            done.rows, done.refused, done.unreadable
        );
        if !done.examples.is_empty() {
            println!("what ClickHouse refuses, where it stands in the log:");
        }
        for refused in &done.examples {
            println!("  {refused}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a rebuild says of itself to another one.
fn signature(clock: &dyn Clock) -> String {
    format!("begun at {} as {}", clock.now(), clock.fresh_id())
}

/// Names a log in outputs.
pub(crate) fn short(log_id: Uuid) -> String {
    log_id.to_string()
}
