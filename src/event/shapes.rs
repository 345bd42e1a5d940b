//! The accepted shapes of one event, and how each becomes a [`Draft`].
//!
//! The nested form, the flat form, the `{event_id, event_type, timestamp, user_id, event_details}` form and a bare
//! object differ only in the names of their keys, so one table ([`names`]) reads them all, and a client may mix them.
//! What the table does not know goes to the details, and a warning names it. CloudEvents have their own reader,
//! [`cloudevent`], which uses the same table for what an event's `data` holds.

pub mod cloudevent;
mod names;

use std::borrow::Cow;

use super::json::pointer::push_step;
use super::json::scan::{self, Member};
use super::json::text::quote_into;
use super::json::{Json, Span, Value};
use super::moment;
use super::problem::{MESSAGE_MAX, NAME_MAX, Problem};
pub use names::Slot;
use names::{Known, SLOTS, known, known_of_actor, known_of_resource};

/// Whether a key at the outermost level is one by which an event is known, and not only one that it may have beside: tags
/// and metadata stand in many files that tell of nothing.
pub fn tells_of_an_event(key: &str) -> bool {
    !matches!(known(key), None | Some(Known::Slot(Slot::Details | Slot::Tags)))
}

/// Where a value stood: a fixed path and a key.
#[derive(Clone, Debug)]
pub struct Location<'a> {
    parent: &'static str,
    key: Cow<'a, str>,
}

impl<'a> Location<'a> {
    /// The member `key` of the object at `parent`.
    pub fn new(parent: &'static str, key: Cow<'a, str>) -> Self {
        Self { parent, key }
    }

    /// As a JSON pointer.
    pub fn pointer(&self) -> String {
        let mut pointer = self.parent.to_owned();
        push_step(&mut pointer, &self.key);
        pointer
    }
}

/// A value for a slot, and where it stood.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// Where it stood.
    pub location: Location<'a>,
    /// What was written.
    pub value: Value<'a>,
}

/// Something that no slot takes, on its way to the details.
#[derive(Debug)]
struct Extra<'a> {
    /// The object that it stays in: `actor`, `resource` or `cloudevent`.
    group: Option<&'static str>,
    location: Location<'a>,
    value: Value<'a>,
}

/// How strictly names are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A value that does not fit its field is a problem: the client writes to us.
    Strict,
    /// A value that does not fit stays in the details: the `data` of a CloudEvent follows its own type's rules.
    Lenient,
}

/// What a client wrote, sorted into slots but not yet checked.
#[derive(Debug)]
pub struct Draft<'a> {
    slots: [Option<Given<'a>>; SLOTS],
    extra: Vec<Extra<'a>>,
    /// The CloudEvents `source`: the namespace of its id.
    pub cloudevent_source: Option<Cow<'a, str>>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What was kept, but perhaps not as meant.
    pub warnings: Vec<Problem>,
}

