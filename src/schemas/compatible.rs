//! Whether a new version of a schema accepts all that the old one accepted, by rules that rather say no: what they let
//! through is sure to be wider, and some that is wider they do not see.
//!
//! References are followed first, so places are those of the schema with its references written out. It may take a
//! while: `allOf` is compared part by part, also within its parts.

mod keywords;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::check::PROBLEMS_MAX;
use super::references::inlined;
use crate::event::draft::Problem;
use crate::event::json::pointer::push_step;
use keywords::{AS_IT_WAS, AT_LEAST, AT_MOST, covers, is_ordered, named, takes_all, values};

/// How much is compared before it is said that it can't be told: some seconds of work.
const EFFORT_MAX: usize = 100_000_000;
/// What comparing two schemas is of that, what stands in them aside; comparing two values is 1.
const OF_TWO: usize = 1_000;

/// Where the new version is narrower, or may be; empty when it takes everything that the old one took.
pub fn narrowings(old: &Value, new: &Value) -> Vec<Problem> {
    let mut found = Found::of(PROBLEMS_MAX, EFFORT_MAX);
    if old.get("$schema") != new.get("$schema") {
        found.at("/$schema", "names another version of JSON Schema");
        return found.problems;
    }
    found.compare(&inlined(old, old), &inlined(new, new), &mut String::new());
    match found.effort_left {
        0 => vec![Problem::new(
            "",
            "there is too much to compare, most of it under allOf",
        )],
        _ => found.problems,
    }
}

struct Found {
    problems: Vec<Problem>,
    most: usize,
    effort_left: usize,
}

const ANYTHING: Value = Value::Bool(true);

impl Found {
    fn of(most: usize, effort_left: usize) -> Self {
        Self {
            problems: Vec::new(),
            most,
            effort_left,
        }
    }

    fn at(&mut self, place: &str, detail: impl Into<String>) {
        if self.problems.len() < self.most {
            self.problems.push(Problem::new(place, detail));
        }
    }

    /// Whether it is worth going on, with this much to do.
    fn goes_on(&mut self, effort: usize) -> bool {
        self.effort_left = self.effort_left.saturating_sub(effort);
        self.effort_left > 0 && self.problems.len() < self.most
    }

    fn is_wider(&mut self, old: &Value, new: &Value) -> bool {
        let mut found = Self::of(1, self.effort_left);
        found.compare(old, new, &mut String::new());
        self.effort_left = found.effort_left;
        found.problems.is_empty() && self.effort_left > 0
    }

    fn under(&mut self, at: &mut String, name: &str, look: impl FnOnce(&mut Self, &mut String)) {
        let length = at.len();
        push_step(at, name);
        look(self, at);
        at.truncate(length);
    }

    fn compare(&mut self, old: &Value, new: &Value, at: &mut String) {
        if !self.goes_on(OF_TWO) || old == new || takes_all(new) || *old == Value::Bool(false) {
            return;
        }
        let nothing = Map::new();
        let Value::Object(new) = new else {
            return self.at(at, "takes nothing any more");
        };
        let whole = old;
        let old = old.as_object().unwrap_or(&nothing);
        // What is said of the rest depends on all that is said of the others.
        for name in ["unevaluatedProperties", "unevaluatedItems"] {
            if new.contains_key(name) {
                self.under(at, name, |found, at| {
                    found.at(at, "stands beside a change, which can't be judged then");
                });
            }
        }
        for (name, value) in new.iter().filter(|(name, value)| old.get(*name) != Some(value)) {
            self.under(at, name, |found, at| match name.as_str() {
                "allOf" => found.all_of(whole, value, at),
                _ => found.keyword(old, name, value, at),
            });
        }
        self.lists(old, new, at);
        self.properties(old, new, at);
    }

    /// A keyword that is new, or has another value than before.
    fn keyword(&mut self, old: &Map<String, Value>, name: &str, value: &Value, at: &str) {
        let before = old.get(name);
        match name {
            "type" if !before.is_some_and(|before| covers(value, before)) => {
                self.at(at, "takes fewer types than before");
            }
            "enum" | "const" => {
                let taken: &[Value] = match value {
                    Value::Array(values) if name == "enum" => values,
                    value => std::slice::from_ref(value),
                };
                let before = values(old);
                let pairs = before.map_or(0, |before| before.len().saturating_mul(taken.len()));
                if self.goes_on(pairs)
                    && !before.is_some_and(|before| before.iter().all(|value| taken.contains(value)))
                {
                    self.at(at, "leaves out values that were taken before");
                }
            }
            "required" => {
                let before = before.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let more: Vec<_> = value.as_array().into_iter().flatten().collect();
                for name in more.into_iter().filter(|name| !before.contains(name)) {
                    self.at(at, format!("needs {name}, which was not needed before"));
                }
            }
            "anyOf" => {
                let branches = value.as_array().map_or(&[][..], Vec::as_slice);
                let before = before.and_then(Value::as_array);
                if !before.is_some_and(|before| before.iter().all(|branch| branches.contains(branch))) {
                    self.at(at, "lacks a branch as it was before");
                }
            }
            name if AT_LEAST.contains(&name) && !is_ordered(Some(value), before) => {
                self.at(at, "is a higher bound than before");
            }
            name if AT_MOST.contains(&name) && !is_ordered(before, Some(value)) => {
                self.at(at, "is a lower bound than before");
            }
            "uniqueItems" if *value == Value::Bool(false) => {}
            name if AS_IT_WAS.contains(&name) => self.at(at, "is new, or another than before"),
            _ => {}
        }
    }

