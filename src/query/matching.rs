//! The filter language on single events as they pass: says of each what the same filter, compiled to SQL, says of its
//! row.
//!
//! Many clients ask about the same event, so what has to be worked out of it (its leaves, its words) is kept beside
//! it in [`Facts`], made when the first filter asks for it. A story compares both sides on the real ClickHouse.

use std::sync::OnceLock;

use ipnet::IpNet;

use super::filter::{Comparison, Condition, Field, Filter, Operand, Range, Test, TextField, is_number};
use super::networks::ends;
use super::scope::Scope;
use super::words::{Term, tokens};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::event::problem::SYSTEM_PREFIX;
use crate::store::details;
use crate::store::row::address;

/// With so many values or fewer they are tried one after another.
const FEW: usize = 16;

/// What is worked out of an event once, whoever asks.
#[derive(Debug, Default)]
pub struct Facts {
    leaves: OnceLock<Leaves>,
    words: OnceLock<Vec<String>>,
}

/// The leaves of the details.
#[derive(Debug, Default)]
struct Leaves {
    /// As they stand in the event.
    all: Vec<Leaf>,
    /// The same by their paths: an event may have very many, and a filter ask for very many.
    by_path: Vec<usize>,
}

impl Leaves {
    fn of(all: Vec<Leaf>) -> Self {
        let mut by_path: Vec<usize> = (0..all.len()).collect();
        by_path.sort_by(|a, b| all[*a].path.cmp(&all[*b].path));
        Self { all, by_path }
    }

    /// The values at a path.
    fn at(&self, path: &str) -> impl Iterator<Item = &str> {
        let begin = self.by_path.partition_point(|at| *self.all[*at].path < *path);
        let leaves = self.by_path[begin..].iter().map(|at| &self.all[*at]);
        leaves
            .take_while(move |leaf| leaf.path == path)
            .map(|leaf| leaf.value.as_str())
    }
}

/// A leaf of the details: its path without indexes, and its value as text.
#[derive(Debug)]
struct Leaf {
    path: String,
    value: String,
}

impl Facts {
    fn leaves(&self, event: &Event) -> &Leaves {
        self.leaves.get_or_init(|| {
            let flat = event
                .details
                .as_ref()
                .and_then(|json| details::flatten(json.as_str()));
            let entries = flat.unwrap_or_default().entries.into_iter();
            let leaves = entries.map(|(path, value)| Leaf {
                path: details::without_indexes(&path).into_owned(),
                value: value.into_owned(),
            });
            Leaves::of(leaves.collect())
        })
    }

    /// The words of the message, then those of the details: the column `search_text`.
    fn words(&self, event: &Event) -> &[String] {
        self.words.get_or_init(|| {
            let mut words = tokens(event.message.as_deref().unwrap_or_default());
            for leaf in &self.leaves(event).all {
                words.append(&mut tokens(&leaf.value));
            }
            words
        })
    }
}

impl Scope {
    /// Whether this event is one that may be seen.
    pub fn admits(&self, event: &Event, facts: &Facts) -> bool {
        event.tenant_id == *self.tenant()
            && self.visible_from().is_none_or(|from| event.time >= from)
            && self.own().is_none_or(|own| text(&event.actor.id) == own)
            && self.limit().is_none_or(|limit| limit.says(event, facts))
    }
}

impl Filter {
    /// Whether an event satisfies it.
    pub fn matches(&self, event: &Event) -> bool {
        self.matches_with(event, &Facts::default())
    }

    /// The same, with what is known of the event already.
    pub fn matches_with(&self, event: &Event, facts: &Facts) -> bool {
        !(event.event_type.starts_with(SYSTEM_PREFIX) && self.hides_system()) && self.says(event, facts)
    }

    /// What it says by itself.
    fn says(&self, event: &Event, facts: &Facts) -> bool {
        within(self.time, event.time)
            && within(self.received, event.received_at)
            && self
                .conditions
                .iter()
                .all(|condition| holds(condition, event, facts) != condition.negated)
            && (self.any_of.is_empty() || self.any_of.iter().any(|one| holds(one, event, facts)))
            && self.words.groups.iter().all(|group| {
                let words = facts.words(event);
                group.iter().any(|term| has(words, term) != term.negated)
            })
    }
}

fn within(range: Range, at: Timestamp) -> bool {
    range.from.is_none_or(|from| at >= from) && range.to.is_none_or(|to| at < to)
}

