//! Who watches the log, and the record of who watches: the streams and the trail, with what runs for them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;
use crate::clock::Clock;
use crate::control::Control;
use crate::crypto::Key;
use crate::ingest::Ingest;
use crate::lifecycle::Stage;
use crate::log::Log;
use crate::log::decode::Decoder;
use crate::store::Store;
use crate::stream::{Config, Streams};
use crate::trail::Trail;
use crate::trail::commands::Commands;
use crate::web;

/// The record of reads and of changes of control state.
pub(super) fn trail(
    config: &web::Config,
    data_dir: &Path,
    (log, ingest, control, clock): (&Log, &Ingest, &Control, &Arc<dyn Clock>),
    readers: &Stage,
) -> anyhow::Result<Trail> {
    let trail = Trail::open(
        ingest.clone(),
        clock.clone(),
        data_dir,
        config.reads_spool_bytes,
        config.record_reads,
    )
    .context("the spool of reads can't be opened")?;
    let draining = trail.clone();
    readers.spawn("trail", |stop| async move {
        draining.run(stop.soft_token()).await;
        Ok(())
    });
    if config.record_reads {
        let commands = Commands::new(log.clone(), control.clone(), ingest.clone(), clock.clone());
        readers.spawn("control events", |stop| async move {
            Ok(commands.run(stop.soft_token()).await?)
        });
    }
    Ok(trail)
}

/// The streams.
pub(super) fn streams(
    read: (Log, Decoder, Store),
    asked: (Auth, Control),
    (cursor_key, config): (&Key, &Config),
    (http, readers): (&Stage, &Stage),
) -> Streams {
    let ending = CancellationToken::new();
    let streams = Streams::new(read, asked, cursor_key.clone(), config, ending.clone());
    let followed = streams.clone();
    readers.spawn("stream", |stop| async move {
        followed.run(stop.soft_token()).await;
        Ok(())
    });
    // Else the connections of those who watch would never end.
    http.at_stop("streams", move |_| async move {
        ending.cancel();
        Ok(())
    });
    streams
}
