//! The command line: one file per command; each calls what HTTP calls too.

mod ask;
mod bench;
mod clickhouse;
mod config;
mod connect;
mod doctor;
mod export;
mod import;
mod keys;
mod migrate;
mod progress;
mod rebuild;
mod rejected;
mod search;
mod serve;
mod sql;
mod tail;
mod token;
mod user;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use toml::{Table, Value};

use connect::Engines;

use crate::config::{Config, ConfigError};
use crate::telemetry;

/// An audit-log platform: who did what, when and from where, kept in a Kafka log and searchable in ClickHouse.
#[derive(Parser)]
#[command(name = "trailhouse", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Args)]
pub(crate) struct Global {
    /// TOML file with settings; `trailhouse config` prints one with all of them
    #[arg(long, global = true, env = "TRAILHOUSE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory for keys and the embedded engines' data [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server; with no configuration, everything it needs on this machine
    Serve(serve::Serve),
    /// Log in and print a token for other commands and for curl
    Token(token::Token),
    /// Bring events and CloudTrail logs in from files
    Import(import::Import),
    /// Find events
    Search(search::Search),
    /// Write all events that are found into a file
    Export(export::Export),
    /// Create the log's topics and ClickHouse's tables, where they are missing
    Migrate(migrate::Migrate),
    /// Fill ClickHouse anew from the log, beside the serving table
    Rebuild(rebuild::Rebuild),
    /// Compare ClickHouse with the log: every event once, and nothing else
    Verify(verify::Verify),
    /// Ask the embedded ClickHouse with SQL, over documented views
    Sql(sql::Sql),
    /// Watch events as they come
    Tail(tail::Tail),
    /// What could not be taken: list it, try it again
    #[command(subcommand)]
    Rejected(rejected::Rejected),
    /// Users, for an operator who has lost the way in
    #[command(subcommand)]
    User(user::User),
    /// The master keys: add one, make one the active one
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Look at everything a server needs: what is wrong, what to do
    Doctor(doctor::Doctor),
    /// Measure a running server: rates, latencies, memory, disk
    Bench(bench::Bench),
    /// Print all settings with their defaults and what they mean
    Config,
    /// Run the embedded ClickHouse alone
    Clickhouse(clickhouse::Clickhouse),
}

/// Runs the program.
pub fn run() -> ExitCode {
    let cli = Cli::from_arg_matches(&known().get_matches()).unwrap_or_else(|error| error.exit());
    if !matches!(cli.command, Command::Serve(_) | Command::Clickhouse(_)) {
        end_with_the_reader();
    }
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("trailhouse: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Commands that ask a server over HTTP, which has its own settings.
const REMOTE: [&str; 5] = ["token", "import", "search", "export", "tail"];

/// All commands; where settings mean nothing, help does not offer them.
fn known() -> clap::Command {
    let hidden = |id: &'static str, long: &'static str| {
        let value = clap::value_parser!(PathBuf);
        clap::Arg::new(id).long(long).value_parser(value).hide(true)
    };
    REMOTE.into_iter().fold(Cli::command(), |command, remote| {
        command.mut_subcommand(remote, |command| {
            command.args([hidden("config", "config"), hidden("data_dir", "data-dir")])
        })
    })
}

/// A command whose reader has gone (`trailhouse config | head -1`) ends without a word, as others do by SIGPIPE. That
/// signal itself could come of a socket as well, so it stays ignored, and what `println!` makes of it is caught.
fn end_with_the_reader() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let gone = |why: &str| why.starts_with("failed printing to std") && why.contains("Broken pipe");
        if panic.payload_as_str().is_some_and(gone) {
            std::process::exit(128 + nix::libc::SIGPIPE);
        }
        before(panic);
    }));
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    match cli.command {
        Command::Config => config::print(),
        Command::Clickhouse(command) => on_runtime(command.run()),
        Command::Serve(command) => {
            let config = global.load(command.flags())?;
            telemetry::init(&config.telemetry)?;
            on_runtime(command.run(config))
        }
        Command::Token(command) => on_runtime(command.run()),
        Command::Tail(command) => on_runtime(command.run()),
        Command::Import(command) => on_runtime(command.run()),
        Command::Search(command) => on_runtime(command.run()),
        Command::Export(command) => on_runtime(command.run()),
        Command::Doctor(command) => on_runtime(command.run(global)),
        Command::Bench(command) => on_runtime(command.run(global.load(Table::new())?.data_dir)),
        Command::Migrate(command) => on_runtime(migrate::run(global.quietly(&command.engines)?)),
        Command::Rebuild(command) => {
            let config = global.quietly(&command.engines)?;
            on_runtime(command.run(config))
        }
        Command::Sql(command) => {
            let config = global.quietly(&command.engines)?;
            on_runtime(command.run(config))
        }
        Command::Verify(command) => on_runtime(verify::run(global.quietly(&command.engines)?)),
        Command::User(command) => {
            let config = global.quietly(command.engines())?;
            on_runtime(command.run(config))
        }
        Command::Keys(command) => command.run(&global.load(Table::new())?),
        Command::Rejected(command) => {
            let config = global.quietly(command.engines())?;
            on_runtime(command.run(config))
        }
    }
}

/// Work that is still stuck in another library when a command has ended is waited for no longer than this: a consumer
/// whose brokers are gone never closes.
const LET_GO_AFTER: Duration = Duration::from_secs(5);

fn on_runtime(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LET_GO_AFTER);
    done
}

impl Global {
    /// The configuration, with a command's own flags on top.
    fn load(&self, mut flags: Table) -> Result<Config, ConfigError> {
        if let Some(dir) = &self.data_dir {
            flags.insert("data_dir".into(), Value::String(dir.display().to_string()));
        }
        Config::load(self.config.as_deref(), std::env::vars(), flags)
    }

    /// The same, for commands whose output is an answer: they log warnings only.
    fn quietly(&self, engines: &Engines) -> anyhow::Result<Config> {
        let mut config = self.load(engines.flags())?;
        if let Some(rest) = config.telemetry.filter.strip_prefix("info,") {
            config.telemetry.filter = format!("warn,{rest}");
        }
        telemetry::init(&config.telemetry)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        known().debug_assert();
    }

    #[test]
    fn help_offers_what_means_something() {
        for remote in REMOTE {
            let mut all = known();
            all.build();
            let help = all
                .find_subcommand_mut(remote)
                .unwrap()
                .render_long_help()
                .to_string();
            assert!(
                !help.contains("--config") && !help.contains("--data-dir"),
                "{remote}: {help}"
            );
            assert_eq!(help.contains("--token"), remote != "token", "{help}");
            assert!(help.contains("--url"), "{help}");
        }
        for line in [
            "trailhouse --data-dir x search a=b",
            "trailhouse search --data-dir x a=b",
        ] {
            let matches = known().try_get_matches_from(line.split(' '));
            assert!(
                matches.is_ok_and(|found| Cli::from_arg_matches(&found).is_ok()),
                "{line}"
            );
        }
    }
}
