//! What the patterns of a schema take once they are compiled: a few characters may say very much (`(\w{1000}){100}`).

use std::collections::HashMap;

use jsonschema::{PatternOptions, Regex};
use serde_json::{Value, json};

use super::check::inlined;
use crate::event::draft::Problem;

/// The most that one may take.
const ONE_MAX: usize = 1 << 20;
/// The most that all of a schema may take.
const ALL_MAX: usize = 8 << 20;
/// Sizes that are tried: what a pattern takes is the first of them that it fits into.
const SIZES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, ONE_MAX];
/// What each may take while it is at work.
const WORKING_MAX: usize = 256 << 10;

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

/// About how many bytes all patterns of a schema take, wherever its references lead.
pub(super) fn weigh(schema: &Value) -> Result<usize, Problem> {
    let (whole, mut known) = (inlined(schema, schema), HashMap::new());
    let mut bytes = 0;
    weigh_all(&whole, &mut known, &mut bytes)?;
    Ok(bytes)
}

fn weigh_all<'a>(
    value: &'a Value,
    known: &mut HashMap<&'a str, usize>,
    bytes: &mut usize,
) -> Result<(), Problem> {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("pattern", Value::String(pattern)) => add(pattern, known, bytes)?,
                    ("patternProperties", Value::Object(by_pattern)) => {
                        for pattern in by_pattern.keys() {
                            add(pattern, known, bytes)?;
                        }
                    }
                    _ => {}
                }
                weigh_all(member, known, bytes)?;
            }
            Ok(())
        }
        Value::Array(elements) => elements
            .iter()
            .try_for_each(|element| weigh_all(element, known, bytes)),
        _ => Ok(()),
    }
}

fn add<'a>(pattern: &'a str, known: &mut HashMap<&'a str, usize>, bytes: &mut usize) -> Result<(), Problem> {
    *bytes += *known.entry(pattern).or_insert_with(|| size(pattern));
    match *bytes > ALL_MAX {
        false => Ok(()),
        true => Err(Problem::new(
            "",
            format!(
                "its patterns take more than {} MiB when they are compiled: have fewer, repeat shorter things, and less often",
                ALL_MAX >> 20
            ),
        )),
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
        let size_of = |pattern: &str| size(pattern);
        assert_eq!(size_of("^[a-z]+$"), SIZES[0]);
        assert!(size_of(r"^\w{1,32}$") < ONE_MAX);
        assert_eq!(size_of(r"(\w{1000}){100}"), ONE_MAX, "and more");
    }

    #[test]
    fn patterns_count_wherever_they_stand_and_as_often_as_they_are_referred_to() {
        let large = "[a-z]{2000}";
        let one = size(large);
        for (schema, times) in [
            (json!({"pattern": large}), 1),
            (
                json!({"properties": {"pattern": {"pattern": large}}, "patternProperties": {large: {}}}),
                2,
            ),
            (
                json!({"$defs": {"a": {"pattern": large}, "unused": {"pattern": large}},
                    "allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}),
                3,
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
    }
}
