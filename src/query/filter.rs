//! What a search asks for, free of SQL and of HTTP: the same filter is compiled to SQL for what lies in the table,
//! and can be held against single events as they pass.

use ipnet::IpNet;
use uuid::Uuid;

use super::words::Words;
use crate::clock::Timestamp;
use crate::event::{Outcome, Severity};

/// All conditions, every one of which an event must satisfy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// When it happened.
    pub time: Range,
    /// When Trailhouse took it.
    pub received: Range,
    /// On its fields, in an order that does not depend on how the question was written.
    pub conditions: Vec<Condition>,
    /// Conditions of which one is enough; none asks for nothing.
    pub any_of: Vec<Condition>,
    /// On its text.
    pub words: Words,
    /// Whether Trailhouse's own records are wanted although no condition names their type.
    pub system: bool,
}

/// From a moment (inclusive) to another (exclusive); open where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Not before this.
    pub from: Option<Timestamp>,
    /// Before this.
    pub to: Option<Timestamp>,
}

/// One condition on one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The field.
    pub field: Field,
    /// What must hold of it.
    pub test: Test,
    /// Whether it must not hold instead. An event that lacks the field satisfies every such condition.
    pub negated: bool,
}

/// Something of an event that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// A field that holds one text.
    Text(TextField),
    /// The event's id.
    EventId,
    /// Where the actor was.
    Ip,
    /// How serious.
    Severity,
    /// How it ended.
    Outcome,
    /// Any of the labels.
    Tag,
    /// A leaf of the details by its path without indexes: any element of an array counts.
    Details(String),
}

/// The fields of one text each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // they are the event's
pub enum TextField {
    SourceEventId,
    EventType,
    Action,
    ActorId,
    ActorType,
    ActorName,
    ActorEmail,
    SessionId,
    UserAgent,
    ResourceType,
    ResourceId,
    ResourceName,
    RequestId,
    TraceId,
    SourceKind,
    SourceId,
}

/// What must hold of a field; several values mean that one of them is enough.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Is exactly one of these. The empty text stands for "absent".
    OneOf(Vec<String>),
    /// Begins with one of these.
    Prefix(Vec<String>),
    /// Compares so with one of these.
    Compare(Comparison, Vec<Operand>),
    /// Is one of these ids.
    Ids(Vec<Uuid>),
    /// Lies in one of these networks; `None` stands for "absent".
    Inside(Vec<Option<IpNet>>),
    /// Is one of these.
    Severities(Vec<Severity>),
    /// Is this or worse.
    AtLeast(Severity),
    /// Is one of these.
    Outcomes(Vec<Outcome>),
}

/// An order relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Comparison {
    /// Greater.
    Greater,
    /// Greater or equal.
    AtLeast,
    /// Less.
    Less,
    /// Less or equal.
    AtMost,
}

/// What a leaf is compared with. A number is compared with leaves that are numbers, whether written as JSON numbers
/// or as strings; anything else with all leaves, as text, byte by byte, which orders dates of one form.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// As a number.
    Number(f64),
    /// As text.
    Text(String),
}

impl Filter {
    /// Whether Trailhouse's own records are to be left out.
    pub fn hides_system(&self) -> bool {
        let asked = |condition: &Condition| {
            condition.field == Field::Text(TextField::EventType) && !condition.negated
        };
        !self.system && !self.conditions.iter().any(asked)
    }

    /// Whether what it finds lies side by side in the table, but for a row left out here and there.
    pub fn finds_neighbours(&self) -> bool {
        let asks_nothing = self.conditions.is_empty() && self.any_of.is_empty() && self.words.is_empty();
        asks_nothing && self.received == Range::default()
    }

    /// One text for every filter that means the same, to bind a cursor to it. It holds within one release.
    pub fn canonical(&self) -> String {
        format!("{self:?}")
    }
}

impl Range {
    /// Whether some of a month (`yyyymm`) lies in it.
    pub fn meets(&self, month: u32) -> bool {
        self.from.is_none_or(|from| from.month() <= month) && self.to.is_none_or(|to| to.month() >= month)
    }
}

impl Comparison {
    /// From its name in a parameter: `gt`, `gte`, `lt`, `lte`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "gt" => Some(Self::Greater),
            "gte" => Some(Self::AtLeast),
            "lt" => Some(Self::Less),
            "lte" => Some(Self::AtMost),
            _ => None,
        }
    }
}

impl Operand {
    /// A number where the text is one as JSON writes it, else the text.
    pub fn parse(text: &str) -> Self {
        match is_number(text).then(|| text.parse::<f64>()) {
            Some(Ok(number)) if number.is_finite() => Self::Number(number),
            _ => Self::Text(text.to_owned()),
        }
    }
}

/// Whether a text is a number as JSON writes them: no blanks, no `+`, no hexadecimals, no infinities.
pub fn is_number(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        for text in ["0", "-1", "1.50", "1e5", "-2.5E-3", "007"] {
            assert!(is_number(text), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "0x10",
            "inf",
            "NaN",
            " 1",
            "1_000",
            "2026-01-01",
        ] {
            assert!(!is_number(text), "{text}");
        }
        assert_eq!(Operand::parse("1e999"), Operand::Text("1e999".to_owned()));
    }

    #[test]
    fn own_records_are_shown_to_those_who_name_their_type() {
        let asking = |negated| Condition {
            field: Field::Text(TextField::EventType),
            test: Test::OneOf(vec!["trailhouse.search".to_owned()]),
            negated,
        };
        assert!(Filter::default().hides_system());
        assert!(
            Filter {
                conditions: vec![asking(true)],
                ..Filter::default()
            }
            .hides_system()
        );
        assert!(
            !Filter {
                conditions: vec![asking(false)],
                ..Filter::default()
            }
            .hides_system()
        );
        assert!(
            !Filter {
                system: true,
                ..Filter::default()
            }
            .hides_system()
        );
    }
}
