//! The master keys: looked for before anything starts, and made only for a log that has never had any.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::clock::SystemClock;
use crate::config::Config;
use crate::keyring::{self, Keyring, KeyringError};
use crate::log::{Log, topics};

fn path(config: &Config) -> PathBuf {
    config.data_dir.join(keyring::FILE)
}

/// The keys of this instance, where there are any.
pub(super) fn find(
    config: &Config,
    from_env: Option<&SecretString>,
) -> Result<Option<Keyring>, KeyringError> {
    keyring::find(&path(config), from_env)
}

/// The same, for whoever works on a log that is there already.
pub(super) fn of_a_log(config: &Config, from_env: Option<&SecretString>) -> Result<Keyring, KeyringError> {
    find(config, from_env)?.ok_or_else(|| KeyringError::Missing {
        path: path(config).display().to_string(),
    })
}

/// Makes them, and says where. Not where control state was written under others: new ones in the place of those that
/// are lost would look as if they belonged there.
pub(super) async fn make(config: &Config, log: &Log) -> anyhow::Result<(Keyring, PathBuf)> {
    let path = path(config);
    let (_, end) = log.bounds(topics::CONTROL, 0).await?;
    if end > 0 {
        anyhow::bail!(
            "the key file {} is not there, and the log holds {end} control records that were written under its keys: \
             restore it from its backup, or set {}",
            path.display(),
            keyring::ENVIRONMENT
        );
    }
    let keyring = keyring::make(&path, &SystemClock)?;
    tracing::warn!(path = %path.display(), "the master keys were made just now: back them up, nothing can replace them");
    Ok((keyring, path))
}
