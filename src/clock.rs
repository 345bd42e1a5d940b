//! Time and fresh ids, passed in so that everything that depends on them can be tested without waiting.
//!
//! [`Timestamp`] is the one representation of time in Trailhouse: microseconds since 1970 in UTC, which is what
//! the Avro schema (`timestamp-micros`) and ClickHouse (`DateTime64(6)`) hold as well.

use std::fmt;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

/// A moment in microseconds since 1970-01-01T00:00:00Z. Prints and serialises as RFC 3339 with a `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since 1970; saturates far outside any date that RFC 3339 can write.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Reads RFC 3339 (`2026-11-20T09:00:00.123456+01:00`): the moment, and the offset as written, in minutes
    /// east of UTC. Digits beyond the microsecond are cut. `None` when the text is no such date.
    pub fn parse_rfc3339(text: &str) -> Option<(Self, i16)> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some((Self::from_datetime(at), at.offset().whole_minutes()))
    }

    fn from_datetime(at: OffsetDateTime) -> Self {
        // Years 0 to 9999 in nanoseconds fit an i128, and in microseconds an i64.
        Self(at.unix_timestamp_nanos().div_euclid(1_000) as i64)
    }

    /// The calendar month in UTC as `yyyymm`, the number that ClickHouse's `toYYYYMM` gives.
    pub fn month(self) -> u32 {
        self.datetime().map_or(0, |at| {
            at.year().max(0) as u32 * 100 + u32::from(u8::from(at.month()))
        })
    }

    /// This moment moved later by `by`.
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// This moment moved earlier by `by`.
    pub fn minus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// RFC 3339 at the offset the client wrote, so that local time is not lost: `…+01:00`.
    pub fn to_rfc3339_at(self, offset_minutes: i16) -> String {
        let offset = UtcOffset::from_whole_seconds(i32::from(offset_minutes) * 60).unwrap_or(UtcOffset::UTC);
        self.datetime()
            .and_then(|at| at.to_offset(offset).format(&Rfc3339).ok())
            .unwrap_or_else(|| self.0.to_string())
    }

    fn datetime(self) -> Option<OffsetDateTime> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000).ok()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339_at(0))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .map(|(at, _)| at)
            .ok_or_else(|| serde::de::Error::custom("expected a date such as 2026-11-20T09:00:00Z"))
    }
}

/// Where "now" and fresh ids come from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// A fresh UUIDv7, ordered after every one this clock gave before in the same millisecond.
    fn fresh_id(&self) -> Uuid;
    /// Time since some beginning: it never jumps with the calendar, so ages are measured by it.
    fn uptime(&self) -> Duration;
}

/// The machine's clock, and ids from its random source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn fresh_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn uptime(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGINNING.elapsed()
    }
}

/// A clock for tests: stands still until it is moved, and counts its ids.
#[derive(Debug)]
pub struct FixedClock {
    beginning: Timestamp,
    state: Mutex<(Timestamp, u64)>,
}

impl FixedClock {
    /// A clock that says `now` until [`FixedClock::advance`] is called.
    pub fn at(now: Timestamp) -> Self {
        Self {
            beginning: now,
            state: Mutex::new((now, 0)),
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.0 = state.0.plus(by);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .0
    }

    fn fresh_id(&self) -> Uuid {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.1 += 1;
        let mut random = [0u8; 10];
        random[2..].copy_from_slice(&state.1.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(state.0.millis().max(0) as u64, &random).into_uuid()
    }

    fn uptime(&self) -> Duration {
        let millis = self.now().millis() - self.beginning.millis();
        Duration::from_millis(millis.max(0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_keeps_its_moment_and_its_offset() {
        let (at, offset) = Timestamp::parse_rfc3339("2026-11-20T10:00:00.123456789+01:00").unwrap();
        assert_eq!(at.to_string(), "2026-11-20T09:00:00.123456Z");
        assert_eq!(offset, 60);
        assert_eq!(at.to_rfc3339_at(offset), "2026-11-20T10:00:00.123456+01:00");
        assert_eq!(at.month(), 202611);
    }

    #[test]
    fn before_1970_rounds_down() {
        let (at, _) = Timestamp::parse_rfc3339("1969-12-31T23:59:59.9999999Z").unwrap();
        assert_eq!(at.micros(), -1);
        assert_eq!(at.millis(), -1);
    }

    #[test]
    fn ids_of_a_fixed_clock_are_version_7_and_ordered() {
        let clock = FixedClock::at(Timestamp::from_millis(1_700_000_000_000));
        let (a, b) = (clock.fresh_id(), clock.fresh_id());
        assert_eq!(a.get_version_num(), 7);
        assert!(a < b);
    }
}
