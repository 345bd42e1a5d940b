//! `trailhouse serve`

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};

use super::connect::{Engines, set, text};
use crate::app::{self, Running, Start};
use crate::config::Config;
use crate::keyring;

#[derive(Args)]
pub(crate) struct Serve {
    /// Address for HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    engines: Engines,
    /// A proxy in front terminates TLS; needed to listen beyond loopback without a certificate
    #[arg(long)]
    behind_proxy: bool,
}

impl Serve {
    /// The flags as settings.
    pub(crate) fn flags(&self) -> Table {
        let mut flags = self.engines.flags();
        set(&mut flags, "web", "listen", self.listen.map(text));
        let behind_proxy = self.behind_proxy.then_some(Value::Boolean(true));
        set(&mut flags, "web", "behind_proxy", behind_proxy);
        flags
    }

    pub(crate) async fn run(self, config: Config) -> anyhow::Result<ExitCode> {
        let secret = |name: &str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .map(SecretString::from)
        };
        let start = Start {
            admin_password: secret(app::ADMIN_PASSWORD),
            master_key: secret(keyring::ENVIRONMENT),
            stop_within: None,
        };
        let running = app::start(config, start).await?;
        // The server goes on where nobody reads this.
        let _ = write!(std::io::stdout(), "{}", greeting(&running));
        running.until_stopped().await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The last words of a start: where it is, who may come in, and one line that works.
fn greeting(running: &Running) -> String {
    let url = &running.url;
    let mut text = format!("\nTrailhouse is ready at {url}\n");
    if let Some(path) = &running.new_keys {
        text += &format!(
            "  keys      {} was made just now: back it up, nothing can replace it\n",
            path.display()
        );
    }
    let generated = running.first_user.as_ref().filter(|first| first.generated);
    let password = generated.map_or("PASSWORD", |first| first.password.expose_secret());
    text += &match (&running.first_user, generated) {
        (Some(first), Some(_)) => format!(
            "  user      {}\n  password  {password}   (shown this once)\n",
            first.name
        ),
        (Some(first), None) => format!(
            "  user      {}\n  password  the one in {}\n",
            first.name,
            app::ADMIN_PASSWORD
        ),
        (None, _) => "  user      admin, with the password from the first start; `trailhouse user reset-password admin` makes a new one\n"
            .to_owned(),
    };
    text += &format!(
        "\nLog in with `trailhouse token --url {url}` (password in TRAILHOUSE_PASSWORD), or with\n  curl -s {url}/login -H 'content-type: application/json' -d '{{\"username\":\"admin\",\"password\":\"{password}\"}}'\n\n"
    );
    text
}
