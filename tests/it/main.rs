//! Stories on real engines, one file each. They talk to the real program as anybody would: HTTP, Kafka, ClickHouse's
//! door and the command line. `TRAILHOUSE_TEST_LOG=kafka` tells the same stories on Apache Kafka.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a story that cannot go on ends there
#![allow(clippy::type_complexity)] // tables of cases are read, not named

mod api_document;
mod api_examples;
mod api_fuzz;
mod arrows;
mod bad_input;
mod bad_searches;
mod cleanup;
mod clickhouse_fence;
mod clickhouse_front;
mod commands;
mod control;
mod copies;
mod correlate;
mod dirty_months;
mod event_schemas;
mod examples;
mod export;
mod export_under_stress;
mod exports;
mod first_start;
mod gate;
mod import;
mod in_front;
mod kill9;
mod leaving;
mod limited_reading;
mod limits;
mod managed;
mod matching;
mod oidc;
mod operator;
mod outages;
mod partitions;
mod poison;
mod racing;
mod rebuild;
mod registry;
mod rejected;
mod revisions;
mod search;
mod secrets;
mod sessions;
mod spine;
mod sql;
mod stats;
mod strangers;
mod stream;
mod support;
mod tail;
mod takeover;
mod trail;
mod two_logs;
mod walls;
