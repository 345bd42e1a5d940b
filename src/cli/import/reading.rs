//! The thread that reads: files in, filled requests and other news out.

use std::sync::Arc;

use indicatif::ProgressBar;
use tokio::sync::mpsc::Sender;

use super::batch::{Batch, Door, Origin};
use super::identify::{Kind, Occurrences, identify};
use super::items::{self, ItemsError};
use super::send::Answered;
use super::sources::Source;
use crate::event::problem::Problem;

/// What happens on the way.
pub(super) enum News {
    /// A request is full.
    Batch(Batch),
    /// A request was answered.
    Answered(Answered),
    /// An item can't even be sent.
    Refused(Origin, Problem),
    /// A file was read.
    Read,
    /// A file holds no events, and why.
    Skipped(Arc<str>, String),
    /// A file is broken from some point on.
    Failed(Arc<str>, String),
}

/// Reads everything. It ends early when nobody listens any more.
pub(super) fn read_all(sources: Vec<Source>, progress: &ProgressBar, news: &Sender<News>) {
    let mut outbox = Outbox {
        events: Batch::new(Door::Events),
        records: Batch::new(Door::CloudTrail),
        news,
    };
    for source in sources {
        progress.set_message(source.name.clone());
        let told = match outbox.read(&source, progress) {
            Ok(said) => outbox.tell(said),
            Err(ItemsError::Ended) => false,
            Err(ItemsError::NoEvents(why)) => {
                outbox.tell(News::Skipped(source.name.as_str().into(), why.into()))
            }
            Err(error) => outbox.tell(News::Failed(source.name.as_str().into(), error.to_string())),
        };
        if !told {
            return;
        }
    }
    for door in [Door::Events, Door::CloudTrail] {
        if !outbox.flush(door) {
            return;
        }
    }
}

struct Outbox<'a> {
    events: Batch,
    records: Batch,
    news: &'a Sender<News>,
}

impl Outbox<'_> {
    /// Reads one file; the answer says what became of it.
    fn read(&mut self, source: &Source, progress: &ProgressBar) -> Result<News, ItemsError> {
        let file: Arc<str> = source.name.as_str().into();
        let (mut seen, mut number) = (Occurrences::default(), 0);
        let (mut taken, mut beside, mut strange) = (false, None, Vec::new());
        let mut reader = source.open(progress).map_err(ItemsError::Open)?;
        items::each(&mut *reader, &mut |item| {
            number += 1;
            let origin = |number| Origin {
                file: file.clone(),
                number,
            };
            let kind = identify(item, &mut seen);
            match kind {
                Ok(Kind::Beside(what)) => {
                    beside = Some(what);
                    return true;
                }
                Ok(Kind::NoEvent(what)) => {
                    beside = Some(what);
                    strange.push((number, what));
                    // Among events it is one that is broken.
                    if !taken {
                        return true;
                    }
                }
                _ => taken = true,
            }
            let mut strange = strange.drain(..);
            let told = strange.all(|(number, what)| {
                let problem = Problem::new("", format!("it is {what}"));
                self.tell(News::Refused(origin(number), problem))
            });
            told && match kind {
                Ok(Kind::Event(text)) => self.push(Door::Events, origin(number), &text),
                Ok(Kind::CloudTrail(text)) => self.push(Door::CloudTrail, origin(number), text),
                Ok(Kind::Beside(_) | Kind::NoEvent(_)) => true,
                Err(problem) => self.tell(News::Refused(origin(number), problem)),
            }
        })?;
        Ok(match beside {
            Some(what) if !taken => News::Skipped(file, format!("it is {what}")),
            _ => News::Read,
        })
    }

    fn push(&mut self, door: Door, origin: Origin, item: &str) -> bool {
        let room = self.batch(door).has_room(item);
        if !room && !self.flush(door) {
            return false;
        }
        self.batch(door).push(origin, item);
        true
    }

    fn batch(&mut self, door: Door) -> &mut Batch {
        match door {
            Door::Events => &mut self.events,
            Door::CloudTrail => &mut self.records,
        }
    }

    fn flush(&mut self, door: Door) -> bool {
        let full = std::mem::replace(self.batch(door), Batch::new(door));
        full.len() == 0 || self.tell(News::Batch(full))
    }

    /// False when nobody listens.
    fn tell(&self, news: News) -> bool {
        self.news.blocking_send(news).is_ok()
    }
}
