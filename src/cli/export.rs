//! `trailhouse export`

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Response;

use super::ask::{get, parameters};
use super::connect::Remote;

#[derive(Args)]
pub(crate) struct Export {
    /// Filters such as user_id=ada, severity!=INFO, details.amount[gt]=5; other words are searched for in the text
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// The form of the file
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    /// How it is packed
    #[arg(long, value_enum, default_value = "none")]
    compression: Compression,
    /// What to write of each event: event_id,time,actor.id,details.amount [default: everything]
    #[arg(long, value_name = "LIST")]
    fields: Option<String>,
    /// A saved search, by its id
    #[arg(long, value_name = "ID")]
    saved: Option<String>,
    /// The file; it has this name when it is whole [default: to the standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// One array of events
    Json,
    /// An event a line
    Ndjson,
    /// A table with a header
    Csv,
    /// A table in columns
    Parquet,
}

#[derive(Clone, Copy, ValueEnum)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Export {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut params = parameters(&self.filters);
        let named = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map(|value| value.get_name().to_owned())
        };
        let (format, compression) = (self.format, self.compression);
        params.extend(named(&|| format.to_possible_value()).map(|value| ("format".to_owned(), value)));
        params.extend(
            named(&|| compression.to_possible_value()).map(|value| ("compression".to_owned(), value)),
        );
        params.extend(self.fields.map(|fields| ("fields".to_owned(), fields)));
        params.extend(self.saved.map(|id| ("saved".to_owned(), id)));
        let answer = get(
            &reqwest::Client::new(),
            &self.remote,
            "/api/v1/logs/export",
            &params,
        )
        .await?;
        match &self.output {
            Some(path) => to_file(answer, path).await?,
            None => {
                pass_on(answer, &mut io::stdout().lock(), &ProgressBar::hidden()).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Under another name until it is whole: what broke off is not to be taken for an export.
async fn to_file(answer: Response, path: &Path) -> anyhow::Result<()> {
    let mut name = path.file_name().context("--output names no file")?.to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let file = fs::File::create(&part);
    let file = file.with_context(|| format!("{} can't be made", part.display()))?;
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes} {binary_bytes_per_sec} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    let written = async {
        let bytes = pass_on(answer, &mut BufWriter::new(file), &bar).await?;
        fs::rename(&part, path)?;
        Ok::<_, anyhow::Error>(bytes)
    };
    let written = written.await;
    bar.finish_and_clear();
    match written {
        Ok(bytes) => {
            eprintln!("{}: {} bytes", path.display(), bytes);
            Ok(())
        }
        Err(error) => {
            let _ = fs::remove_file(&part);
            Err(error)
        }
    }
}

async fn pass_on(mut answer: Response, out: &mut impl Write, bar: &ProgressBar) -> anyhow::Result<u64> {
    let mut bytes = 0;
    loop {
        let piece = match answer.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(_) => bail!(
                "the export broke off after {bytes} bytes; the server's log says why. Nothing of it counts: ask again"
            ),
        };
        if let Err(error) = out.write_all(&piece) {
            // Who reads the standard output has enough.
            return match error.kind() == io::ErrorKind::BrokenPipe {
                true => Ok(bytes),
                false => Err(error.into()),
            };
        }
        bytes += piece.len() as u64;
        bar.set_position(bytes);
    }
    out.flush()?;
    Ok(bytes)
}