impl<'a> Draft<'a> {
    /// Nothing said yet.
    pub fn empty() -> Self {
        Self {
            slots: [const { None }; SLOTS],
            extra: Vec::new(),
            cloudevent_source: None,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Reads an object in any of the plain shapes.
    pub fn read(&mut self, members: &[Member<'a>], reading: Reading) {
        let (root, actor, resource) = match reading {
            Reading::Strict => ("", "/actor", "/resource"),
            Reading::Lenient => ("/data", "/data/actor", "/data/resource"),
        };
        for member in members {
            let location = Location::new(root, member.key.decode());
            match known(&location.key) {
                Some(Known::Slot(slot)) => self.fill(slot, location, member.value, reading),
                Some(Known::Actor) => {
                    self.read_group("actor", actor, known_of_actor, location, member.value, reading)
                }
                Some(Known::Resource) => {
                    self.read_group(
                        "resource",
                        resource,
                        known_of_resource,
                        location,
                        member.value,
                        reading,
                    );
                }
                None if reading == Reading::Lenient => self.keep(None, location, member.value),
                None => self.set_aside(None, location, member.value),
            }
        }
    }

    fn read_group(
        &mut self,
        group: &'static str,
        parent: &'static str,
        known: fn(&str) -> Option<Slot>,
        location: Location<'a>,
        value: Value<'a>,
        reading: Reading,
    ) {
        match value {
            Value::Null => {}
            Value::Object(span) => {
                for member in scan::members(span) {
                    let location = Location::new(parent, member.key.decode());
                    match known(&location.key) {
                        Some(slot) => self.fill(slot, location, member.value, reading),
                        None => self.set_aside(Some(group), location, member.value),
                    }
                }
            }
            other if reading == Reading::Strict => {
                self.problem(&location, format!("expected an object, found {}", other.kind()));
            }
            other => self.set_aside(None, location, other),
        }
    }

    /// Puts a value into its slot. Null and the empty string say nothing. A second value for the same slot must be
    /// the same as the first.
    pub fn fill(&mut self, slot: Slot, location: Location<'a>, value: Value<'a>, reading: Reading) {
        match value {
            Value::Null => return,
            Value::Text(text) if text.is_empty() => return,
            _ => {}
        }
        let lenient = reading == Reading::Lenient && slot != Slot::Tenant;
        match &self.slots[slot as usize] {
            None if lenient && !suits(slot, &value) => self.set_aside(None, location, value),
            None => self.slots[slot as usize] = Some(Given { location, value }),
            Some(first) if agree(slot, &first.value, &value) => {}
            Some(_) if lenient => self.set_aside(None, location, value),
            Some(first) => {
                let detail = format!(
                    "disagrees with `{}`, which names the same field",
                    first.location.pointer()
                );
                self.problem(&location, detail);
            }
        }
    }

    /// Sends a value to the details, with a warning.
    fn set_aside(&mut self, group: Option<&'static str>, location: Location<'a>, value: Value<'a>) {
        let detail = match known(&location.key) {
            Some(_) if group.is_none() => "does not fit the field of this name: kept in the details",
            _ => "unknown key: kept in the details",
        };
        self.warnings.push(Problem::new(location.pointer(), detail));
        self.keep(group, location, value);
    }

    /// Sends a value to the details, where its sender meant it to go; with others of a `group`, under that name.
    pub fn keep(&mut self, group: Option<&'static str>, location: Location<'a>, value: Value<'a>) {
        self.extra.push(Extra {
            group,
            location,
            value,
        });
    }

    /// Notes a problem.
    pub fn problem(&mut self, location: &Location<'_>, detail: impl Into<String>) {
        self.problems.push(Problem::new(location.pointer(), detail));
    }

    /// Takes what was given for a slot.
    pub fn take(&mut self, slot: Slot) -> Option<Given<'a>> {
        self.slots[slot as usize].take()
    }

    /// Looks at what was given for a slot.
    pub fn given(&self, slot: Slot) -> Option<&Given<'a>> {
        self.slots[slot as usize].as_ref()
    }

    /// Whether nothing was said at all.
    pub fn is_empty(&self) -> bool {
        self.extra.is_empty() && self.slots.iter().all(Option::is_none)
    }

    /// The details: what was given as such, and everything that no slot took.
    pub fn take_details(&mut self) -> Option<Json> {
        let given = match self.take(Slot::Details) {
            Some(Given {
                location,
                value: Value::Object(span),
            }) => Some((location, span)),
            Some(Given { location, value }) => {
                self.problem(&location, format!("expected an object, found {}", value.kind()));
                None
            }
            None => None,
        };
        let extra = self.group_extra();
        let mut out = String::new();
        match given {
            Some((_, span)) if extra.is_empty() => span.write_compact(&mut out),
            given => self.merge(given.map(|(_, span)| span), &extra, &mut out),
        }
        (out.len() > 2).then(|| Json::from_compact(out))
    }

    fn merge(&mut self, given: Option<Span<'a>>, extra: &[(Location<'a>, String)], out: &mut String) {
        let members = given.map(scan::members).unwrap_or_default();
        out.push('{');
        for member in &members {
            if out.len() > 1 {
                out.push(',');
            }
            Value::Text(member.key).write_compact(out);
            out.push(':');
            member.value.write_compact(out);
        }
        for (location, value) in extra {
            if let Some(same) = members.iter().find(|member| member.key.decode() == location.key) {
                if !same_text(&same.value, value) {
                    self.problem(location, "the details hold another value of this name");
                }
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            quote_into(&location.key, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
    }

    /// One entry per key of the details: what stood inside `actor` or `resource` stays together under that name.
    fn group_extra(&mut self) -> Vec<(Location<'a>, String)> {
        let mut entries: Vec<(Location<'a>, String)> = Vec::with_capacity(self.extra.len());
        let mut groups: Vec<(&'static str, String)> = Vec::new();
        for extra in std::mem::take(&mut self.extra) {
            let mut text = String::new();
            let Some(group) = extra.group else {
                extra.value.write_compact(&mut text);
                entries.push((extra.location, text));
                continue;
            };
            quote_into(&extra.location.key, &mut text);
            text.push(':');
            extra.value.write_compact(&mut text);
            match groups.iter_mut().find(|(name, _)| *name == group) {
                Some((_, members)) => {
                    members.push(',');
                    members.push_str(&text);
                }
                None => groups.push((group, text)),
            }
        }
        for (group, members) in groups {
            let location = Location::new("", Cow::Borrowed(group));
            if entries.iter().any(|(other, _)| other.key == group) {
                self.problem(&location, "the details hold another value of this name");
            }
            entries.push((location, format!("{{{members}}}")));
        }
        entries
    }
}

fn same_text(value: &Value<'_>, text: &str) -> bool {
    let mut other = String::new();
    value.write_compact(&mut other);
    other == text
}

/// Whether two values for one slot say the same.
fn agree(slot: Slot, a: &Value<'_>, b: &Value<'_>) -> bool {
    let text = |value: &Value<'_>| match value {
        Value::Text(text) => text.decode().into_owned(),
        other => {
            let mut out = String::new();
            other.write_compact(&mut out);
            out
        }
    };
    let (a, b) = (text(a), text(b));
    match slot {
        Slot::Time => {
            a == b
                || moment::parse(&a)
                    .zip(moment::parse(&b))
                    .is_some_and(|(a, b)| a.at == b.at)
        }
        Slot::Severity | Slot::Outcome => a.eq_ignore_ascii_case(&b),
        _ => a == b,
    }
}

/// Whether a value from the `data` of a CloudEvent can be what the slot's name promises.
fn suits(slot: Slot, value: &Value<'_>) -> bool {
    let text = |fits: fn(&str) -> bool| matches!(value, Value::Text(text) if fits(&text.decode()));
    match slot {
        Slot::Before | Slot::After => true,
        Slot::Details => matches!(value, Value::Object(_)),
        Slot::Tags => matches!(value, Value::Array(_)),
        Slot::Severity => text(|text| super::Severity::parse(text).is_some()),
        Slot::Outcome => text(|text| super::Outcome::parse(text).is_some()),
        Slot::Ip => text(|text| text.parse::<std::net::IpAddr>().is_ok()),
        Slot::Time => text(|text| moment::parse(text).is_some()),
        Slot::Message => text(|text| text.len() <= MESSAGE_MAX),
        _ => text(|text| text.len() <= NAME_MAX),
    }
}
