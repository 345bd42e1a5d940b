//! What outside systems look like, and how their records become events.
//!
//! Each system has a folder under `connectors/` at the top of the repository (what it is, how access is granted,
//! samples beside the events they become) and a file of the same name here: a pure mapping, so that a record gives
//! the same event and the same id whichever way it comes in.

pub mod aws_cloudtrail;