/// A condition as it is affirmed; the caller negates.
fn holds(condition: &Condition, event: &Event, facts: &Facts) -> bool {
    match (&condition.field, &condition.test) {
        (Field::Text(field), Test::OneOf(values)) => is_one_of(field_text(event, *field), values),
        (Field::Text(field), Test::Prefix(values)) => begins(field_text(event, *field), values),
        (Field::Tag, Test::OneOf(values)) => match event.tags.as_slice() {
            [] => is_one_of("", values),
            tags => tags.iter().any(|tag| is_one_of(tag, values)),
        },
        (Field::Details(path), Test::OneOf(values)) => {
            let has_none = || facts.leaves(event).at(path).next().is_none();
            leaf(event, facts, path, |value| is_one_of(value, values))
                || (is_one_of("", values) && has_none())
        }
        (Field::Details(path), Test::Prefix(values)) => {
            leaf(event, facts, path, |value| begins(value, values))
        }
        (Field::Details(path), Test::Compare(how, operands)) => leaf(event, facts, path, |value| {
            let number = is_number(value).then(|| value.parse().ok()).flatten();
            operands
                .iter()
                .any(|operand| compares(value, number, *how, operand))
        }),
        (Field::EventId, Test::Ids(ids)) => ids.contains(&event.event_id),
        (Field::Ip, Test::Inside(networks)) => {
            let ip = address(event.actor.ip);
            let has = |network: &Option<IpNet>| {
                let (first, last) = ends(network.as_ref());
                first <= ip && ip <= last
            };
            networks.iter().any(has)
        }
        (Field::Severity, Test::Severities(severities)) => severities.contains(&event.severity),
        (Field::Severity, Test::AtLeast(severity)) => event.severity >= *severity,
        (Field::Outcome, Test::Outcomes(outcomes)) => outcomes.contains(&event.outcome),
        // The parser pairs fields with tests that they have; any other pair asks for what no event can satisfy.
        _ => false,
    }
}

/// Whether some leaf at the path satisfies it.
fn leaf(event: &Event, facts: &Facts, path: &str, test: impl Fn(&str) -> bool) -> bool {
    facts.leaves(event).at(path).any(test)
}

/// The parser sorts values, so that a thousand of them cost ten comparisons.
fn is_one_of(text: &str, values: &[String]) -> bool {
    match values.len() {
        ..=FEW => values.iter().any(|value| value == text),
        _ => values.binary_search_by(|value| value.as_str().cmp(text)).is_ok(),
    }
}

fn begins(text: &str, prefixes: &[String]) -> bool {
    prefixes.iter().any(|prefix| text.starts_with(prefix.as_str()))
}

/// `number`: what the value is, where it is one.
fn compares(value: &str, number: Option<f64>, how: Comparison, operand: &Operand) -> bool {
    match operand {
        Operand::Number(operand) => number.is_some_and(|number| ordered(&number, how, operand)),
        Operand::Text(text) => ordered(value, how, text.as_str()),
    }
}

fn ordered<T: PartialOrd + ?Sized>(value: &T, how: Comparison, operand: &T) -> bool {
    match how {
        Comparison::Greater => value > operand,
        Comparison::AtLeast => value >= operand,
        Comparison::Less => value < operand,
        Comparison::AtMost => value <= operand,
    }
}

fn has(words: &[String], term: &Term) -> bool {
    match term.words.as_slice() {
        [word] => words.contains(word),
        phrase => words.windows(phrase.len()).any(|run| run == phrase),
    }
}

fn field_text(event: &Event, field: TextField) -> &str {
    let (actor, resource, source) = (&event.actor, &event.resource, &event.source);
    match field {
        TextField::EventType => &event.event_type,
        TextField::SourceKind => &source.kind,
        TextField::SourceEventId => text(&event.source_event_id),
        TextField::Action => text(&event.action),
        TextField::ActorId => text(&actor.id),
        TextField::ActorType => text(&actor.kind),
        TextField::ActorName => text(&actor.name),
        TextField::ActorEmail => text(&actor.email),
        TextField::SessionId => text(&actor.session_id),
        TextField::UserAgent => text(&actor.user_agent),
        TextField::ResourceType => text(&resource.kind),
        TextField::ResourceId => text(&resource.id),
        TextField::ResourceName => text(&resource.name),
        TextField::RequestId => text(&event.request_id),
        TextField::TraceId => text(&event.trace_id),
        TextField::SourceId => text(&source.id),
    }
}

fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
