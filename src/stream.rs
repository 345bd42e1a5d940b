//! Events as they come, to whoever watches: resumable, without a gap and without a repetition.
//!
//! - One follower for the process (`follow`) reads the log while anybody watches. It drops later copies as every reader
//!   does, and hands each event to the [`live`] clients whose filters it satisfies, through bounded buffers.
//! - A client that begins earlier, or was too slow, is served by its `source` from the last events that are kept
//!   ([`recent`]), or from the log itself ([`history`]); then it joins the live ones at the very place where that ended.
//! - A [`session`] gives out [`frame`]s with [`cursor`]s, beats when nothing comes, and ends when its client's
//!   credential does. [`ticket`]s let browsers in.
//!
//! What was revised is shown as it stands: in what passes live, the event and then its revision; in what passed before,
//! the revision alone, where it stands in the log.

pub mod cursor;
mod follow;
pub mod frame;
pub mod history;
pub mod live;
mod matched;
pub mod passed;
pub mod reader;
pub mod recent;
mod revised;
pub mod session;
mod source;
pub mod ticket;

use std::sync::Arc;
use std::time::Duration;

use confique::Config as Confique;
use tokio_util::sync::CancellationToken;

use crate::auth::{Auth, Principal};
use crate::clock::Timestamp;
use crate::control::Control;
use crate::crypto::Key;
use crate::event::TenantId;
use crate::limit::fair::Permits;
use crate::log::decode::Decoder;
use crate::log::{Log, LogError, topics};
use crate::query::Scope;
use crate::query::filter::Filter;
use crate::store::Store;

use cursor::{Cursors, Place};
pub use frame::Frame;
use live::{Client, Live};
pub use session::{End, Next, Session};
pub use ticket::Tickets;

/// Events stand in a partition in the order in which they were received, but for what this long was on its way.
const OUT_OF_ORDER: Duration = Duration::from_secs(30);

/// Streams that look for the place of a moment at once, each with a consumer for every partition.
const SEEKING: usize = 4;
/// How long one waits for its turn to look.
const SEEKS_WITHIN: Duration = Duration::from_secs(3);

/// How streams are served.
#[derive(Clone, Debug, Confique)]
pub struct Config {
    /// Seconds without an event after which a stream says that it lives.
    #[config(default = 15)]
    pub heartbeat_seconds: u64,
    /// Events that wait for one slow client before it is cut off, told so, and served from the log.
    #[config(default = 4096)]
    pub buffer_events: usize,
    /// Events of all tenants that are kept in memory, at most 32 MiB of them: who comes back within them goes on from
    /// there, and need not read the log.
    #[config(default = 8192)]
    pub kept_events: usize,
    /// Streams that read the log from an earlier place at once; others wait for their turn, and tenants share them. Each
    /// takes some 30 MiB for each partition while it reads.
    #[config(default = 2)]
    pub catching_up_at_once: usize,
}

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what comes.
    Now,
    /// Where another one ended.
    Cursor(String),
    /// With what was received then.
    Since(Timestamp),
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The cursor is none of this question.
    #[error("not a cursor of this stream")]
    Cursor,
    /// Too many look for their place already.
    #[error("too many streams look for where they begin")]
    Busy,
    /// The log can't be asked where that is.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What every stream works with.
pub struct Parts {
    /// The log.
    pub log: Log,
    /// Reads its records.
    pub decoder: Decoder,
    /// Knows what was revised.
    pub store: Store,
    /// Knows who still counts.
    pub auth: Auth,
    /// Knows what was cleaned up.
    pub control: Control,
    /// Seals cursors.
    pub cursor_key: Key,
    live: Arc<Live>,
    catching_up: Permits,
    seeking: Permits,
    heartbeat: Duration,
    buffer: usize,
    stop: CancellationToken,
}

/// The streams of this process. Cheap to clone.
#[derive(Clone)]
pub struct Streams {
    parts: Arc<Parts>,
    /// For browsers.
    pub tickets: Arc<Tickets>,
}

impl Streams {
    /// Over the log; `stop` ends all of them. [`Streams::run`] must run.
    pub fn new(
        (log, decoder, store): (Log, Decoder, Store),
        (auth, control): (Auth, Control),
        cursor_key: Key,
        config: &Config,
        stop: CancellationToken,
    ) -> Self {
        let state = control.state();
        let partitions = state.deployment().map_or(1, |deployment| deployment.partitions);
        let parts = Parts {
            log,
            decoder,
            store,
            auth,
            control,
            cursor_key,
            live: Arc::new(Live::new(partitions as usize, config.kept_events)),
            catching_up: Permits::new(config.catching_up_at_once, Duration::MAX),
            seeking: Permits::new(SEEKING, SEEKS_WITHIN),
            heartbeat: Duration::from_secs(config.heartbeat_seconds.max(1)),
            buffer: config.buffer_events.max(1),
            stop,
        };
        Self {
            parts: Arc::new(parts),
            tickets: Arc::default(),
        }
    }

    /// Follows the log whenever somebody watches, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let parts = &self.parts;
        follow::run(parts.log.clone(), parts.decoder.clone(), parts.live.clone(), stop).await;
    }

    /// A stream of the events in a scope that satisfy a filter.
    pub async fn open(
        &self,
        principal: Principal,
        scope: Scope,
        filter: Filter,
        start: Start,
    ) -> Result<Session, StreamError> {
        let parts = &self.parts;
        let cursors = Cursors::new(&parts.cursor_key, parts.control.log_id(), &scope, &filter);
        let (place, since) = match start {
            Start::Now => (None, None),
            Start::Cursor(text) => {
                let place = cursors.open(&text, parts.live.partitions());
                (Some(place.ok_or(StreamError::Cursor)?), None)
            }
            Start::Since(at) => (Some(self.place_at(principal.tenant(), at).await?), Some(at)),
        };
        let client = Client::new(scope, filter, since, parts.buffer);
        Ok(Session::begin(parts.clone(), principal, client, cursors, place))
    }

    /// Where what was received at a moment begins, or a little before.
    async fn place_at(&self, tenant: &TenantId, at: Timestamp) -> Result<Place, StreamError> {
        let parts = &self.parts;
        let turn = parts.seeking.take(tenant).await.ok_or(StreamError::Busy)?;
        let turn = Arc::new(turn);
        let at = at.minus(OUT_OF_ORDER);
        let places = (0..parts.live.partitions()).map(|partition| {
            let runtime = tokio::runtime::Handle::current();
            let decoder = parts.decoder.clone();
            // The looking goes on when nobody waits for it any more, and so does its turn.
            let turn = turn.clone();
            let before = move |record: &crate::log::Record| {
                let _turn = &turn;
                // What is no event says at least when it was appended.
                let decoded = runtime.block_on(decoder.decode(record)).ok();
                decoded.map_or(record.appended_at, |decoded| decoded.event.received_at) < at
            };
            parts.log.first_not(topics::EVENTS, partition as i32, before)
        });
        Ok(futures_util::future::try_join_all(places).await?)
    }
}
