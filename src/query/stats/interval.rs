//! Buckets of time, in UTC: minutes, hours, days and weeks (from Monday) of fixed length, and calendar months.

use std::collections::BTreeMap;

use super::answer::Bucket;
use crate::clock::Timestamp;
use crate::query::filter::Range;

/// The most buckets of one answer: a week of minutes.
pub const BUCKETS_MAX: usize = 10_080;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// The Monday before 1970.
const MONDAY: i64 = -3 * DAY;

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// So many microseconds, counted from a moment.
    Fixed {
        /// How long.
        micros: i64,
        /// From when on.
        origin: i64,
    },
    /// From the first of a month to that of the next.
    Month,
}

impl Interval {
    /// `minute`, `hour`, `day`, `week`, `month`, or a number of them: `15m`, `6h`, `2d`, `2w`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "expected minute, hour, day, week, month, or a number of them such as 15m, 6h, 2d or 1w"
                .to_owned()
        };
        let fixed = |micros, number: i64| {
            let micros = number
                .checked_mul(micros)
                .filter(|micros| *micros <= 1_000 * WEEK);
            let origin = if micros.is_some_and(|micros| micros % WEEK == 0) {
                MONDAY
            } else {
                0
            };
            micros
                .map(|micros| Self::Fixed { micros, origin })
                .ok_or_else(|| "longer than 1,000 weeks".to_owned())
        };
        match text {
            "minute" => return fixed(MINUTE, 1),
            "hour" => return fixed(HOUR, 1),
            "day" => return fixed(DAY, 1),
            "week" => return fixed(WEEK, 1),
            "month" => return Ok(Self::Month),
            _ => {}
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: i64 = number
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(wrong)?;
        match unit {
            "m" | "min" => fixed(MINUTE, number),
            "h" => fixed(HOUR, number),
            "d" => fixed(DAY, number),
            "w" => fixed(WEEK, number),
            _ => Err(wrong()),
        }
    }

    /// The number of the bucket in which a moment lies.
    pub fn index(self, at: Timestamp) -> i64 {
        match self {
            Self::Fixed { micros, origin } => (at.micros() - origin).div_euclid(micros),
            Self::Month => {
                let month = i64::from(at.month());
                month / 100 * 12 + month % 100 - 1
            }
        }
    }

    /// Where a bucket begins.
    pub fn start(self, index: i64) -> Timestamp {
        match self {
            Self::Fixed { micros, origin } => {
                Timestamp::from_micros(index.saturating_mul(micros).saturating_add(origin))
            }
            Self::Month => {
                let text = format!(
                    "{:04}-{:02}-01T00:00:00Z",
                    index.div_euclid(12),
                    index.rem_euclid(12) + 1
                );
                Timestamp::parse_rfc3339(&text).map_or(Timestamp::default(), |(at, _)| at)
            }
        }
    }

    /// Whether a range has more buckets than an answer may have.
    pub fn is_too_fine(self, range: Range) -> bool {
        match (range.from, range.to) {
            (Some(from), Some(to)) => self.index(to).saturating_sub(self.index(from)) > BUCKETS_MAX as i64,
            _ => false,
        }
    }

    /// All buckets of a range, those without events too: from where it begins, or else from the first event, to where it
    /// ends, or else to now, or to the last event where that is later, or no beginning was said. `None` when there are too
    /// many.
    pub(super) fn fill(
        self,
        counted: &BTreeMap<i64, u64>,
        range: Range,
        now: Timestamp,
    ) -> Option<Vec<Bucket>> {
        let found = counted.keys().next().copied().zip(counted.keys().last().copied());
        let first = range
            .from
            .map(|from| self.index(from))
            .or(found.map(|(first, _)| first));
        let Some(first) = first else {
            return Some(Vec::new());
        };
        let last = match (range.to, range.from) {
            // The end itself lies outside.
            (Some(to), _) => self.index(Timestamp::from_micros(to.micros() - 1)),
            (None, Some(_)) => self.index(now).max(found.map_or(first, |(_, last)| last)),
            (None, None) => found.map_or(first, |(_, last)| last),
        };
        if last.saturating_sub(first) >= BUCKETS_MAX as i64 {
            return None;
        }
        let bucket = |index: i64| Bucket {
            time: self.start(index),
            count: counted.get(&index).copied().unwrap_or_default(),
            distinct: BTreeMap::new(),
        };
        Some((first..=last).map(bucket).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap().0
    }

    #[test]
    fn buckets_begin_where_the_calendar_says() {
        for (interval, begins) in [
            ("minute", "2026-11-21T13:47:00Z"),
            ("15m", "2026-11-21T13:45:00Z"),
            ("hour", "2026-11-21T13:00:00Z"),
            ("6h", "2026-11-21T12:00:00Z"),
            ("day", "2026-11-21T00:00:00Z"),
            ("week", "2026-11-16T00:00:00Z"),
            ("7d", "2026-11-16T00:00:00Z"),
            ("month", "2026-11-01T00:00:00Z"),
        ] {
            let parsed = Interval::parse(interval).unwrap();
            let found = parsed.start(parsed.index(at("2026-11-21T13:47:12.5Z")));
            assert_eq!(found.to_string(), begins, "{interval}");
        }
        for bad in [
            "",
            "m",
            "0m",
            "-1h",
            "5",
            "1y",
            "99999999999999999999m",
            "1001w",
            "1.5h",
            "DAY",
        ] {
            assert!(Interval::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn empty_buckets_are_filled_and_too_many_refused() {
        let day = Interval::parse("day").unwrap();
        let counted = BTreeMap::from([
            (day.index(at("2026-03-02T05:00:00Z")), 7),
            (day.index(at("2026-03-04T00:00:00Z")), 1),
        ]);
        let counts = |range| {
            let filled = day.fill(&counted, range, at("2026-03-06T01:00:00Z")).unwrap();
            filled.iter().map(|bucket| bucket.count).collect::<Vec<_>>()
        };
        assert_eq!(counts(Range::default()), [7, 0, 1]);
        let (from, to) = (Some(at("2026-03-01T12:00:00Z")), Some(at("2026-03-05T00:00:00Z")));
        assert_eq!(counts(Range { from, to }), [0, 7, 0, 1]);
        assert_eq!(counts(Range { from, to: None }), [0, 7, 0, 1, 0, 0]);
        assert_eq!(
            day.fill(&BTreeMap::new(), Range::default(), at("2026-03-06T01:00:00Z")),
            Some(vec![])
        );
        let far = BTreeMap::from([(0, 1), (BUCKETS_MAX as i64, 1)]);
        assert_eq!(day.fill(&far, Range::default(), Timestamp::default()), None);
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_its_bucket(micros in 0..4_000_000_000_000_000i64, which in 0..6usize) {
            let interval = Interval::parse(["minute", "hour", "day", "week", "month", "45m"][which]).unwrap();
            let (at, index) = (Timestamp::from_micros(micros), interval.index(Timestamp::from_micros(micros)));
            prop_assert!(interval.start(index) <= at && at < interval.start(index + 1));
        }
    }
}
