//! Trailhouse: an event-sourced audit-log platform.

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
pub mod gate;
pub mod ingest;
pub mod keyring;
pub mod lifecycle;
pub mod limit;
pub mod log;
pub mod meters;
pub mod projections;
pub mod query;
pub mod store;
pub mod telemetry;
pub mod web;
