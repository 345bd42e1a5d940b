//! Assembly: builds every part from the configuration. The only file that knows every concrete type.

mod connections;
mod door;
mod exports;
mod gauges;
mod inbox;
mod keys;
mod partitions;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::auth::Auth;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::Control;
use crate::control::first::FirstUser;
use crate::crypto::password;
use crate::engines::{self, DataDir, Engine};
use crate::event::schema;
use crate::gate::Gate;
use crate::ingest::{Ingest, Parts};
use crate::keyring::{self, Keyring};
use crate::lifecycle::Lifecycle;
use crate::limit::Limits;
use crate::limit::disk::Disk;
use crate::log::decode::Decoder;
use crate::log::framing::Framing;
use crate::log::registry::Registry;
use crate::log::{Log, topics};
use crate::projections::projector::Projector;
use crate::projections::takeover::{self, TakeOver};
use crate::projections::visible::Visible;
use crate::projections::writer::Writer;
use crate::projections::{maintenance, migrate};
use crate::query::Queries;
use crate::schemas::Schemas;
use crate::store::progress::Progress;
use crate::web::revising::Revising;
use crate::web::tls::Certificates;
use crate::web::{self, AppState, Health, Pulse, Services};

pub use connections::Connections;

/// The embedded ClickHouse's password for the user `default`, in the data directory.
pub const CLICKHOUSE_PASSWORD: &str = "clickhouse.password";

/// The environment variable with the first user's password.
pub const ADMIN_PASSWORD: &str = "TRAILHOUSE_ADMIN_PASSWORD";

/// What a server needs to be told beside its configuration.
#[derive(Default)]
pub struct Start {
    /// Password of the first user; generated when there is none.
    pub admin_password: Option<SecretString>,
    /// Master keys from the environment.
    pub master_key: Option<SecretString>,
    /// How long work may take to end after a stop.
    pub stop_within: Option<Duration>,
}

/// A server that answers.
pub struct Running {
    /// Where it answers, as a URL.
    pub url: String,
    /// The brokers it uses.
    pub brokers: String,
    /// The ClickHouse it uses.
    pub clickhouse: String,
    /// The first user, when it was made just now.
    pub first_user: Option<FirstUser>,
    /// The key file was made just now and should be backed up.
    pub new_keys: Option<PathBuf>,
    lifecycle: Lifecycle,
}

impl Running {
    /// Works until a signal, then stops in order.
    pub async fn until_stopped(self) -> anyhow::Result<()> {
        Ok(self.lifecycle.run_until_stopped().await?)
    }
}

/// How records are written: with the registry's id where there is one.
pub async fn framing(registry: Option<&Registry>) -> anyhow::Result<Framing> {
    Ok(match registry {
        None => Framing::SingleObject(schema::fingerprint()),
        Some(registry) => Framing::Confluent(registry.register(topics::EVENTS, schema::SCHEMA_JSON).await?),
    })
}

/// Control state as this instance's keys read it, followed for as long as this is held.
pub struct Following {
    /// Tenants, users and keys.
    pub control: Control,
    /// What it is read with.
    pub keyring: Keyring,
    _stopped: DropGuard,
}

/// Folds control state, for commands that need no server.
pub async fn control(config: &Config, log: &Log) -> anyhow::Result<Following> {
    let from_env = std::env::var(keyring::ENVIRONMENT).ok().map(SecretString::from);
    let keyring = keys::of_a_log(config, from_env.as_ref())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone().drop_guard();
    let partitions = log
        .partitions(topics::EVENTS)
        .await?
        .context("there is no topic audit.events: run `trailhouse migrate`")?;
    let (journal, clock) = (Arc::new(log.clone()), Arc::new(SystemClock));
    let partitions = partitions.max(0) as u32;
    let control = Control::start(journal, keyring.clone(), clock, partitions, stop).await?;
    partitions::compare(&control, partitions)?;
    Ok(Following {
        control,
        keyring,
        _stopped: stopped,
    })
}

/// The identity of the log, as control state has it.
pub async fn log_id(config: &Config, log: &Log) -> anyhow::Result<uuid::Uuid> {
    Ok(control(config, log).await?.control.log_id())
}

