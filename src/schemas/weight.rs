//! What a schema weighs: how much there is to do for an event, and how much memory it takes when it is compiled.
//!
//! Nothing is written out for that: what a reference leads to is weighed once, and counts as often as it is referred to.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::Value;

use super::references::{Under, target};
use crate::event::draft::Problem;

/// How many schemas one may consist of once its references are followed.
const PARTS_MAX: usize = 2_000;
/// How many bytes it may be long then, about. As it is written it is 64 KiB at most.
const BYTES_MAX: usize = 512 << 10;
/// How many steps it may be deep then; what walks through it does so on the stack.
const DEPTH_MAX: usize = 128;
/// How much memory it may take when it is compiled, patterns left aside.
const COMPILED_MAX: usize = 8 << 20;

/// What a place in a schema takes when it is compiled, measured at 200 to 800 bytes.
const PLACE: usize = 512;
/// And each thing that is held against events there, at 600 to 900.
const PART: usize = 1_024;
/// A value takes 30 to 90 bytes: it is kept for comparing and for saying what was expected.
const DATUM: usize = 96;
/// How often a place's pointer is kept, for saying where something is wrong: long names above many places are large.
const POINTERS: usize = 2;

/// What a schema weighs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    /// How many things an event is held against: schemas, and the values and names that stand in them.
    pub(super) steps: usize,
    /// About how much memory it takes when it is compiled, patterns left aside.
    pub(super) bytes: usize,
}

/// Weighs a schema whose references lead somewhere within it.
pub(super) fn weigh(schema: &Value) -> Result<Weight, Problem> {
    let mut following = Following {
        root: schema,
        known: HashMap::new(),
        within: Vec::new(),
    };
    let followed = following.schema(schema, 0)?;
    let too_much = |detail: String| Err(Problem::new("", detail));
    let parts = followed.parts.saturating_add(followed.again);
    if parts > PARTS_MAX || followed.bytes > BYTES_MAX {
        return too_much(format!(
            "with its references followed it has {parts} parts and {} KiB; at most {PARTS_MAX} and {}: refer less often to \
             what is large, and to one enum instead of many",
            followed.bytes >> 10,
            BYTES_MAX >> 10
        ));
    }
    let bytes = PART * parts + compiled(schema, 0);
    if bytes > COMPILED_MAX {
        return too_much(format!(
            "it takes {} MiB of memory when it is compiled; at most {}: shorten the long names that stand above much else",
            bytes >> 20,
            COMPILED_MAX >> 20
        ));
    }
    Ok(Weight {
        steps: parts + followed.values,
        bytes,
    })
}

/// What a schema is with its references followed.
#[derive(Clone, Copy, Default)]
struct Followed {
    parts: usize,
    /// Those that `unevaluated…` looks at again.
    again: usize,
    /// That stand in them as data.
    values: usize,
    bytes: usize,
    depth: usize,
}

impl Followed {
    fn add(&mut self, other: Self) {
        self.parts = self.parts.saturating_add(other.parts);
        self.again = self.again.saturating_add(other.again);
        self.values = self.values.saturating_add(other.values);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.depth = self.depth.max(other.depth + 1);
    }
}

struct Following<'a> {
    root: &'a Value,
    known: HashMap<&'a str, Followed>,
    within: Vec<&'a str>,
}

impl<'a> Following<'a> {
    fn schema(&mut self, schema: &'a Value, depth: usize) -> Result<Followed, Problem> {
        expect_within(depth)?;
        let mut all = Followed {
            bytes: written(schema),
            ..Followed::default()
        };
        match schema {
            Value::Object(members) => {
                all.parts = 1;
                for (name, member) in members {
                    all.bytes += name.len() + 4;
                    all.add(self.keyword(name, member, depth + 1)?);
                }
                let looks = members.keys().filter(|name| name.starts_with("unevaluated"));
                all.again = all.again.saturating_add(all.parts.saturating_mul(looks.count()));
            }
            Value::Array(elements) => {
                all.parts = 1;
                for element in elements {
                    all.add(self.schema(element, depth + 1)?);
                }
            }
            _ => {}
        }
        Ok(all)
    }

    fn keyword(&mut self, name: &str, value: &'a Value, depth: usize) -> Result<Followed, Problem> {
        match (Under::keyword(name), value) {
            (Under::Definitions, _) => Ok(Followed::default()),
            (Under::Data, data) => Ok(Followed {
                values: values(data),
                bytes: length(data),
                ..Followed::default()
            }),
            (Under::Schemas, Value::String(reference)) if name == "$ref" => self.reference(reference, depth),
            (Under::Named, Value::Object(named)) => {
                expect_within(depth)?;
                let mut all = Followed {
                    parts: 1,
                    ..Followed::default()
                };
                for (name, schema) in named {
                    all.bytes += name.len() + 4;
                    all.add(self.schema(schema, depth + 1)?);
                }
                Ok(all)
            }
            (Under::Named | Under::Schemas, schemas) => self.schema(schemas, depth),
        }
    }

    fn reference(&mut self, reference: &'a str, depth: usize) -> Result<Followed, Problem> {
        if let Some(known) = self.known.get(reference) {
            expect_within(depth + known.depth)?;
            return Ok(*known);
        }
        if self.within.contains(&reference) {
            let detail =
                "the schema contains itself by this reference, which is not taken: events are finite";
            return Err(Problem::new(reference.trim_start_matches('#'), detail));
        }
        let Some(target) = target(self.root, reference) else {
            return Ok(Followed::default());
        };
        self.within.push(reference);
        let followed = self.schema(target, depth)?;
        self.within.pop();
        self.known.insert(reference, followed);
        Ok(followed)
    }
}

fn expect_within(depth: usize) -> Result<(), Problem> {
    match depth <= DEPTH_MAX {
        true => Ok(()),
        false => Err(Problem::new(
            "",
            format!(
                "with its references followed it is more than {DEPTH_MAX} steps deep: let fewer of them lead to one another"
            ),
        )),
    }
}

/// How long a value is as text, about, without what stands in it.
fn written(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 3,
        _ => 6,
    }
}

/// How long data is as text, about.
fn length(data: &Value) -> usize {
    let inner: usize = match data {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| name.len() + 4 + length(value))
            .sum(),
        Value::Array(elements) => elements.iter().map(length).sum(),
        _ => 0,
    };
    written(data) + inner
}

/// How many values there are, one within the other.
pub(super) fn values(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(values).sum(),
        Value::Array(elements) => elements.iter().map(values).sum(),
        _ => 0,
    }
}

/// What takes memory for every place that is written, by how long the pointer to it is.
fn compiled(schema: &Value, pointer: usize) -> usize {
    let place = |step: usize, under: &Value| {
        let pointer = pointer + step + 1;
        PLACE + POINTERS * pointer + compiled(under, pointer)
    };
    match schema {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match (Under::keyword(name), member) {
                (Under::Data, Value::Array(values)) => {
                    PLACE + POINTERS * (pointer + name.len() + 1) + values.iter().map(datum).sum::<usize>()
                }
                _ => place(name.len(), member),
            })
            .sum(),
        Value::Array(elements) => elements.iter().map(|element| place(4, element)).sum(),
        datum => 2 * written(datum),
    }
}

fn datum(value: &Value) -> usize {
    let inner: usize = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| 2 * name.len() + datum(value))
            .sum(),
        Value::Array(elements) => elements.iter().map(datum).sum(),
        _ => 0,
    };
    DATUM + 2 * written(value) + inner
}
