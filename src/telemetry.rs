//! Structured logs on standard error, for people or for machines.
//!
//! Standard output belongs to commands and their answers, so that `trailhouse rejected list | jq` works
//! whatever is logged. What librdkafka says arrives here too, under the target `librdkafka`.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One readable line.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// The section `telemetry` of the configuration.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// `human` for a terminal, `json` for a log collector.
    #[config(default = "human")]
    pub format: Format,

    /// What is logged: a level, or levels by module, such as `info,trailhouse::ingest=debug`. `RUST_LOG`, where
    /// set, counts instead.
    #[config(default = "info,librdkafka=off,rdkafka=off")]
    pub filter: String,
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("telemetry.filter (or RUST_LOG) {filter:?} is no log filter: {why}; try \"info\"")]
    Filter {
        /// The text that was given.
        filter: String,
        /// What is wrong with it.
        why: String,
    },
    /// A subscriber is in place already.
    #[error("logging is already set up in this process")]
    Twice,
}

/// Sets the process's log up. Call it once, before anything is logged.
pub fn init(config: &Config) -> Result<(), TelemetryError> {
    let filter = filter(config, std::env::var("RUST_LOG").ok())?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    let subscriber = tracing_subscriber::registry().with(filter);
    match config.format {
        Format::Human => subscriber.with(lines.with_ansi(is_terminal())).try_init(),
        Format::Json => subscriber.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(|_| TelemetryError::Twice)
}

fn filter(config: &Config, from_env: Option<String>) -> Result<EnvFilter, TelemetryError> {
    let text = from_env
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| config.filter.clone());
    EnvFilter::try_new(&text).map_err(|error| TelemetryError::Filter {
        filter: text,
        why: error.to_string(),
    })
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(filter: &str) -> Config {
        Config {
            format: Format::Human,
            filter: filter.to_owned(),
        }
    }

    #[test]
    fn the_environment_counts_before_the_configuration() {
        let chosen = filter(&config("info"), Some("warn,trailhouse=debug".to_owned())).unwrap();
        assert_eq!(chosen.to_string(), "trailhouse=debug,warn");
        assert_eq!(
            filter(&config("info"), Some(String::new())).unwrap().to_string(),
            "info"
        );
    }

    #[test]
    fn a_filter_that_does_not_parse_is_named() {
        let error = filter(&config("info,trailhouse=loud"), None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("trailhouse=loud") && error.contains("try"),
            "{error}"
        );
    }
}
