//! What became of everything, counted for the last lines of an import.

use std::fmt;

use indicatif::ProgressBar;

use super::batch::Origin;
use super::reading::News;
use crate::event::problem::Problem;

/// So many problems are shown one by one; the rest are counted.
const SHOWN: u64 = 20;

/// The counts so far.
pub(super) struct Tally {
    bar: ProgressBar,
    files: u64,
    new: u64,
    held: u64,
    rejected: u64,
    failed: u64,
    skipped: Vec<(String, String)>,
}

impl Tally {
    /// Nothing yet. Problems are printed around the bar.
    pub(super) fn new(bar: ProgressBar) -> Self {
        Self {
            bar,
            files: 0,
            new: 0,
            held: 0,
            rejected: 0,
            failed: 0,
            skipped: Vec::new(),
        }
    }

    /// Counts, and prints what is a problem.
    pub(super) fn note(&mut self, news: News) {
        match news {
            News::Batch(_) => {}
            News::Answered(answered) => {
                self.new += answered.new;
                self.held += answered.held;
                for (origin, problem) in answered.rejected {
                    self.reject(&origin, &problem);
                }
            }
            News::Refused(origin, problem) => self.reject(&origin, &problem),
            News::Read => self.files += 1,
            News::Skipped(file, why) => self.skipped.push((file.to_string(), why)),
            News::Failed(file, why) => {
                self.failed += 1;
                self.say(&format!("{file}: {why}"));
            }
        }
    }

    /// Whether every item of every file was taken.
    pub(super) fn all_taken(&self) -> bool {
        self.rejected == 0 && self.failed == 0
    }

    fn reject(&mut self, origin: &Origin, problem: &Problem) {
        self.rejected += 1;
        if self.rejected <= SHOWN {
            let field = if problem.field.is_empty() {
                String::new()
            } else {
                format!("{}: ", problem.field)
            };
            self.say(&format!(
                "{}: item {}: {field}{}",
                origin.file, origin.number, problem.detail
            ));
        } else if self.rejected == SHOWN + 1 {
            self.say("… further ones are only counted");
        }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (file, why) in &self.skipped {
            writeln!(out, "skipped   {file}: {why}")?;
        }
        writeln!(
            out,
            "files     {} read, {} skipped, {} failed",
            self.files,
            self.skipped.len(),
            self.failed
        )?;
        write!(
            out,
            "events    {} new, {} held already, {} rejected",
            self.new, self.held, self.rejected
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::send::Answered;

    #[test]
    fn the_last_lines_count_everything() {
        let mut tally = Tally::new(ProgressBar::hidden());
        tally.note(News::Read);
        tally.note(News::Skipped("NOTES.md".into(), "it is no JSON".into()));
        tally.note(News::Answered(Answered {
            new: 3,
            held: 2,
            rejected: Vec::new(),
        }));
        assert!(tally.all_taken());
        tally.note(News::Refused(
            Origin {
                file: "a".into(),
                number: 7,
            },
            Problem::new("", "invalid UTF-8"),
        ));
        assert!(!tally.all_taken());
        assert_eq!(
            tally.to_string(),
            "skipped   NOTES.md: it is no JSON\n\
             files     1 read, 1 skipped, 0 failed\n\
             events    3 new, 2 held already, 1 rejected"
        );
    }
}
