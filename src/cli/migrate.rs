//! `trailhouse migrate`

use std::process::ExitCode;

use clap::Args;

use super::connect::Engines;
use crate::app::Connections;
use crate::config::Config;
use crate::log::topics;
use crate::projections::migrate;

#[derive(Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    pub(crate) engines: Engines,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let Connections { log, store, .. } = Connections::open(&config)?;
    let made = topics::ensure(&log).await?;
    println!(
        "topics   {}",
        if made.is_empty() {
            "all there".to_owned()
        } else {
            format!("created {}", made.join(", "))
        }
    );
    migrate::migrate(&store).await?;
    for migration in migrate::ALL {
        println!("applied  {}", migration.name);
    }
    Ok(ExitCode::SUCCESS)
}
