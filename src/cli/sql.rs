//! `trailhouse sql`
//!
//! One SELECT over the views of `projections/0005_views.sql`, by the embedded ClickHouse's read-only user. Who can run
//! it can read the data directory, and so every tenant's events; that it was run is an event like any other read, in the
//! log before the answer comes.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::connect::Engines;
use crate::app::{self, Connections};
use crate::auth::Principal;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::event::TenantId;
use crate::ingest::{Ingest, Parts};
use crate::limit::Limits;
use crate::store::progress::Progress;
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};

/// The read-only user's password, in the data directory of a server.
const PASSWORD: &str = "clickhouse/clickhouse.readonly.password";

#[derive(Args)]
pub(crate) struct Sql {
    /// One SELECT: `SELECT count() FROM v1_events`
    statement: String,
    /// How rows are printed; a FORMAT in the statement comes first
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    pub(crate) engines: Engines,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A table for people: its first rows
    Table,
    /// CSV with a line of names
    Csv,
    /// One JSON object a line
    Json,
}

impl Format {
    const fn of_clickhouse(self) -> &'static str {
        match self {
            Self::Table => "PrettyCompactNoEscapesMonoBlock",
            Self::Csv => "CSVWithNames",
            Self::Json => "JSONEachRow",
        }
    }
}

impl Sql {
    pub(crate) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            config.clickhouse.url.is_none(),
            "this opens the embedded ClickHouse. Yours, at clickhouse.url, is asked with its own client, as a user of its own: \
             projections/access.sql makes one"
        );
        let path = config.data_dir.join(PASSWORD);
        let password = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "the read-only user's password is not at {}: name the --data-dir of a running server",
                path.display()
            )
        })?;
        record(&config, &self.statement).await?;
        let url = format!("http://{}/", config.engines.clickhouse_listen);
        let asked = reqwest::Client::builder()
            .no_proxy()
            .build()?
            .post(&url)
            .query(&[
                ("database", config.clickhouse.database.as_str()),
                ("default_format", self.format.of_clickhouse()),
            ])
            .header("X-ClickHouse-User", "readonly")
            .header("X-ClickHouse-Key", password.trim())
            .body(self.statement);
        let mut answer = asked
            .send()
            .await
            .with_context(|| format!("no ClickHouse answers at {url}: is the server running?"))?;
        if !answer.status().is_success() {
            anyhow::bail!("{}", answer.text().await?.trim());
        }
        let mut out = std::io::stdout().lock();
        while let Some(chunk) = answer.chunk().await.context("the answer ended early")? {
            if let Err(error) = out.write_all(&chunk).and_then(|()| out.flush()) {
                // Its reader has seen enough.
                anyhow::ensure!(error.kind() == std::io::ErrorKind::BrokenPipe, error);
                break;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes down what is asked, before it is.
async fn record(config: &Config, statement: &str) -> anyhow::Result<()> {
    let Connections { log, store, registry } = Connections::open(config)?;
    let following = app::control(config, &log).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::current())
        .ok()
        .flatten();
    let user = user.map_or_else(|| nix::unistd::Uid::current().to_string(), |user| user.name);
    let principal = Principal::system(TenantId::default_tenant(), &user);
    let occasion = Occasion {
        user_agent: Some("trailhouse sql".to_owned()),
        ..Occasion::default()
    };
    let reading = Reading::with(Kind::Sql, None, json!({"sql": statement}));
    let event = reading.event(&principal, &occasion, clock.now(), clock.fresh_id());
    let ingest = Ingest::new(Parts {
        framing: app::framing(registry.as_deref()).await?,
        limits: Arc::new(Limits::new(&config.limits)),
        schemas: crate::schemas::Schemas::default(),
        control: following.control.clone(),
        progress: Progress::default(),
        clock,
        log,
        store,
    });
    let recorded = ingest.record(std::slice::from_ref(&event)).await;
    recorded.context("the query was not recorded, and so not run")
}
