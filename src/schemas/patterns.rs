//! What the patterns of a schema take once they are compiled: a few characters may say very much (`(\w{1000}){100}`).

use std::collections::HashSet;

use jsonschema::{PatternOptions, Regex};
use serde_json::{Value, json};

use crate::event::draft::Problem;

/// The most that one may take.
const ONE_MAX: usize = 1 << 20;
/// The most that all of a schema may take.
const ALL_MAX: usize = 16 << 20;
/// Sizes that are tried: what a pattern takes is the first of them that it fits into.
const SIZES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, ONE_MAX];
/// What each may take while it is at work, and keeps from then on. With less, those with many states take very long.
const WORKING_MAX: usize = 32 << 10;
/// What each takes beside that, measured at 4 to 7 KiB.
const EACH: usize = 8 << 10;

/// How patterns are compiled.
pub(super) fn options() -> PatternOptions<Regex> {
    within(ONE_MAX)
}

/// What to say of one that can't be compiled so.
pub(super) const WHAT_IS_TAKEN: &str = "a pattern has no look-around and no back-references, and takes 1 MiB at most when it is compiled: repeat shorter \
     things, and less often";

fn within(bytes: usize) -> PatternOptions<Regex> {
    PatternOptions::regex()
        .size_limit(bytes)
        .dfa_size_limit(WORKING_MAX)
}

/// About how many bytes the patterns of a schema take. Those that are the same are compiled once.
pub(super) fn weigh(schema: &Value) -> Result<usize, Problem> {
    let mut distinct = HashSet::new();
    gather(schema, &mut distinct);
    let mut bytes = 0;
    for pattern in distinct {
        bytes += EACH + WORKING_MAX + size(pattern);
        if bytes > ALL_MAX {
            return Err(Problem::new(
                "",
                format!(
                    "its patterns take more than {} MiB when they are compiled: have fewer, repeat shorter things, and less often",
                    ALL_MAX >> 20
                ),
            ));
        }
    }
    Ok(bytes)
}

/// All that may be one, wherever it stands.
fn gather<'a>(value: &'a Value, distinct: &mut HashSet<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("pattern", Value::String(pattern)) => drop(distinct.insert(pattern)),
                    ("patternProperties", Value::Object(named)) => {
                        distinct.extend(named.keys().map(String::as_str));
                    }
                    _ => {}
                }
                gather(member, distinct);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| gather(element, distinct)),
        _ => {}
    }
}

/// What one takes; the most there may be for what is no pattern, which is said elsewhere.
fn size(pattern: &str) -> usize {
    let schema = json!({ "pattern": pattern });
    let fits = |bytes: &usize| {
        let options = jsonschema::options().with_pattern_options(within(*bytes));
        options.build(&schema).is_ok()
    };
    SIZES.into_iter().find(fits).unwrap_or(ONE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_what_it_says_and_not_what_it_is_written_with() {
        assert_eq!(size("^[a-z]+$"), SIZES[0]);
        assert!(size(r"^\w{1,32}$") < ONE_MAX);
        assert_eq!(size(r"(\w{1000}){100}"), ONE_MAX, "and more");
    }

    #[test]
    fn patterns_count_wherever_they_stand_and_the_same_one_once() {
        let (large, other) = ("[a-z]{2000}", "[0-9]{2000}");
        let one = size(large) + EACH + WORKING_MAX;
        for (schema, times) in [
            (json!({"pattern": large}), 1),
            (
                json!({"properties": {"pattern": {"pattern": large}}, "patternProperties": {other: {}}}),
                2,
            ),
            (
                json!({"$defs": {"a": {"pattern": large}, "b": {"pattern": large}, "definitions": {"pattern": other}},
                    "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}),
                2,
            ),
            (json!(true), 0),
        ] {
            assert_eq!(weigh(&schema).unwrap(), times * one, "{schema}");
        }
        let many: Vec<_> = (0..200)
            .map(|n| json!({"pattern": format!("{n}[a-z]{{2000}}")}))
            .collect();
        let problem = weigh(&json!({ "anyOf": many })).unwrap_err();
        assert!(problem.detail.contains("patterns take more"), "{problem:?}");
        let small: Vec<_> = (0..2_000).map(|n| json!({"pattern": n.to_string()})).collect();
        assert!(
            weigh(&json!({ "anyOf": small })).is_err(),
            "each has something to work with"
        );
    }
}
