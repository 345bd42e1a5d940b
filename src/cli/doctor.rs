//! `trailhouse doctor`
//!
//! Looks at everything a server needs, from the configuration to the running server itself, and changes nothing. Each
//! look ends in a [`Finding`]: well, a warning, or a problem with what to do about it. [`here`] looks at this
//! machine, [`log`] at the brokers, [`table`] at ClickHouse, [`control`] at tenants and keys.

mod control;
mod here;
mod log;
mod table;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::Global;
use super::connect::{Address, Engines};
use crate::app::Connections;
use crate::config::Config;

/// For the server's own answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Doctor {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engines: Engines,
    #[command(flatten)]
    remote: Address,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    Warning,
    Problem,
}

/// What one look found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    health: Health,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            check,
            health: Health::Ok,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn warning(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            health: Health::Warning,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn problem(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            health: Health::Problem,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = match self.health {
            Health::Ok => "ok",
            Health::Warning => "warning",
            Health::Problem => "PROBLEM",
        };
        write!(out, "{health:8} {:14} {}", self.check, self.detail)?;
        match &self.remedy {
            Some(remedy) => write!(out, "\n{:24}→ {remedy}", ""),
            None => Ok(()),
        }
    }
}

impl Doctor {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let findings = match global.quietly(&self.engines) {
            Ok(config) => {
                let mut findings = vec![here::configuration(&config, global.config.as_deref())];
                findings.extend(here::in_front(&config));
                findings.extend(look(&config).await);
                findings.push(server(&self.remote).await);
                findings
            }
            Err(error) => vec![Finding::problem(
                "configuration",
                format!("{error:#}"),
                "mend it; `trailhouse config` prints all settings",
            )],
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&findings)?);
        } else {
            findings.iter().for_each(|finding| println!("{finding}"));
        }
        let ill = findings.iter().any(|finding| finding.health == Health::Problem);
        Ok(if ill { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = here::data_dir(config);
    let (keyring, keys) = here::keys(config);
    findings.push(keys);
    findings.extend(here::engines(config));
    let connections = match Connections::open(config) {
        Ok(connections) => connections,
        Err(error) => {
            let why = format!("{error:#}");
            findings.push(Finding::problem(
                "connections",
                why,
                "then look again: the log and ClickHouse were not looked at",
            ));
            return findings;
        }
    };
    let (brokers, partitions) = log::look(&connections.log).await;
    findings.extend(brokers);
    let log_id = match (partitions, keyring) {
        (Some(partitions), Some(keyring)) => {
            let (deployment, finding) = control::look(&connections.log, keyring).await;
            findings.push(finding);
            findings.extend(deployment.and_then(|known| log::compare(partitions, known.partitions)));
            deployment.map(|known| known.log_id)
        }
        _ => None,
    };
    findings.extend(table::look(config, &connections.store, log_id).await);
    findings
}

/// What the running server says of itself.
async fn server(remote: &Address) -> Finding {
    let check = "server";
    let answer = match reqwest::Client::builder().timeout(ANSWER_WITHIN).build() {
        Ok(client) => client.get(remote.at("/readyz")).send().await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            // The reason is further down: a refused connection, or a certificate that nobody vouches for.
            let error = anyhow::Error::from(error.without_url());
            return Finding::problem(
                check,
                format!("{} does not answer: {error:#}", remote.at("")),
                "start `trailhouse serve`, or name it with --url",
            );
        }
    };
    let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap_or_default());
    let faults: Vec<String> = body["checks"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, found)| found["ok"] == false)
        .map(|(name, found)| format!("{name}: {}", found["detail"].as_str().unwrap_or("not ready")))
        .collect();
    match (status.is_success(), faults.is_empty()) {
        (true, _) => Finding::ok(check, format!("{} is ready", remote.at(""))),
        (false, true) => Finding::problem(
            check,
            format!("{} answers {status} to /readyz", remote.at("")),
            "is it a Trailhouse? --url names another",
        ),
        (false, false) => Finding::problem(
            check,
            format!("{} is not ready: {}", remote.at(""), faults.join("; ")),
            "see what the other lines say; its own log says more",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_a_remedy_another() {
        assert_eq!(
            Finding::ok("disk", "half is free").to_string(),
            "ok       disk           half is free"
        );
        let ill = Finding::problem("keys", "are gone", "bring them back").to_string();
        assert_eq!(
            ill,
            "PROBLEM  keys           are gone\n                        → bring them back"
        );
    }

    #[test]
    fn for_programs_the_words_are_lower_case() {
        let text = serde_json::to_string(&Finding::warning("a", "b", "c")).unwrap();
        assert_eq!(
            text,
            r#"{"check":"a","health":"warning","detail":"b","remedy":"c"}"#
        );
    }
}
