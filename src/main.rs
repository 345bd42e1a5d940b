//! `trailhouse`: parse, dispatch, exit code.

use std::process::ExitCode;

use trailhouse::cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
