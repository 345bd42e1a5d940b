//! Trailhouse: an event-sourced audit-log platform.
//!
//! # The path of an event
//!
//! Somebody renames a document, and an application tells Trailhouse: `POST /api/v1/logs`.
//!
//! 1. **The door.** The request passes the layers of [`web::middleware`] (an id, a count), then the check of its
//!    route ([`web::routes`]): [`auth`] turns the credential into a [`Principal`](auth::Principal), by what
//!    [`control`] knows at this moment. Then there must be room for its body. The handler hands the body to [`ingest`], as do the reader of the inbox
//!    ([`gate`]) and, over HTTP, `trailhouse import`. There is no second way in.
//! 2. **From bytes to an event.** [`ingest`] asks [`limit`] whether the tenant may write that much now. Then
//!    [`event::draft`] reads the body: `event::json` walks it with its bounds, `event::shapes` knows the forms in
//!    which events come, `event::draft` holds the rules and says everything that is wrong at once, and
//!    [`event::id`] gives the event its id: the client's, one derived from the client's, or a fresh one.
//! 3. **Into the log.** [`event::schema`] writes the event as Avro, [`log::framing`] puts the schema's name in
//!    front, and [`log`] appends it to `audit.events` under its id. When every in-sync replica has it, and not
//!    before, the client is answered 201.
//! 4. **Out of the log.** The [`projections`] read `audit.events` as a consumer group. [`log::seen`] tells first
//!    copies from later ones; rows are gathered by month and inserted; only then are the offsets committed. A
//!    crash at any point repeats work and loses none.
//! 5. **A row.** [`store`] knows the table: `store::row` makes a row of an event and an event of a row.
//!    `GET /api/v1/logs?user_id=ada` comes through the same door; [`query`] reads the parameters, fences them to
//!    what the principal may see, and asks the table.
//!
//! The log is the truth and the only thing that writers and readers share. What is in ClickHouse can be dropped and
//! filled again (`projections::rebuild`); what is in memory is folded from the log again at every start.
//!
//! # The modules, in reading order
//!
//! Words, without IO: time and chance are passed in.
//! - [`clock`]: moments, in microseconds, and fresh ids.
//! - [`crypto`]: digests, passwords, sealing, and secrets that nobody prints by mistake.
//! - [`meters`]: every metric, named once.
//! - [`event`]: what an event is, in which forms it comes, and how it is written.
//!
//! The two things outside.
//! - [`log`]: appending to Kafka and reading it, topics, the seen window, dead letters.
//! - [`store`]: ClickHouse, its tables and rows.
//!
//! Trust.
//! - [`keyring`]: the master keys, and the keys derived from them.
//! - [`control`]: tenants, users and API keys, folded from a topic.
//! - [`auth`]: from a credential to a principal.
//! - [`limit`]: how much anybody may do.
//! - [`schemas`]: what tenants ask of events of a type.
//!
//! The way in and the way out.
//! - [`ingest`]: the one door.
//! - [`gate`]: the reader of `audit.inbox`, for producers that write to Kafka.
//! - [`projections`]: the reader of `audit.events` that fills the table.
//! - [`trail`]: who read what and who changed what, as events of the server's own.
//! - [`connectors`]: what records of outside systems become, as pure functions.
//! - [`query`]: the filter language; pages of events, numbers about them, and files of them.
//! - [`exports`]: background exports.
//! - [`stream`]: events as they come, to whoever watches.
//! - [`web`]: HTTP, translated into calls of the above.
//!
//! Assembly.
//! - [`engines`]: the embedded broker and ClickHouse as children of this process.
//! - [`chdb`]: that ClickHouse: the real engine as a library behind ClickHouse's HTTP interface.
//! - [`lifecycle`]: stopping in two steps, stage by stage.
//! - [`telemetry`]: this program's own log.
//! - [`config`]: all settings, from file, environment and flags.
//! - [`app`]: builds every part and connects them.
//! - [`cli`]: the commands.
//!
//! # Arrows
//!
//! Imports point up this list, towards what comes earlier, and never between siblings: readers of the log know
//! nothing of one another, and one that wants another's attention appends a record. `tests/it/arrows.rs` holds the
//! order in full and fails when an import breaks it.

pub mod app;
pub mod auth;
pub mod chdb;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connectors;
pub mod control;
pub mod crypto;
pub mod engines;
pub mod event;
pub mod exports;
pub mod gate;
pub mod ingest;
pub mod keyring;
pub mod lifecycle;
pub mod limit;
pub mod log;
pub mod meters;
pub mod projections;
pub mod query;
pub mod schemas;
pub mod store;
pub mod stream;
pub mod telemetry;
pub mod trail;
pub mod web;
