//! Runs the embedded ClickHouse alone.
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;
use trailhouse::chdb;

#[derive(Parser)]
enum Command {
    Clickhouse {
        #[arg(long)]
        data_dir: PathBuf,
        #[arg(long, default_value = "127.0.0.1:8123")]
        listen: SocketAddr,
        #[arg(long)]
        max_server_memory_usage: Option<u64>,
        #[arg(long)]
        library: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let Command::Clickhouse { data_dir, listen, max_server_memory_usage, library } = Command::parse();
    let mut config = chdb::Config::new(data_dir, listen, library);
    config.max_memory = max_server_memory_usage;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let stop = CancellationToken::new();
        let server = chdb::Server::start(config).await?;
        println!("listening on {}", server.local_addr());
        let stopped = stop.clone();
        tokio::spawn(async move {
            let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("signal");
            tokio::select! { _ = term.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
            stopped.cancel();
        });
        server.run(stop).await?;
        anyhow::Ok(())
    })
}
