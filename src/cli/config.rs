//! `trailhouse config`

use std::process::ExitCode;

use crate::config::Config;

pub(crate) fn print() -> anyhow::Result<ExitCode> {
    print!("{}", Config::template());
    Ok(ExitCode::SUCCESS)
}
