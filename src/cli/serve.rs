//! `trailhouse serve`

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};

use crate::app::{self, Running, Start};
use crate::config::Config;
use crate::keyring;

#[derive(Args)]
pub(crate) struct Serve {
    /// Address for HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address of the embedded log [default: 127.0.0.1:9092]
    #[arg(long, value_name = "ADDR")]
    kafka_listen: Option<SocketAddr>,
    /// Address of the embedded ClickHouse [default: 127.0.0.1:8123]
    #[arg(long, value_name = "ADDR")]
    clickhouse_listen: Option<SocketAddr>,
    /// A proxy in front terminates TLS; needed to listen beyond loopback
    #[arg(long)]
    behind_proxy: bool,
}

impl Serve {
    /// The flags as settings.
    pub(crate) fn flags(&self) -> Table {
        let mut flags = Table::new();
        let mut set = |section: &str, key: &str, value: Option<Value>| {
            let section = flags.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let (Some(value), Value::Table(section)) = (value, section) {
                section.insert(key.into(), value);
            }
        };
        let text = |address: Option<SocketAddr>| address.map(|address| Value::String(address.to_string()));
        set("web", "listen", text(self.listen));
        set("engines", "kafka_listen", text(self.kafka_listen));
        set("engines", "clickhouse_listen", text(self.clickhouse_listen));
        set(
            "web",
            "behind_proxy",
            self.behind_proxy.then_some(Value::Boolean(true)),
        );
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
            admin_password: secret("TRAILHOUSE_ADMIN_PASSWORD"),
            master_key: secret(keyring::ENVIRONMENT),
            stop_within: None,
        };
        let running = app::start(config, start).await?;
        print!("{}", greeting(&running));
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
    let password = match &running.first_user {
        Some(first) => {
            text += &format!("  user      {}\n", first.name);
            if first.generated {
                text += &format!(
                    "  password  {}   (shown this once)\n",
                    first.password.expose_secret()
                );
                first.password.expose_secret().to_owned()
            } else {
                text += "  password  the one in TRAILHOUSE_ADMIN_PASSWORD\n";
                "$TRAILHOUSE_ADMIN_PASSWORD".to_owned()
            }
        }
        None => {
            text += "  user      admin, with the password from the first start\n";
            "PASSWORD".to_owned()
        }
    };
    text += &format!(
        "\n  curl -s {url}/login -H 'content-type: application/json' -d \"{{\\\"username\\\":\\\"admin\\\",\\\"password\\\":\\\"{password}\\\"}}\"\n\n"
    );
    text
}
