//! `trailhouse user reset-password`
//!
//! For whoever has lost the way in: it asks no server and no password, but needs the log and the master keys, with
//! which one is an operator anyway.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use super::connect::Engines;
use crate::app::{self, Connections};
use crate::auth::Auth;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::By;
use crate::crypto;

/// A password for a program that runs the command.
const ENVIRONMENT: &str = "TRAILHOUSE_NEW_PASSWORD";

#[derive(Subcommand)]
pub(crate) enum User {
    /// Give a user a new password, which ends all its sessions: one that is made up and printed once,
    /// the one in TRAILHOUSE_NEW_PASSWORD, or one from standard input
    ResetPassword(ResetPassword),
}

#[derive(Args)]
pub(crate) struct ResetPassword {
    /// The user
    name: String,
    /// Read the password from standard input, up to the end of the line
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    engines: Engines,
}

impl User {
    /// Where the log is.
    pub(crate) fn engines(&self) -> &Engines {
        let Self::ResetPassword(command) = self;
        &command.engines
    }

    pub(crate) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let Self::ResetPassword(command) = self;
        command.run(config).await
    }
}

impl ResetPassword {
    async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let given = self.given()?;
        if let Some(problem) = given.as_ref().and_then(crypto::password::problem) {
            bail!(problem);
        }
        let Connections { log, .. } = Connections::open(&config)?;
        let following = app::control(&config, &log).await?;
        let control = &following.control;
        let user = control
            .state()
            .user_named(&self.name)
            .cloned()
            .with_context(|| format!("there is no user {}", self.name))?;
        let clock = Arc::new(SystemClock);
        let request = clock.fresh_id();
        let auth = Auth::new(control.clone(), &following.keyring, clock, config.auth.clone());
        let password = given.clone().unwrap_or_else(crypto::token::password);
        auth.set_password(By::system(), request, (&user.id, user.version), password.clone())
            .await?;
        println!(
            "{} has a new password, and all its sessions have ended",
            user.name
        );
        if given.is_none() {
            println!("password  {}   (shown this once)", password.expose_secret());
        }
        if user.disabled {
            println!("The user is disabled, and can't log in all the same.");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The password, where one is given.
    fn given(&self) -> anyhow::Result<Option<SecretString>> {
        if !self.password_stdin {
            let given = std::env::var(ENVIRONMENT).ok();
            return Ok(given.filter(|text| !text.is_empty()).map(SecretString::from));
        }
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("the password can't be read from standard input")?;
        Ok(Some(first_line(&text).into()))
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_ends_with_its_line_and_keeps_its_blanks() {
        for (text, password) in [("a b \n", "a b "), ("a b\r\nc", "a b"), ("a", "a"), ("", "")] {
            assert_eq!(first_line(text), password);
        }
    }
}
