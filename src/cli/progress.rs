//! How far a long command is: a bar for who watches, a line from time to time for who reads it later.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is printed.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Records, of how many there are.
pub(crate) struct Progress {
    what: &'static str,
    bar: ProgressBar,
    said: Mutex<Option<Instant>>,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        let bar = ProgressBar::new(0).with_message(what);
        let style = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self {
            what,
            bar,
            said: Mutex::default(),
        }
    }

    /// So many of so many.
    pub(crate) fn tell(&self, done: u64, of: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_length(of);
            self.bar.set_position(done);
        } else if self.is_due(Instant::now()) {
            eprintln!("{}: {done} of {of} records", self.what);
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Whether it is time for a line: at first, and then every so often.
    fn is_due(&self, now: Instant) -> bool {
        let Ok(mut said) = self.said.lock() else {
            return false;
        };
        let due = said.is_none_or(|said| now.saturating_duration_since(said) >= SAY_EVERY);
        if due {
            *said = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_at_first_and_then_every_ten_seconds() {
        let progress = Progress::new("reading");
        let start = Instant::now();
        let due = [0, 1, 9, 10, 11, 20, 40].map(|s| progress.is_due(start + Duration::from_secs(s)));
        assert_eq!(due, [true, false, false, true, false, true, true]);
    }
}
