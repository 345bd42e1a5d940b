//! What statistics say.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::ask::{Dimension, Question};
use super::sql::{CountedRow, GroupRow, NewTypeRow};
use crate::clock::Timestamp;
use crate::event::{Outcome, Severity};
use crate::query::fields::Named;
use crate::store::row;

/// The answer to a [`Question`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// How many events there are.
    pub total: Option<u64>,
    /// How long a bucket is, as it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Events by time, oldest first, none left out.
    pub buckets: Vec<Bucket>,
    /// Events by fields.
    #[serde(flatten)]
    pub groups: Groups,
    /// How many different values each field has.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub distinct: BTreeMap<String, u64>,
    /// By severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<BTreeMap<&'static str, Share>>,
    /// By outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<BTreeMap<&'static str, Share>>,
    /// Event types that were seen first since then, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_types: Option<Vec<NewType>>,
}

/// Events of a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Where it begins.
    pub time: Timestamp,
    /// How many.
    pub count: u64,
    /// How many different values of each field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub distinct: BTreeMap<String, u64>,
}

/// The largest groups, and what is left.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Groups {
    /// The largest first.
    pub groups: Vec<Group>,
    /// All others together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<CountedRow>,
}

/// Events that have the same values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Field and value; `None`: the events have none.
    #[serde(serialize_with = "in_order")]
    pub key: Vec<(String, Option<String>)>,
    /// How many, and of all.
    #[serde(flatten)]
    pub share: Share,
}

/// A number of events, and which part of all they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// How many.
    pub count: u64,
    /// Of one.
    pub share: f64,
}

/// An event type, and when it was seen first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewType {
    /// The type.
    pub event_type: String,
    /// The time of its first event.
    pub first_seen: Timestamp,
    /// How many there are by now.
    pub count: u64,
}

impl Stats {
    pub(super) fn of(question: &Question) -> Self {
        Self {
            interval: question.interval_name.clone(),
            ..Self::default()
        }
    }

    pub(super) fn take_shares(&mut self, shares: &Shares) {
        let total = shares.total();
        let share = |count: u64| Share::of(count, total);
        let severity = Severity::ALL.into_iter().zip(shares.severities);
        self.severity = Some(
            severity
                .map(|(severity, count)| (severity.as_str(), share(count)))
                .collect(),
        );
        let outcome = Outcome::ALL.into_iter().zip(shares.outcomes);
        self.outcome = Some(
            outcome
                .map(|(outcome, count)| (outcome.as_str(), share(count)))
                .collect(),
        );
    }
}

impl Share {
    fn of(count: u64, total: u64) -> Self {
        let share = if total == 0 {
            0.0
        } else {
            count as f64 / total as f64
        };
        Self {
            count,
            // Four digits: a hundredth of a per cent.
            share: (share * 10_000.0).round() / 10_000.0,
        }
    }
}

impl Group {
    pub(super) fn of(dimensions: &[Dimension], row: GroupRow, total: u64) -> Self {
        let key = dimensions.iter().zip(row.keys).map(|(dimension, value)| {
            let value = match dimension {
                Dimension::Field(Named::Ip) => address(value),
                _ => value,
            };
            (dimension.name(), (!value.is_empty()).then_some(value))
        });
        Self {
            key: key.collect(),
            share: Share::of(row.events, total),
        }
    }
}

impl From<NewTypeRow> for NewType {
    fn from(row: NewTypeRow) -> Self {
        Self {
            event_type: row.event_type,
            first_seen: Timestamp::from_micros(row.first_seen),
            count: row.events,
        }
    }
}

/// An address as answers show it: the table has all of them as IPv6, and `::` for none.
fn address(text: String) -> String {
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(ip) if ip.is_unspecified() => String::new(),
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => text,
    }
}

/// An object whose keys stand as they were asked for.
fn in_order<S: Serializer>(pairs: &[(String, Option<String>)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (name, value) in pairs {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// Events by severity and by outcome, in the order of their `ALL`.
#[derive(Debug, Default)]
pub(super) struct Shares {
    severities: [u64; 4],
    outcomes: [u64; 3],
}

impl Shares {
    /// `None` when no event has such a severity or outcome.
    pub(super) fn add(&mut self, severity: i8, outcome: i8, events: u64) -> Option<()> {
        let (severity, outcome) = (row::severity(severity)?, row::outcome(outcome)?);
        let at = Severity::ALL.iter().position(|known| *known == severity)?;
        *self.severities.get_mut(at)? += events;
        let at = Outcome::ALL.iter().position(|known| *known == outcome)?;
        *self.outcomes.get_mut(at)? += events;
        Some(())
    }

    pub(super) fn total(&self) -> u64 {
        self.outcomes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_all_and_of_nothing_none() {
        assert_eq!(Share::of(1, 3).share, 0.3333);
        assert_eq!(Share::of(0, 0).share, 0.0);
        let mut shares = Shares::default();
        shares.add(4, 2, 5).unwrap();
        shares.add(1, 0, 1).unwrap();
        assert_eq!(shares.add(9, 0, 1), None);
        assert_eq!(shares.total(), 6);
    }

    #[test]
    fn addresses_are_shown_as_they_were_given() {
        for (stored, shown) in [
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::", ""),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(address(stored.to_owned()), shown);
        }
    }
}
