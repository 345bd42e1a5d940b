//! From the parameters of a request to a question about numbers.

use super::interval::{BUCKETS_MAX, Interval};
use crate::clock::Timestamp;
use crate::event::problem::Problem;
use crate::query::fields::{self, Named};
use crate::query::parse::{self, Search, moment_of};

/// The most fields to group by, or to count the values of.
pub const DIMENSIONS_MAX: usize = 3;
/// Groups where nothing is said, and at most.
pub const TOP_DEFAULT: u16 = 10;
/// The most groups of one answer.
pub const TOP_MAX: u16 = 1_000;

/// The parameters beside those of a search.
const OWN: [&str; 6] = [
    "interval",
    "group_by",
    "top",
    "distinct",
    "shares",
    "new_types_since",
];
/// What steers pages, of which there are none.
const REFUSED: [&str; 5] = ["sort", "limit", "cursor", "count", "fields"];

/// Names that elsewhere say whose days and hours are meant.
const ZONES: [&str; 4] = ["tz", "timezone", "time_zone", "utc_offset"];

/// What is counted, and by what.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Which events.
    pub search: Search,
    /// By time.
    pub interval: Option<Interval>,
    /// As it was written, to be shown.
    pub interval_name: Option<String>,
    /// By fields.
    pub group_by: Vec<Dimension>,
    /// So many groups, the largest.
    pub top: u16,
    /// Whose values are counted.
    pub distinct: Vec<Dimension>,
    /// Whether severities and outcomes are wanted; unsaid: where neither groups nor distinct values are.
    pub shares: Option<bool>,
    /// Event types that were seen first at or after this.
    pub new_types_since: Option<Timestamp>,
}

/// Something that events are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A field.
    Field(Named),
    /// A leaf of the details, by its path without indexes: each value that stands there.
    Details(String),
}

impl Question {
    /// Reads the parameters, decoded; everything that is wrong is found in one go.
    pub fn parse(params: &[(String, String)]) -> Result<Self, Vec<Problem>> {
        let of_zone = |(name, _): &(String, String)| ZONES.contains(&name.trim_end_matches('!'));
        let (zones, params): (Vec<_>, Vec<_>) = params.iter().cloned().partition(of_zone);
        let mut asked = parse::question(&params, &OWN, &REFUSED);
        let mut problems: Vec<Problem> = zones.into_iter().map(|(name, _)| in_utc(name)).collect();
        let mut wrong = |name: &str, detail: String| problems.push(Problem::new(name, detail));
        let mut dimensions = |name: &'static str, asked: &parse::Asked| {
            let lists: Vec<String> = asked.all(name).map(str::to_owned).collect();
            let names = lists.iter().flat_map(|list| list.split(',')).map(str::trim);
            let (mut found, mut named) = (Vec::new(), 0);
            for field in names.filter(|field| !field.is_empty()) {
                named += 1;
                match Dimension::parse(field) {
                    Ok(dimension) if found.contains(&dimension) => {}
                    Ok(dimension) => found.push(dimension),
                    Err(detail) => wrong(name, detail),
                }
            }
            if found.len() > DIMENSIONS_MAX {
                wrong(name, format!("more than {DIMENSIONS_MAX} fields"));
            }
            if !lists.is_empty() && named == 0 {
                wrong(name, "names no field".to_owned());
            }
            found
        };
        let (group_by, distinct) = (dimensions("group_by", &asked), dimensions("distinct", &asked));
        let mut read = |name: &'static str| asked.one(name);
        let (interval_name, top, shares, since) = (
            read("interval"),
            read("top"),
            read("shares"),
            read("new_types_since"),
        );
        let mut take = |name: &str, problem: String| problems.push(Problem::new(name, problem));
        let interval = interval_name.as_deref().map(Interval::parse).transpose();
        let interval = interval.unwrap_or_else(|detail| {
            take("interval", detail);
            None
        });
        let is_too_fine = |interval: Interval| interval.is_too_fine(asked.search.filter.time);
        if interval.is_some_and(is_too_fine) {
            take(
                "interval",
                format!(
                    "these are more than {BUCKETS_MAX} buckets: choose a longer interval, or a shorter time"
                ),
            );
        }
        let top = match top.as_deref().map(|top| top.parse::<u16>()) {
            None => TOP_DEFAULT,
            Some(Ok(top)) if (1..=TOP_MAX).contains(&top) && !group_by.is_empty() => top,
            Some(_) if group_by.is_empty() => {
                take(
                    "top",
                    "says how many groups there are to be, but there is no group_by".to_owned(),
                );
                TOP_DEFAULT
            }
            Some(_) => {
                take("top", format!("expected a number from 1 to {TOP_MAX}"));
                TOP_DEFAULT
            }
        };
        let shares = shares.and_then(|shares| match shares.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                take("shares", "expected true or false".to_owned());
                None
            }
        });
        let new_types_since = since.map(|since| moment_of(&since)).transpose();
        let new_types_since = new_types_since.unwrap_or_else(|detail| {
            take("new_types_since", detail);
            None
        });
        problems.extend(asked.problems);
        match problems.is_empty() {
            true => Ok(Self {
                search: asked.search,
                interval,
                interval_name,
                group_by,
                top,
                distinct,
                shares,
                new_types_since,
            }),
            false => Err(problems),
        }
    }

    /// Whether severities and outcomes are told.
    pub fn has_shares(&self) -> bool {
        let else_asked = !self.group_by.is_empty() || !self.distinct.is_empty();
        self.shares.unwrap_or(!else_asked)
    }

    /// Whether events are counted by time, severity and outcome; the total comes with the other counts otherwise.
    pub(super) fn needs_cells(&self) -> bool {
        let has_total = match self.group_by.as_slice() {
            [] => self.distinct.iter().any(Dimension::counts_events),
            group_by => group_by.iter().all(Dimension::counts_events),
        };
        self.interval.is_some() || self.has_shares() || !has_total
    }
}

