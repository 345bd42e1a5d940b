//! How long events take to those who watch them come in.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bed::Bed;
use super::load::{self, Body, Until, histogram};
use super::machine::{self, Watch};
use super::mix::Mix;
use super::report::Report;
use super::run::failures;
use super::wire::Server;
use crate::clock::{Clock, SystemClock, Timestamp};

/// One in so many clients looks at each event; the others only take what comes, or the bench would be what is measured.
const LOOKS: usize = 10;
/// For the last events to arrive.
const DRAIN: Duration = Duration::from_secs(3);
/// What a stream says before everything else.
const FIRST_WORD: &[u8] = b"heartbeat";
/// What stands before the moment at which an event was made.
const TIME: &[u8] = b"\"time\":\"";

impl Bed {
    /// How long events take to clients that watch.
    pub(super) async fn stream(&self, clients: usize, events: f64, seconds: f64) -> anyhow::Result<Report> {
        const BATCH: usize = 20;
        let (over, end) = watch::channel(None);
        let (arrived, mut arrivals) = mpsc::channel::<()>(1);
        let (mut watching, came) = (JoinSet::new(), Instant::now());
        for number in 0..clients {
            let (server, arrived, end) = (self.server.clone(), arrived.clone(), end.clone());
            watching.spawn(async move {
                Client::new(number % LOOKS == 0)?
                    .watch(&server, arrived, end)
                    .await
            });
        }
        drop(arrived);
        // Each lets go of its end when it was told where it begins: the log is followed now.
        let _ = arrivals.recv().await;
        let began = came.elapsed();
        let watch = Watch::start(&machine::processes(&self.data_dir));
        over.send_replace(Some(Instant::now() + Duration::from_secs_f64(seconds) + DRAIN));
        let until = Until::Elapsed(Duration::from_secs_f64(seconds));
        let plan = self.plan(Mix::App, Some(events / BATCH as f64), 8, Body::Many(BATCH), until);
        let load = load::run(&plan).await?;
        let (mut latency, mut bytes, mut seen) = (histogram()?, Vec::new(), Vec::new());
        while let Some(client) = watching.join_next().await {
            let client = client??;
            latency.add(&client.latency)?;
            bytes.push(client.bytes);
            seen.extend(client.looks.then_some(client.latency.len()));
        }
        let used = watch.end().await;
        let mut report = Report::new(format!("{clients} streams while {events} events/s arrive"));
        report.latencies("from event to client", &latency, Some((0.99, "under 500 ms")));
        report.add(
            "until all clients were told where they begin",
            began.as_secs_f64(),
            "s",
        );
        report.add("events taken", load.acked as f64, "events");
        let missed = seen
            .iter()
            .map(|seen| load.acked.saturating_sub(*seen))
            .max()
            .unwrap_or_default();
        report
            .add("missed by a client, most", missed as f64, "events")
            .target("0");
        let least = bytes.iter().min().copied().unwrap_or_default() as f64;
        report.add("to each client", least / f64::from(1 << 20) / seconds, "MiB/s");
        failures(&mut report, &load);
        report.processes(&used, seconds);
        Ok(report)
    }
}

/// A request whose answer is read by the caller.
async fn asked(server: &Server, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address()).await?;
    stream.write_all(&server.get(path)).await?;
    Ok(stream)
}

/// Somebody who watches.
struct Client {
    looks: bool,
    latency: Histogram<u64>,
    bytes: u64,
}

impl Client {
    fn new(looks: bool) -> anyhow::Result<Self> {
        Ok(Self {
            looks,
            latency: histogram()?,
            bytes: 0,
        })
    }

    /// Lets `arrived` go with the first word, and ends when `end` says so.
    async fn watch(
        mut self,
        server: &Server,
        arrived: mpsc::Sender<()>,
        mut end: watch::Receiver<Option<Instant>>,
    ) -> anyhow::Result<Self> {
        let mut stream = asked(server, "/api/v1/logs/stream").await?;
        let mut buffer: Vec<u8> = Vec::with_capacity(1 << 18);
        while !buffer.windows(FIRST_WORD.len()).any(|part| part == FIRST_WORD) {
            let read = stream.read_buf(&mut buffer).await?;
            anyhow::ensure!(read > 0, "a stream ended: {}", text(&buffer));
        }
        drop(arrived);
        let over = async move {
            let end = end.wait_for(Option::is_some).await.ok().and_then(|end| *end);
            tokio::time::sleep_until(end.unwrap_or_else(Instant::now)).await;
        };
        tokio::pin!(over);
        loop {
            let before = buffer.len();
            tokio::select! {
                () = &mut over => return Ok(self),
                read = stream.read_buf(&mut buffer) => {
                    anyhow::ensure!(read? > 0, "a stream ended: {}", text(&buffer));
                }
            }
            self.bytes += (buffer.len() - before) as u64;
            let kept = match self.looks {
                true => self.look(&buffer),
                false => buffer.len(),
            };
            buffer.drain(..kept);
        }
    }

    /// Notes the events in what came; gives how much of it is done with.
    fn look(&mut self, came: &[u8]) -> usize {
        const MOMENT: usize = 40;
        let (now, mut at) = (SystemClock.now(), 0);
        while let Some(found) = came
            .get(at..)
            .and_then(|rest| rest.windows(TIME.len()).position(|part| part == TIME))
        {
            let begin = at + found + TIME.len();
            let Some(moment) = came.get(begin..begin + MOMENT) else {
                return at + found;
            };
            let made = moment.split(|byte| *byte == b'"').next().map(text);
            if let Some((made, _)) = made.and_then(|made| Timestamp::parse_rfc3339(&made)) {
                self.latency.saturating_record(now.since(made).as_micros() as u64);
            }
            at = begin;
        }
        at.max(came.len().saturating_sub(TIME.len()))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_noted_once_in_whatever_pieces_they_come() {
        let frame = format!(
            "data: {{\"time\":\"{}\",\"event_type\":\"a.b\",\"more\":\"and more than forty\"}}\n\n",
            SystemClock.now()
        );
        let all = frame.repeat(3);
        for size in [1, 7, 50, 1_000] {
            let (mut client, mut buffer) = (Client::new(true).unwrap(), Vec::new());
            for piece in all.as_bytes().chunks(size) {
                buffer.extend_from_slice(piece);
                let done = client.look(&buffer);
                buffer.drain(..done);
            }
            assert_eq!(client.latency.len(), 3, "in pieces of {size}");
        }
    }
}
