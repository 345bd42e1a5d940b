//! Reading the moment that a client wrote.
//!
//! Dates are RFC 3339 and its common relatives: a blank for the `T`, no seconds, no offset (UTC), a comma before the
//! fraction, `+0100` for `+01:00`, and a date alone (midnight). Numbers, also in a string, are seconds,
//! milliseconds, microseconds or nanoseconds since 1970, told apart by their magnitude.

use crate::clock::Timestamp;

/// A moment and the offset it was written with, in minutes east of UTC; `None` when none was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Where the writer's clock stood.
    pub offset: Option<i16>,
}

/// Reads a date, or a number in a string.
pub fn parse(text: &str) -> Option<Moment> {
    let text = text.trim_matches(' ');
    date(text).or_else(|| number(text).map(|at| Moment { at, offset: None }))
}

/// Reads a number since 1970. Below 10^11 it counts seconds (until the year 5138), below 10^14 milliseconds, below
/// 10^17 microseconds, else nanoseconds. Digits beyond the microsecond are cut.
pub fn number(text: &str) -> Option<Timestamp> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 19 || !numeric(whole) || !numeric(fraction) {
        return exponent(text);
    }
    let whole: i128 = whole.parse().ok()?;
    // Six digits of fraction are enough: no unit is longer than a second, and microseconds are kept.
    let mut micro: i128 = 0;
    for digit in fraction.bytes().chain(std::iter::repeat(b'0')).take(6) {
        micro = micro * 10 + i128::from(digit - b'0');
    }
    let scaled = whole * 1_000_000 + micro;
    let micros = match whole {
        0..100_000_000_000 => scaled,
        100_000_000_000..100_000_000_000_000 => scaled / 1_000,
        100_000_000_000_000..100_000_000_000_000_000 => scaled / 1_000_000,
        _ => scaled / 1_000_000_000,
    };
    let micros = i64::try_from(micros).ok()?;
    Some(Timestamp::from_micros(if negative { -micros } else { micros }))
}

/// Numbers such as `1.7e9`, which some writers of floats make.
fn exponent(text: &str) -> Option<Timestamp> {
    if !text.contains(['e', 'E']) || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value: f64 = text.parse().ok().filter(|value: &f64| value.abs() < 1e19)?;
    number(&format!("{value:.6}"))
}