    /// Each part must take what the whole took, or what one of its parts did.
    fn all_of(&mut self, old: &Value, new: &Value, at: &mut String) {
        let parts = old.get("allOf").and_then(Value::as_array);
        let parts = parts.map_or(&[][..], Vec::as_slice);
        for (index, part) in new.as_array().into_iter().flatten().enumerate() {
            if !self.is_wider(old, part) && !parts.iter().any(|before| self.is_wider(before, part)) {
                self.under(at, &index.to_string(), |found, at| {
                    found.at(at, "asks for more than before");
                });
            }
        }
    }

    fn lists(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &mut String) {
        let same = |name: &str| old.get(name) == new.get(name);
        // With tuples, what `items` is about shifts.
        let is_tuple = |value: Option<&Value>| value.is_some_and(Value::is_array);
        let shifts = !same("prefixItems") || is_tuple(new.get("items")) || is_tuple(old.get("items"));
        let changes = !(same("prefixItems") && same("items") && same("additionalItems"));
        if shifts && changes {
            if new.contains_key("prefixItems")
                || new.contains_key("items")
                || new.contains_key("additionalItems")
            {
                self.under(at, "items", |found, at| {
                    found.at(at, "lists by place can't be changed")
                });
            }
            return;
        }
        if let Some(items) = new.get("items") {
            let before = old.get("items").unwrap_or(&ANYTHING);
            self.under(at, "items", |found, at| found.compare(before, items, at));
        }
        for name in ["minContains", "maxContains"] {
            if new.contains_key("contains") && !same(name) {
                self.under(at, name, |found, at| found.at(at, "is another than before"));
            }
        }
    }

    /// A property was, and is, held to what stands under its name; else to what its name's pattern, and else to what is
    /// said of all others.
    fn properties(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, at: &mut String) {
        let [old_rest, new_rest] =
            [old, new].map(|schema| schema.get("additionalProperties").unwrap_or(&ANYTHING));
        let has = |schema: &Map<String, Value>, keyword: &str, name: &str| {
            schema.get(keyword).is_some_and(|named| named.get(name).is_some())
        };
        for (name, schema) in named(new, "properties") {
            // A pattern may have held it to less than what is said of all others.
            let before = match old.get("properties").and_then(|named| named.get(name)) {
                Some(before) => before,
                None if named(old, "patternProperties").next().is_none() => old_rest,
                None => &ANYTHING,
            };
            self.under_both(at, "properties", name, |found, at| {
                found.compare(before, schema, at)
            });
        }
        for (pattern, schema) in named(new, "patternProperties") {
            let before = old.get("patternProperties").and_then(|named| named.get(pattern));
            self.under_both(at, "patternProperties", pattern, |found, at| {
                found.compare(before.unwrap_or(&ANYTHING), schema, at);
            });
        }
        // What lost its name falls under the patterns, and under what is said of the rest.
        let lost = named(old, "properties").filter(|(name, _)| !has(new, "properties", name));
        for (name, before) in lost {
            self.under_both(at, "properties", name, |found, at| {
                for (_, schema) in named(new, "patternProperties") {
                    found.compare(before, schema, at);
                }
                found.compare(before, new_rest, at);
            });
        }
        let lost = named(old, "patternProperties").filter(|(name, _)| !has(new, "patternProperties", name));
        for (pattern, before) in lost {
            self.under_both(at, "patternProperties", pattern, |found, at| {
                found.compare(before, new_rest, at)
            });
        }
        self.under(at, "additionalProperties", |found, at| {
            found.compare(old_rest, new_rest, at);
        });
    }

    fn under_both(
        &mut self,
        at: &mut String,
        keyword: &str,
        name: &str,
        look: impl FnOnce(&mut Self, &mut String),
    ) {
        self.under(at, keyword, |found, at| found.under(at, name, look));
    }
}
