//! `trailhouse keys add|activate|rotate`: the file of the master keys. A server reads it when it starts.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::keyring::{self, Keyring};

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Add a fresh key and make it the active one: for a single server, used from its next start
    Rotate,
    /// Add a fresh key that is not active yet, so that all instances can learn it before one writes under it
    Add,
    /// Make a key of the file the active one
    Activate {
        /// Its id
        id: String,
    },
}

impl Keys {
    pub(crate) fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        if std::env::var_os(keyring::ENVIRONMENT).is_some_and(|keys| !keys.is_empty()) {
            bail!(
                "the master keys come from {}, and no file is read: put a key of `openssl rand -base64 32` there, first to make it active, else last",
                keyring::ENVIRONMENT
            );
        }
        let path = config.data_dir.join(keyring::FILE);
        let keys = match self {
            Self::Rotate => keyring::rotate(&path, &SystemClock)?,
            Self::Add => keyring::add(&path, &SystemClock)?,
            Self::Activate { id } => keyring::activate(&path, &id)?,
        };
        print!("{}", listed(&keys));
        println!(
            "{} is changed: back it up anew. Servers read it when they start",
            path.display()
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn listed(keys: &Keyring) -> String {
    let line = |id| match id == keys.active() {
        true => format!("{id}  active: everything new is written under it\n"),
        false => format!("{id}  reads what was written under it\n"),
    };
    keys.ids().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_active() {
        let text = listed(&Keyring::ephemeral());
        assert!(text.lines().count() == 1 && text.contains("active"), "{text}");
    }
}