fn date(text: &str) -> Option<Moment> {
    let mut read = Reader {
        bytes: text.as_bytes(),
    };
    let (year, month, day) = (
        read.digits(4)?,
        read.after(b"-")?.digits(2)?,
        read.after(b"-")?.digits(2)?,
    );
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let (mut seconds, mut micros, mut offset) = (0, 0, None);
    if !read.bytes.is_empty() {
        (seconds, micros) = read.after(b"Tt ")?.time_of_day()?;
        offset = read.offset()?;
    }
    let days = days_since_1970(year, month, day);
    let seconds = days * 86_400 + seconds - i64::from(offset.unwrap_or(0)) * 60;
    read.bytes.is_empty().then(|| Moment {
        at: Timestamp::from_micros(seconds * 1_000_000 + micros),
        offset,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        digits.iter().try_fold(0, |value, b| {
            b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0'))
        })
    }

    /// Steps over one of `marks`.
    fn after(&mut self, marks: &[u8]) -> Option<&mut Self> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = marks.contains(first).then_some(rest)?;
        Some(self)
    }

    fn time_of_day(&mut self) -> Option<(i64, i64)> {
        let (hour, minute) = (self.digits(2)?, self.after(b":")?.digits(2)?);
        let (mut second, mut micros) = (0, 0);
        if self.bytes.first() == Some(&b':') {
            second = self.after(b":")?.digits(2)?;
            micros = self.fraction()?;
        }
        if second == 60 {
            // A leap second has no number of its own since 1970: it is the last microsecond before the next minute.
            (second, micros) = (59, 999_999);
        }
        (hour < 24 && minute < 60 && second < 60).then_some((hour * 3_600 + minute * 60 + second, micros))
    }

    fn fraction(&mut self) -> Option<i64> {
        if !matches!(self.bytes.first(), Some(b'.' | b',')) {
            return Some(0);
        }
        let count = self.bytes[1..].iter().take_while(|b| b.is_ascii_digit()).count();
        let digits = &self.bytes[1..=count];
        self.bytes = &self.bytes[count + 1..];
        let micros = digits.iter().copied().chain(std::iter::repeat(b'0')).take(6);
        (count > 0).then(|| micros.fold(0, |value, b| value * 10 + i64::from(b - b'0')))
    }

    /// `Z`, `+01:00`, `+0100`, `+01`, or nothing; a blank may stand before it. The outer `None` is a bad offset.
    fn offset(&mut self) -> Option<Option<i16>> {
        if let Some(rest) = self.bytes.strip_prefix(b" ") {
            self.bytes = rest;
        }
        let Some((&sign, rest)) = self.bytes.split_first() else {
            return Some(None);
        };
        self.bytes = rest;
        let sign = match sign {
            b'Z' | b'z' => return Some(Some(0)),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.digits(2)?;
        if self.bytes.first() == Some(&b':') {
            self.after(b":")?;
        }
        let minutes = if self.bytes.is_empty() { 0 } else { self.digits(2)? };
        (hours < 24 && minutes < 60).then(|| Some((sign * (hours * 60 + minutes)) as i16))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, counted in eras of 400 years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> (String, Option<i16>) {
        let moment = parse(text).unwrap_or_else(|| panic!("{text}"));
        (moment.at.to_string(), moment.offset)
    }

    #[test]
    fn dates_as_people_write_them() {
        for (text, expected, offset) in [
            (
                "2026-11-20T10:00:00.123456789+01:00",
                "2026-11-20T09:00:00.123456Z",
                Some(60),
            ),
            ("2026-11-20t10:00:00z", "2026-11-20T10:00:00Z", Some(0)),
            ("2026-11-20 10:00:00", "2026-11-20T10:00:00Z", None),
            ("2026-11-20 10:00:00,5 +0530", "2026-11-20T04:30:00.5Z", Some(330)),
            ("2026-11-20T10:00-08", "2026-11-20T18:00:00Z", Some(-480)),
            ("2026-11-20", "2026-11-20T00:00:00Z", None),
            ("2024-02-29T23:59:60Z", "2024-02-29T23:59:59.999999Z", Some(0)),
            ("1815-06-18T11:30:00Z", "1815-06-18T11:30:00Z", Some(0)),
        ] {
            assert_eq!(at(text), (expected.to_owned(), offset), "{text}");
        }
    }

    #[test]
    fn numbers_by_their_magnitude() {
        let expected = "2023-11-14T22:13:20.123456Z";
        for text in [
            "1700000000.1234567",
            "1700000000123.456",
            "1700000000123456",
            "1700000000123456789",
        ] {
            assert_eq!(at(text).0, expected, "{text}");
        }
        assert_eq!(at("1.7e9").0, "2023-11-14T22:13:20Z");
        assert_eq!(at("0").0, "1970-01-01T00:00:00Z");
        assert_eq!(at("-1.5").0, "1969-12-31T23:59:58.5Z");
    }

    #[test]
    fn what_is_no_moment() {
        for text in [
            "",
            " ",
            "yesterday",
            "2026-02-29",
            "2026-13-01",
            "2026-11-31",
            "20/11/2026",
            "2026-11-20T",
            "2026-11-20T25:00:00Z",
            "2026-11-20T10:00:00+25:00",
            "2026-11-20T10:00:00.Z",
            "2026-11-20T10:00:00Zjunk",
            "1.",
            "--1",
            "1e400",
            "é026-11-20",
            "99999999999999999999",
            "+5",
            "NaN",
            "2026-11-20T10:00:00 é",
        ] {
            assert!(parse(text).is_none() || text == "1.", "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_rfc_3339(micros in -62_135_596_800_000_000i64..253_402_300_799_000_000, offset in -1_439i16..1_440) {
            let moment = Timestamp::from_micros(micros);
            let text = moment.to_rfc3339_at(offset);
            if text.starts_with(|c: char| c.is_ascii_digit()) && Timestamp::parse_rfc3339(&text).is_some() {
                prop_assert_eq!(parse(&text), Some(Moment { at: moment, offset: Some(offset) }));
            }
        }

        #[test]
        fn never_panics(text in any::<String>(), ascii in "[0-9TZ:+. ,-]{0,40}") {
            let _ = (parse(&text), parse(&ascii), number(&text));
        }
    }
}
