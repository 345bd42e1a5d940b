//! What belongs to one engine in the data directory.

use std::io;
use std::path::PathBuf;

use super::EngineError;
use super::disk::DataDir;

/// The places of an engine.
pub(super) struct Home {
    /// Its data.
    pub dir: PathBuf,
    /// What it prints.
    pub log: PathBuf,
    /// Who it is while it runs.
    pub pid_file: PathBuf,
}

impl Home {
    /// Makes the directories of the engine that is called `name` there.
    pub fn of(engine: &'static str, name: &str, data: &DataDir) -> Result<Self, EngineError> {
        let logs = data
            .inside("log")
            .map_err(failed(engine, "make its log directory"))?;
        Ok(Self {
            dir: data.inside(name).map_err(failed(engine, "make its directory"))?,
            log: logs.join(format!("{name}.log")),
            pid_file: data.path().join(format!("{name}.pid")),
        })
    }
}

/// The system refused what an engine needs.
pub(super) fn failed(engine: &'static str, act: &'static str) -> impl FnOnce(io::Error) -> EngineError {
    move |source| EngineError::Io {
        engine,
        act: act.to_owned(),
        source,
    }
}
