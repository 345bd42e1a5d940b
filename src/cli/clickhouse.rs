//! `trailhouse clickhouse`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::chdb;
use crate::engines::{EngineDirs, parent_gone};

#[derive(Args)]
pub(crate) struct Clickhouse {
    /// Where its tables are
    #[arg(long, value_name = "DIR", default_value = "data/clickhouse")]
    data_dir: PathBuf,
    /// Address for ClickHouse's HTTP interface; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
    /// Memory it may use [default: 40 % of this machine's, at most 2 GiB]
    #[arg(long, value_name = "BYTES")]
    max_server_memory_usage: Option<u64>,
    /// The engine, libchdb.so [default: where scripts/engines puts it]
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// File with the password of the user `default`; made at the first start
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Listen on an address that others can reach; the interface has no TLS
    #[arg(long)]
    allow_remote: bool,
}

impl Clickhouse {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let library = match self.library {
            Some(library) => library,
            None => EngineDirs::find(None).libchdb()?,
        };
        let mut config = chdb::Config::new(self.data_dir, self.listen, library);
        config.max_memory = self.max_server_memory_usage;
        config.allow_remote = self.allow_remote;
        if let Some(file) = self.password_file {
            config.password_file = file;
        }
        let stop = CancellationToken::new();
        tokio::spawn(on_signal(stop.clone()));
        chdb::serve(config, stop).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Stops on SIGTERM or SIGINT, and when the process that started us is gone.
async fn on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
        () = parent_gone() => {}
    }
    stop.cancel();
}
