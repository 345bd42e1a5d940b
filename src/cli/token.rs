//! `trailhouse token`

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::ask::sentence;
use super::connect::Address;

#[derive(Args)]
pub(crate) struct Token {
    /// Who logs in
    #[arg(long, default_value = "admin")]
    user: String,
    /// Its password; better given by the environment
    #[arg(long, env = "TRAILHOUSE_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    #[command(flatten)]
    server: Address,
}

impl Token {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let Some(password) = self.password.filter(|password| !password.is_empty()) else {
            bail!("a password is needed: in TRAILHOUSE_PASSWORD, or with --password");
        };
        let body = json!({"username": self.user, "password": password});
        let request = reqwest::Client::new().post(self.server.at("/login")).json(&body);
        let answer = request.send().await.with_context(|| self.server.unreachable())?;
        let answer: Value = answer.json().await.context("the server's answer is no JSON")?;
        match answer["token"].as_str() {
            Some(token) => println!("{token}"),
            None => bail!(sentence(&answer).unwrap_or_else(|| "the server gave no token".into())),
        }
        Ok(ExitCode::SUCCESS)
    }
}
