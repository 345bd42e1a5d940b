//! ClickHouse: whether it answers, what it holds, and how an operator reaches it.

use std::collections::HashSet;

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::Finding;
use crate::app::CLICKHOUSE_PASSWORD;
use crate::config::Config;
use crate::projections::migrate::EVENTS;
use crate::store::statement::Statement;
use crate::store::{Store, StoreError};

/// The first version with the text indexes that the tables use.
const VERSION_MIN: (u32, u32) = (26, 2);

/// A text of one row.
#[derive(Deserialize, Row)]
struct Text {
    text: String,
}

pub(super) async fn look(config: &Config, store: &Store, log_id: Option<Uuid>) -> Vec<Finding> {
    let check = "clickhouse";
    let mut findings = Vec::new();
    match texts(store, "SELECT version() AS text").await {
        Err(error) => {
            let remedy = match config.clickhouse.url {
                None => "start `trailhouse serve`, which starts the embedded ClickHouse",
                Some(_) => "start it, or mend clickhouse.url, user and password; events are taken meanwhile",
            };
            return vec![Finding::problem(check, error.to_string(), remedy)];
        }
        Ok(version) => findings.push(version_of(version.first().map_or("", String::as_str))),
    }
    findings.extend(door(config));
    findings.push(match tables(store, log_id).await {
        Ok(finding) => finding,
        Err(error) => Finding::problem("tables", error.to_string(), "`trailhouse migrate`"),
    });
    findings
}

fn version_of(version: &str) -> Finding {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(major), Some(minor)) if (major, minor) < VERSION_MIN => {
            let (major, minor) = VERSION_MIN;
            Finding::problem(
                "clickhouse",
                format!("version {version}"),
                format!("it needs {major}.{minor} or later"),
            )
        }
        _ => Finding::ok("clickhouse", format!("version {version} answers")),
    }
}

/// How an operator reaches the embedded one.
fn door(config: &Config) -> Option<Finding> {
    if config.clickhouse.url.is_some() {
        return None;
    }
    let password = config.data_dir.join(CLICKHOUSE_PASSWORD);
    let detail = format!(
        "http://{}, user default, password in {}",
        config.engines.clickhouse_listen,
        password.display()
    );
    Some(Finding::ok("its door", detail))
}

async fn tables(store: &Store, log_id: Option<Uuid>) -> Result<Finding, StoreError> {
    let check = "tables";
    let there: HashSet<_> = texts(
        store,
        "SELECT name AS text FROM system.tables WHERE database = currentDatabase()",
    )
    .await?
    .into_iter()
    .collect();
    if let Some(missing) = [EVENTS, "dirty_months"]
        .into_iter()
        .find(|table| !there.contains(*table))
    {
        return Ok(Finding::problem(
            check,
            format!("{missing} is missing"),
            "`trailhouse migrate`",
        ));
    }
    let Some(log_id) = log_id else {
        return Ok(Finding::ok(check, "all there"));
    };
    let (rows, others) = (
        store.count(EVENTS, log_id).await?,
        store.rows_of_other_logs(EVENTS, log_id).await?,
    );
    if others > 0 {
        return Ok(Finding::warning(
            check,
            format!("{rows} rows of this log, {others} of others"),
            "if the other log is gone for good: `trailhouse rebuild --discard-other-logs`",
        ));
    }
    let dirty = store.dirty_months().await?;
    Ok(match dirty.is_empty() {
        true => Finding::ok(check, format!("{rows} rows; no month is dirty")),
        false => Finding::warning(
            check,
            format!("{rows} rows; months {dirty:?} may hold rows twice: searches are right and slower there"),
            "nothing: the server cleans them by itself; if they stay, its log says why",
        ),
    })
}

async fn texts(store: &Store, sql: &'static str) -> Result<Vec<String>, StoreError> {
    let mut statement = Statement::new();
    statement.push(sql);
    Ok(store
        .rows::<Text>(&statement)
        .await?
        .into_iter()
        .map(|row| row.text)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Health;

    #[test]
    fn an_old_clickhouse_is_a_problem() {
        for (version, health) in [
            ("26.5.1.1", Health::Ok),
            ("26.1.9", Health::Problem),
            ("25.12", Health::Problem),
            ("dev", Health::Ok),
        ] {
            assert_eq!(version_of(version).health, health, "{version}");
        }
    }
}
