//! What was measured, for people, for programs, and for `docs/bench.md`.

use std::fmt;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::machine::{Used, describe};

/// One number, and what it should be where somebody said so.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<&'static str>,
}

/// A run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) title: String,
    pub(super) machine: String,
    pub(super) figures: Vec<Figure>,
}

impl Report {
    pub(super) fn new(title: String) -> Self {
        Self {
            title,
            machine: describe(),
            figures: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) -> &mut Self {
        self.figures.push(Figure {
            what: what.into(),
            value,
            unit,
            target: None,
        });
        self
    }

    /// What the last figure should be.
    pub(super) fn target(&mut self, target: &'static str) -> &mut Self {
        if let Some(figure) = self.figures.last_mut() {
            figure.target = Some(target);
        }
        self
    }

    /// Percentiles of microseconds, in milliseconds; `target` is for the percentile it names.
    pub(super) fn latencies(&mut self, what: &str, of: &Histogram<u64>, target: Option<(f64, &'static str)>) {
        for (name, quantile) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)] {
            let value = of.value_at_quantile(quantile) as f64 / 1_000.0;
            self.add(format!("{what}, {name}"), value, "ms");
            if let Some((at, text)) = target
                && at == quantile
            {
                self.target(text);
            }
        }
    }

    /// What the processes used over so many seconds.
    pub(super) fn processes(&mut self, used: &[Used], seconds: f64) {
        for process in used {
            self.add(
                format!("{}: CPU", process.name),
                process.cpu_seconds / seconds * 100.0,
                "% of a core",
            );
            self.add(
                format!("{}: memory, most", process.name),
                process.max_rss as f64 / f64::from(1 << 20),
                "MiB",
            );
        }
    }

    /// As one line of JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Puts this run into a markdown file: in the place of the run with the same title, else at the end. Whatever
    /// else stands in the file stays.
    pub(super) fn write_into(&self, file: &Path) -> std::io::Result<()> {
        let old = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEADER.to_owned(),
            Err(error) => return Err(error),
        };
        std::fs::write(file, placed(&old, &self.title, &self.markdown()))
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "## {}\n\n{}\n\n| | measured | target |\n|---|---:|---:|\n",
            self.title, self.machine
        );
        for figure in &self.figures {
            let target = figure.target.unwrap_or_default();
            text += &format!(
                "| {} | {} {} | {target} |\n",
                figure.what,
                rounded(figure.value),
                figure.unit
            );
        }
        text
    }
}

const HEADER: &str = "# Measurements\n\nWritten by `trailhouse bench MODE --report docs/bench.md`; latencies count from the intended send time.\n";

fn placed(old: &str, title: &str, section: &str) -> String {
    let heading = format!("## {title}\n");
    let (before, after) = match old.find(&heading) {
        None => (old, ""),
        Some(start) => {
            let (before, rest) = old.split_at(start);
            let end = rest
                .get(2..)
                .and_then(|rest| rest.find("\n## "))
                .map_or(rest.len(), |end| end + 3);
            (before, rest.get(end..).unwrap_or_default())
        }
    };
    let gap = if after.is_empty() { "" } else { "\n" };
    format!("{}\n\n{section}{gap}{after}", before.trim_end())
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}\n{}", self.title, self.machine)?;
        let width = self
            .figures
            .iter()
            .map(|figure| figure.what.len())
            .max()
            .unwrap_or_default();
        for figure in &self.figures {
            write!(
                out,
                "  {:width$}  {:>10} {}",
                figure.what,
                rounded(figure.value),
                figure.unit
            )?;
            match figure.target {
                Some(target) => writeln!(out, "   (target: {target})")?,
                None => writeln!(out)?,
            }
        }
        Ok(())
    }
}

/// Whole from a hundred on, with thousands set apart; one or two digits below.
fn rounded(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_takes_the_place_of_its_last_and_notes_stay() {
        let first = placed(HEADER, "a", "## a\n\n1\n");
        let second = placed(&first, "b", "## b\n\n2\n");
        let noted = second + "\n## Notes\n\nkept\n";
        let again = placed(&noted, "a", "## a\n\n3\n");
        assert_eq!(
            again,
            format!("{}\n## a\n\n3\n\n## b\n\n2\n\n## Notes\n\nkept\n", HEADER)
        );
    }

    #[test]
    fn numbers_are_as_long_as_they_are_good() {
        for (value, text) in [
            (0.126, "0.13"),
            (42.34, "42.3"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(rounded(value), text);
        }
    }
}