/// Everything that a start was given, looked at before it does anything.
fn check(config: &Config, start: &Start) -> anyhow::Result<()> {
    if let Some(problem) = config.problem() {
        anyhow::bail!(problem);
    }
    if let Some(problem) = start.admin_password.as_ref().and_then(password::problem) {
        anyhow::bail!("{ADMIN_PASSWORD}: {problem}");
    }
    if let Some(warning) = config.web.warning() {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Starts everything, and returns when it answers.
///
/// What is likely to be wrong comes first and costs nothing: the settings, the master keys, the port. The first user
/// comes last: its password is shown once, so nothing may fail between.
pub async fn start(config: Config, start: Start) -> anyhow::Result<Running> {
    check(&config, &start)?;
    let certificates = config.web.tls.files()?.map(Certificates::open).transpose()?;
    let found_keys = keys::find(&config, start.master_key.as_ref())?;
    let data = DataDir::open(&config.data_dir)?;
    let door = door::reserve(config.web.listen)?;
    let metrics = gauges::record();
    let mut lifecycle = Lifecycle::new(start.stop_within.unwrap_or(crate::lifecycle::DEADLINE));
    let (http, readers, writing) = (
        lifecycle.stage("http"),
        lifecycle.stage("readers"),
        lifecycle.stage("log"),
    );
    let (engines, home) = (lifecycle.stage("engines"), lifecycle.stage("data directory"));

    let (broker, clickhouse) = start_engines(&config, &data).await?;
    let brokers = broker.as_ref().map_or_else(
        || config.log.brokers.clone(),
        |engine| engine.listen().to_string(),
    );
    let url = match &clickhouse {
        Some(engine) => format!("http://{}", engine.listen()),
        None => config.clickhouse.url.clone().unwrap_or_default(),
    };
    let embedded = broker.is_some() || clickhouse.is_some();
    for (name, engine) in [("broker", broker), ("clickhouse", clickhouse)] {
        let Some(engine) = engine else { continue };
        gauges::follow(name, engine.status());
        engines.at_stop(name, move |_| async move {
            engine.stop().await;
            Ok(())
        });
    }

    let Connections { log, store, registry } = Connections::to(&config, brokers.clone(), url.clone())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let made = topics::ensure(&log).await.context("preparing the log's topics")?;
    if !made.is_empty() {
        tracing::info!(topics = ?made, "created");
    }
    migrate::migrate(&store)
        .await
        .context("preparing ClickHouse's tables")?;
    let framing = framing(registry.as_deref()).await?;
    let (keyring, new_keys) = match found_keys {
        Some(keyring) => (keyring, None),
        None => keys::make(&config, &log)
            .await
            .map(|(keyring, path)| (keyring, Some(path)))?,
    };

    // Control state is followed until the very end: stopping workers still ask it.
    let following = CancellationToken::new();
    let partitions = log
        .partitions(topics::EVENTS)
        .await?
        .context("there is no topic audit.events although it was just made")?
        .max(0) as u32;
    let control = Control::start(
        Arc::new(log.clone()),
        keyring.clone(),
        clock.clone(),
        partitions,
        following.clone(),
    )
    .await?;
    partitions::compare(&control, partitions)?;
    let auth = Auth::new(control.clone(), &keyring, clock.clone(), config.auth.clone());
    let limits = Arc::new(Limits::new(&config.limits));
    let progress = Progress::default();
    let ingest = Ingest::new(Parts {
        log: log.clone(),
        store: store.clone(),
        limits: limits.clone(),
        schemas: Schemas::default(),
        control: control.clone(),
        clock: clock.clone(),
        framing,
        progress: progress.clone(),
    });
    let gate = Gate::new(log.clone(), ingest.clone(), registry.clone(), &config.gate)?;
    let cursor_key = keyring
        .derive("cursor", keyring.active())
        .context("the keyring has no active key")?;
    let listener = door::open(door, config.web.listen)?;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let address = format!("{scheme}://{}", listener.local_addr()?);
    let first_user = control.first_start(start.admin_password).await?;
    inbox::warn_of_unknown_tenants(&config.gate, &control.state());

    let parts = (&log, &ingest, &control, &clock);
    let trail = watch::trail(&config.web, data.path(), parts, &readers)?;
    let streams = watch::streams(
        (log.clone(), Decoder::new(registry.clone()), store.clone()),
        (auth.clone(), control.clone()),
        (&cursor_key, &config.stream),
        (&http, &readers),
    );

    let log_id = control.log_id();
    let (decoder, told) = (Decoder::new(registry), progress.clone());
    let visible = Visible::of(&control);
    let (writes, asked) = (store.clone(), store.clone());
    let (at, settings) = (clock.clone(), config.projector.clone());
    let read = log.clone();
    readers.spawn("projector", |stop| async move {
        let writer = Writer::new(writes, log_id, at, stop.soft_token()).obeying(visible);
        let take_over = TakeOver::new(asked, log_id, writer.clone(), takeover::RANGE);
        let projector = Projector::new(read, (writer, take_over), decoder, told, settings);
        Ok(projector.run(stop.soft_token()).await?)
    });
    readers.spawn(
        "gate",
        |stop| async move { Ok(gate.run(stop.soft_token()).await?) },
    );
    let (cleaned, watched, obeyed) = (store.clone(), log.clone(), control.clone());
    readers.spawn("maintenance", |stop| async move {
        maintenance::run(cleaned, watched, obeyed, progress, stop.soft_token()).await;
        Ok(())
    });
    let flushed = log.clone();
    writing.at_stop("producer", move |_| async move {
        tokio::task::spawn_blocking(move || flushed.flush(Duration::from_secs(10))).await?;
        following.cancel();
        Ok(())
    });

    let queries = Queries::new(store.clone(), cursor_key, clock.clone(), control.clone());
    let exports = exports::of(&config.exports, &data, &control, &queries, &clock);
    let working = exports.clone();
    readers.spawn("exports", |stop| async move {
        working.run(stop.soft_token()).await;
        Ok(())
    });
    let revising = Revising::default();
    let left = revising.clone();
    http.at_stop("revisions", move |_| async move {
        left.end().await;
        Ok(())
    });
    let state = AppState::from(Services {
        ingest,
        revising,
        queries,
        exports,
        trail,
        streams,
        auth,
        limits: web::budget::Budgets::new(limits, control.clone()),
        control,
        clock,
        health: Health {
            log,
            store,
            pulse: Pulse::default(),
            metrics,
            disk: embedded.then(|| Disk::of(data.path().to_owned(), engines::disk::free_percent)),
        },
        config: config.web.clone(),
    });
    // The lock on the data directory goes last.
    home.at_stop("lock", move |_| async move {
        drop(data);
        Ok(())
    });
    let offered = certificates.as_ref().map(Certificates::offered);
    if let Some(certificates) = certificates {
        http.spawn("certificates", |stop| async move {
            certificates.follow(stop.soft_token()).await;
            Ok(())
        });
    }
    let bounds = web::server::Bounds::new(config.web.connections_max);
    http.spawn("http", move |stop| async move {
        let served = web::server::serve(listener, offered, web::router(state), bounds, stop.soft_token());
        tokio::select! {
            () = served => {}
            () = stop.hard_token().cancelled_owned() => {}
        }
        Ok(())
    });
    Ok(Running {
        url: address,
        brokers,
        clickhouse: url,
        first_user,
        new_keys,
        lifecycle,
    })
}

async fn start_engines(config: &Config, data: &DataDir) -> anyhow::Result<(Option<Engine>, Option<Engine>)> {
    let broker = async {
        match config.log.brokers.as_str() {
            "" => engines::broker::start(&config.engines, data).await.map(Some),
            _ => Ok(None),
        }
    };
    let clickhouse = async {
        match config.clickhouse.url {
            None => {
                let password = data.path().join(CLICKHOUSE_PASSWORD);
                let arguments = vec!["--password-file".into(), password.into_os_string()];
                let child = engines::clickhouse::Child {
                    program: None,
                    arguments,
                };
                engines::clickhouse::start(&config.engines, data, child)
                    .await
                    .map(Some)
            }
            Some(_) => Ok(None),
        }
    };
    Ok(tokio::try_join!(broker, clickhouse)?)
}
