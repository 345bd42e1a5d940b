//! The configuration: a list of every module's own section, and how they are read.
//!
//! Later sources win: the defaults in the sections, a TOML file, environment variables `TRAILHOUSE_SECTION__KEY`,
//! flags. A key that no section has is an error, wherever it stands, because a typo must not pass for a setting.

mod fit;

use std::path::{Path, PathBuf};

use confique::Config as Confique;
use confique::meta::{FieldKind, Meta};
use serde::Deserialize;
use toml::{Table, Value};

/// Everything that can be set.
#[derive(Clone, Debug, Confique)]
pub struct Config {
    /// Where this instance keeps what is its own: keys, the embedded engines' data, their logs.
    #[config(default = "data")]
    pub data_dir: PathBuf,
    /// The HTTP door.
    #[config(nested)]
    pub web: crate::web::Config,
    /// The Kafka-compatible log.
    #[config(nested)]
    pub log: crate::log::Config,
    /// ClickHouse.
    #[config(nested)]
    pub clickhouse: crate::store::Config,
    /// The embedded engines.
    #[config(nested)]
    pub engines: crate::engines::Config,
    /// Credentials.
    #[config(nested)]
    pub auth: crate::auth::Config,
    /// Rates.
    #[config(nested)]
    pub limits: crate::limit::Config,
    /// From the log into ClickHouse.
    #[config(nested)]
    pub projector: crate::projections::Config,
    /// Producers that write to Kafka directly.
    #[config(nested)]
    pub gate: crate::gate::Config,
    /// Background exports.
    #[config(nested)]
    pub exports: crate::exports::Config,
    /// Events as they come.
    #[config(nested)]
    pub stream: crate::stream::Config,
    /// This program's own log.
    #[config(nested)]
    pub telemetry: crate::telemetry::Config,
}

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file {path} can't be read: {cause}")]
    File {
        /// Which.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// A source is not what it must be.
    #[error("{place}: {reason}")]
    Malformed {
        /// The file, or the variable.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A key that no section has.
    #[error("{place}: there is no setting `{key}`; `trailhouse config` lists them all")]
    Unknown {
        /// The file, or the variable.
        place: String,
        /// Section and key.
        key: String,
    },
}

/// Variables of this prefix with a double underscore are settings.
const PREFIX: &str = "TRAILHOUSE_";
/// Settings without a section have no double underscore.
const TOP_LEVEL: [(&str, &str); 1] = [("TRAILHOUSE_DATA_DIR", "data_dir")];

impl Config {
    /// Reads all sources. `flags` are settings from the command line, by section and key.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: Table,
    ) -> Result<Self, ConfigError> {
        let mut all = Table::new();
        if let Some(path) = file {
            let place = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::File {
                path: place.clone(),
                cause,
            })?;
            let table = text
                .parse::<Table>()
                .map_err(|error| malformed(&place, &error.message()))?;
            check(&place, &table)?;
            fit::check(&place, &table)?;
            overlay(&mut all, table);
        }
        for (name, value) in env {
            if let Some(table) = from_variable(&name, &value)? {
                overlay(&mut all, table);
            }
        }
        overlay(&mut all, flags);
        let layer = layer(all).map_err(|error| malformed("the configuration", &error))?;
        Self::builder()
            .preloaded(layer)
            .load()
            .map_err(|error| malformed("the configuration", &error))
    }

    /// A sentence when no server can work with these settings.
    pub fn problem(&self) -> Option<String> {
        let problem = self.web.problem().or_else(|| self.log.problem());
        problem
            .or_else(|| self.projector.problem())
            .or_else(|| self.auth.oidc.problem())
    }

    /// All settings with their defaults and what they mean, as a TOML file.
    pub fn template() -> String {
        confique::toml::template::<Self>(confique::toml::FormatOptions::default())
    }
}

type Layer = <Config as Confique>::Layer;

fn layer(table: Table) -> Result<Layer, toml::de::Error> {
    Layer::deserialize(Value::Table(table))
}

fn malformed(place: &str, reason: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::Malformed {
        place: place.to_owned(),
        reason: reason.to_string(),
    }
}

/// The setting that an environment variable stands for; `None` when it is none of ours.
fn from_variable(name: &str, value: &str) -> Result<Option<Table>, ConfigError> {
    let path: Vec<String> = match TOP_LEVEL.iter().find(|(variable, _)| *variable == name) {
        Some((_, key)) => vec![(*key).to_owned()],
        None => match name.strip_prefix(PREFIX).filter(|rest| rest.contains("__")) {
            Some(rest) => rest.split("__").map(str::to_lowercase).collect(),
            None => return Ok(None),
        },
    };
    let nested = |value: Value| {
        path.iter().rev().fold(value, |inner, key| {
            Value::Table(Table::from_iter([(key.clone(), inner)]))
        })
    };
    let as_table = |value| match nested(value) {
        Value::Table(table) => table,
        _ => Table::new(),
    };
    // A number for a number, and a text of digits for a text: what fits the setting counts.
    let literal = format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"));
    let readings = literal.into_iter().chain([Value::String(value.to_owned())]);
    let mut unfit = None;
    for reading in readings {
        let table = as_table(reading);
        check(name, &table)?;
        match fit::check(name, &table) {
            Ok(()) => return Ok(Some(table)),
            Err(error) => unfit = unfit.or(Some(error)),
        }
    }
    unfit.map_or(Ok(None), Err)
}