fn in_utc(name: String) -> Problem {
    let detail = format!("buckets are of UTC; for a detail of this name write `details.{name}`");
    Problem::new(name, detail)
}

impl Dimension {
    fn parse(name: &str) -> Result<Self, String> {
        use Named as N;
        if let Some(path) = fields::details_path(name) {
            return Ok(Self::Details(path?));
        }
        match Named::parse(name) {
            Some(
                N::EventId
                | N::Time
                | N::TimeOffset
                | N::ReceivedAt
                | N::Message
                | N::Before
                | N::After
                | N::Details
                | N::Provenance
                | N::Revision,
            ) => Err(format!(
                "`{name}` is another one in nearly every event: nothing to count by; for time there is `interval`"
            )),
            Some(named) => Ok(Self::Field(named)),
            None => Err(fields::unknown(name)),
        }
    }

    /// Whether its counts add up to the number of events: an event counts with each of its tags, and with each value of a
    /// list in its details.
    pub(super) fn counts_events(&self) -> bool {
        matches!(self, Self::Field(named) if *named != Named::Tags)
    }

    /// What the answer calls it: `actor.id`, `details.amount`.
    pub fn name(&self) -> String {
        match self {
            Self::Field(named) => named.path().to_owned(),
            Self::Details(path) => format!("details.{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::params::pairs;

    fn parse(query: &str) -> Result<Question, Vec<Problem>> {
        Question::parse(&pairs(query).unwrap())
    }

    #[test]
    fn a_question_is_read_whole() {
        let question =
            parse("interval=15m&group_by=user_id,details.team&group_by=outcome&top=3&distinct=ip&user_id=a")
                .unwrap();
        let names: Vec<_> = question.group_by.iter().map(Dimension::name).collect();
        assert_eq!(names, ["actor.id", "details.team", "outcome"]);
        assert_eq!((question.top, question.distinct.len()), (3, 1));
        assert!(!question.has_shares() && parse("").unwrap().has_shares());
        assert!(parse("group_by=action&shares=true").unwrap().has_shares());
    }

    #[test]
    fn every_mistake_is_named() {
        for (query, field) in [
            ("interval=fortnight", "interval"),
            ("interval=minute&from=2026-01-01&to=2026-12-31", "interval"),
            ("interval=day&interval=hour", "interval"),
            ("group_by=amount", "group_by"),
            ("group_by=message", "group_by"),
            ("group_by=", "group_by"),
            ("group_by=action,outcome,severity,source", "group_by"),
            ("group_by=action&top=0", "top"),
            ("group_by=action&top=1001", "top"),
            ("top=5", "top"),
            ("distinct=actr.id", "distinct"),
            ("shares=perhaps", "shares"),
            ("new_types_since=yesterday", "new_types_since"),
            ("limit=5", "limit"),
            ("grup_by=action", "grup_by"),
            ("usr_id=a", "usr_id"),
            ("interval=hour&tz=Europe/Berlin", "tz"),
            ("timezone=UTC", "timezone"),
        ] {
            let problems = parse(query).unwrap_err();
            assert_eq!(problems[0].field, field, "{query}: {problems:?}");
        }
    }
}
