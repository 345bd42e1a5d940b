//! How commands reach a running server.

use clap::Args;

/// A running server.
#[derive(Args, Clone)]
pub(crate) struct Remote {
    /// The running server
    #[arg(long, env = "TRAILHOUSE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Token or API key
    #[arg(long, env = "TRAILHOUSE_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Remote {
    /// A route of it.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// What to say when it does not answer.
    pub(crate) fn unreachable(&self) -> String {
        format!(
            "no Trailhouse answers at {}: start one with `trailhouse serve`, or name it with --url",
            self.url
        )
    }

    /// The credential.
    pub(crate) fn token(&self) -> anyhow::Result<&str> {
        self.token.as_deref().ok_or_else(|| {
            anyhow::anyhow!("a token is needed: --token or TRAILHOUSE_TOKEN; `trailhouse token` prints one")
        })
    }
}