/// Puts `upper` over `lower`, section by section.
fn overlay(lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

fn check(place: &str, table: &Table) -> Result<(), ConfigError> {
    match unknown(&Config::META, table) {
        None => Ok(()),
        Some(key) => Err(ConfigError::Unknown {
            place: place.to_owned(),
            key,
        }),
    }
}

/// The first key that the sections don't have.
fn unknown(meta: &Meta, table: &Table) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        match (
            meta.fields
                .iter()
                .find(|field| field.name == key)
                .map(|field| field.kind),
            value,
        ) {
            (None, _) => Some(key.clone()),
            (Some(FieldKind::Nested { meta }), Value::Table(inner)) => {
                unknown(meta, inner).map(|rest| format!("{key}.{rest}"))
            }
            (Some(_), _) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut on_disk = tempfile::NamedTempFile::new().unwrap();
        on_disk.write_all(file.as_bytes()).unwrap();
        let env = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(Some(on_disk.path()), env, Table::new())
    }

    #[test]
    fn later_sources_win() {
        let config = load(
            "[log]\npartitions = 3\nbrokers = \"a:1\"",
            &[("TRAILHOUSE_LOG__PARTITIONS", "5")],
        )
        .unwrap();
        assert_eq!(config.log.partitions, Some(5));
        assert_eq!(config.log.brokers, "a:1");
        assert_eq!(config.data_dir, PathBuf::from("data"));
    }

    #[test]
    fn a_typo_is_named_wherever_it_stands() {
        let error = load("[log]\nbroker = \"a:1\"", &[]).unwrap_err().to_string();
        assert!(error.contains("log.broker"), "{error}");
        let error = load("", &[("TRAILHOUSE_LOG__PARTITION", "5")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("TRAILHOUSE_LOG__PARTITION") && error.contains("log.partition"),
            "{error}"
        );
    }

    #[test]
    fn digits_can_be_a_password_and_a_password_is_not_shown() {
        let config = load("", &[("TRAILHOUSE_CLICKHOUSE__PASSWORD", "123456")]).unwrap();
        use secrecy::ExposeSecret;
        assert_eq!(
            config.clickhouse.password.as_ref().unwrap().expose_secret(),
            "123456"
        );
        assert!(!format!("{config:?}").contains("123456"));
    }

    #[test]
    fn a_value_that_does_not_fit_names_the_variable_and_not_the_value() {
        let error = load("", &[("TRAILHOUSE_LOG__PARTITIONS", "s3cret")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("TRAILHOUSE_LOG__PARTITIONS") && !error.contains("s3cret"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_with_its_place_and_what_would_fit() {
        for (file, key, wants) in [
            (
                "[clickhouse]\nsearches_at_once = 0",
                "clickhouse.searches_at_once",
                "a whole number from 1 on",
            ),
            (
                "[log]\nreplication = \"s3cret\"",
                "log.replication",
                "a whole number",
            ),
            ("[web]\nbehind_proxy = 7", "web.behind_proxy", "true or false"),
            (
                "[web]\nlisten = \"s3cret\"",
                "web.listen",
                "an address with a port",
            ),
            (
                "[gate]\nallow_tenants = \"s3cret\"",
                "gate.allow_tenants",
                "a list",
            ),
            ("log = 3", "log", "a section"),
        ] {
            let error = load(file, &[]).unwrap_err().to_string();
            assert!(
                error.contains(&format!("the value of {key} ")) && error.contains(wants),
                "{error}"
            );
            assert!(
                error.starts_with('/') && !error.contains("usize") && !error.contains("s3cret"),
                "{error}"
            );
        }
        let error = load("", &[("TRAILHOUSE_CLICKHOUSE__SEARCHES_AT_ONCE", "0")]).unwrap_err();
        assert!(
            error.to_string().ends_with("expected a whole number from 1 on"),
            "{error}"
        );
    }

    #[test]
    fn a_log_needs_a_replica_and_a_partition() {
        for (setting, problem) in [
            ("replication = 0", "log.replication is 0"),
            ("partitions = -1", "log.partitions is -1"),
        ] {
            let config = load(&format!("[log]\n{setting}"), &[]).unwrap();
            assert!(config.problem().unwrap().contains(problem));
        }
        assert_eq!(load("", &[]).unwrap().problem(), None);
    }

    #[test]
    fn the_template_is_a_configuration_of_defaults() {
        let template = Config::template();
        // Prose has a space behind its sign; what has no default stands without a value.
        let uncommented: String = template
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with([' ', '#']) => setting,
                _ => line,
            })
            .filter(|line| !line.trim_end().ends_with('='))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(uncommented.contains("\nbatch_every_ms = "), "{uncommented}");
        let of_template = load(&uncommented, &[]).unwrap();
        assert_eq!(
            format!("{of_template:?}"),
            format!("{:?}", load("", &[]).unwrap())
        );
    }
}
