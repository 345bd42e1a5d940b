//! `trailhouse import`
//!
//! Files go through one thread that reads ([`sources`]), takes them apart ([`items`]), gives an id to what has none
//! ([`identify`]) and fills requests ([`batch`]); a few requests are under way at a time ([`send`]), and what became
//! of every item is counted ([`tally`]). The server does the rest, through the same door as for everybody, so a
//! second import of the same files adds nothing.

mod batch;
mod identify;
mod items;
mod reading;
mod send;
mod sources;
mod tally;

use std::process::ExitCode;

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use super::connect::Remote;
use reading::News;
use send::Sender;
use tally::Tally;

/// Requests under way at a time: enough to keep the server busy while each waits until it can be searched.
const IN_FLIGHT: usize = 8;

#[derive(Args)]
pub(crate) struct Import {
    /// Files, or folders with files; `-` is standard input
    ///
    /// Taken are events as NDJSON or as a JSON array, and CloudTrail records: log files, answers of LookupEvents,
    /// EventBridge events, or bare. Plain or compressed with gzip. Importing a file again changes nothing.
    #[arg(required = true, value_name = "FILES")]
    files: Vec<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Import {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let sender = Sender::new(self.remote)?;
        let sources = sources::find(&self.files)?;
        let bar = bar(sources.iter().filter_map(|source| source.bytes).sum());
        let (tx, news) = mpsc::channel(IN_FLIGHT);
        let progress = bar.clone();
        // A thread of its own: one that waits for standard input must not keep the program from ending.
        std::thread::spawn(move || reading::read_all(sources, &progress, &tx));

        let mut tally = Tally::new(bar.clone());
        let waiting = stream::unfold(news, async |mut news| Some((news.recv().await?, news)));
        let mut answers = std::pin::pin!(
            waiting
                .map(|news| settle(&sender, news))
                .buffer_unordered(IN_FLIGHT)
        );
        let mut failure = None;
        while let Some(settled) = answers.next().await {
            match settled {
                Ok(news) => tally.note(news),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        bar.finish_and_clear();
        println!("{tally}");
        match failure {
            Some(error) => {
                Err(error.context("the import stopped early; the same command goes on where it stopped"))
            }
            None => Ok(if tally.all_taken() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }),
        }
    }
}

/// Sends what is to be sent; other news pass through.
async fn settle(sender: &Sender, news: News) -> anyhow::Result<News> {
    match news {
        News::Batch(batch) => Ok(News::Answered(sender.send(batch).await?)),
        other => Ok(other),
    }
}

/// Bytes read of the files; hidden where nobody watches.
fn bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let style = "{wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} {msg}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}
