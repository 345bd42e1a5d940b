//! What passed before: the log itself, read again from a place up to another, the partitions side by side in the order
//! in which their events were received.

use std::collections::VecDeque;

use super::cursor::Place;
use super::live::Client;
use super::matched::Pace;
use super::passed::Passed;
use super::reader::Reader;
use crate::log::decode::Decoder;
use crate::log::{Log, LogError, topics};

/// Events that are given out at once, and the bytes after which fewer are: a client that takes its time has three such
/// batches waiting for it.
const AT_ONCE: usize = 500;
const AT_ONCE_BYTES: usize = 1 << 20;

/// A part of the log, being read.
pub struct History {
    parts: Vec<Part>,
    /// Bytes of events that were read, of whichever tenant.
    gone_through: usize,
}

struct Part {
    partition: usize,
    /// Everything before was given out already.
    from: i64,
    reader: Reader,
    /// What was read and is yet to be given out.
    heads: VecDeque<Passed>,
    to: i64,
}

impl Part {
    fn is_read(&self) -> bool {
        self.read() >= self.to
    }

    /// How far it was read, what was looked back at left out.
    fn read(&self) -> i64 {
        self.reader.next_offset().max(self.from)
    }

    /// The next that is to be given out. What was read beyond the end is kept: the end may be moved on.
    fn head(&self) -> Option<&Passed> {
        self.heads.front().filter(|head| head.offset < self.to)
    }

    /// Everything before was given out.
    fn at(&self) -> i64 {
        let read = self.read().min(self.to.max(self.from));
        self.head().map_or(read, |head| head.offset)
    }
}

impl History {
    /// From a place up to another.
    pub async fn open(log: &Log, decoder: &Decoder, from: &Place, to: &Place) -> Result<Self, LogError> {
        let mut parts = Vec::new();
        for (partition, (from, to)) in from.iter().zip(to).enumerate() {
            let (low, _) = log.bounds(topics::EVENTS, partition as i32).await?;
            let from = (*from).max(low);
            parts.push(Part {
                partition,
                from,
                reader: Reader::new(log.clone(), decoder.clone(), partition, low, from),
                heads: VecDeque::new(),
                to: *to,
            });
        }
        Ok(Self {
            parts,
            gone_through: 0,
        })
    }

    /// Goes on up to another place, further on.
    pub fn extend(&mut self, to: &Place) {
        for part in &mut self.parts {
            part.to = to.get(part.partition).map_or(part.to, |to| part.to.max(*to));
        }
    }

    /// Whether all of it was given out.
    pub fn is_done(&self) -> bool {
        self.parts
            .iter()
            .all(|part| part.is_read() && part.head().is_none())
    }

    /// Bytes of events that were read so far, of whichever tenant.
    pub fn gone_through(&self) -> usize {
        self.gone_through
    }

    /// The next events that a client wants, perhaps none, and moves its place on.
    pub async fn next(&mut self, client: &Client, place: &mut Place) -> Vec<Passed> {
        let mut pace = Pace::default();
        for part in &mut self.parts {
            if part.heads.is_empty() && !part.is_read() {
                let read = part.reader.read().await;
                for passed in read {
                    let bytes = passed.bytes;
                    self.gone_through += bytes;
                    if passed.offset >= part.from && client.wants(&passed) {
                        part.heads.push_back(passed);
                    }
                    pace.after(bytes).await;
                }
            }
        }
        let (mut events, mut bytes) = (Vec::new(), 0);
        // A part that is not read to its end and has nothing to compare holds up the others.
        let comparable = |part: &Part| part.is_read() || !part.heads.is_empty();
        while events.len() < AT_ONCE && bytes < AT_ONCE_BYTES && self.parts.iter().all(comparable) {
            let waiting = self.parts.iter_mut().filter(|part| part.head().is_some());
            let earliest = waiting.min_by_key(|part| part.head().map(|head| head.event.received_at));
            match earliest.and_then(|part| part.heads.pop_front()) {
                Some(event) => {
                    bytes += event.bytes;
                    events.push(event);
                }
                None => break,
            }
        }
        for part in &self.parts {
            if let Some(at) = place.get_mut(part.partition) {
                *at = (*at).max(part.at());
            }
        }
        events
    }
}
