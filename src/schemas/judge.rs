//! What a schema says of an event.

use jsonschema::ValidationError;
use serde_json::Value;

use super::check::Compiled;
use super::weight::values;
use crate::event::draft::Problem;

/// How many of the things that are wrong with an event are said.
const PROBLEMS_MAX: usize = 20;
/// How much is said of each, in bytes.
const DETAIL_MAX: usize = 300;
/// How many things may be wrong at most where they are gathered, at some 300 bytes each: steps of the schema times values
/// of the event. Past that it is said that something is.
const GATHERED_MAX: usize = 100_000;

/// What of an event a schema does not allow, in words that repeat no value: the event is its sender's, the log of this
/// server is not.
pub(super) fn problems(schema: &Compiled, event: &Value) -> Vec<Problem> {
    if schema.validator.is_valid(event) {
        return Vec::new();
    }
    if schema.steps.saturating_mul(values(event)) > GATHERED_MAX {
        let detail =
            "is not what the schema of its event type asks for; there is too much of both to say where";
        return vec![Problem::new("", detail)];
    }
    let errors = schema.validator.iter_errors(event);
    errors.take(PROBLEMS_MAX).map(problem).collect()
}

fn problem(error: ValidationError<'_>) -> Problem {
    let mut detail = format!("the schema of its event type: {}", error.masked());
    if detail.len() > DETAIL_MAX {
        let end = (0..=DETAIL_MAX).rev().find(|at| detail.is_char_boundary(*at));
        detail.truncate(end.unwrap_or(0));
    }
    Problem::new(error.instance_path().as_str(), detail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schemas::check;

    fn compiled(schema: &Value) -> Compiled {
        check::compile(&check::read(&schema.to_string()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_wrong_is_said_by_pointer_and_repeats_no_value() {
        let schema = compiled(&json!({
            "required": ["message"],
            "properties": {"details": {"properties": {"card": {"type": "integer"}}}},
        }));
        let found = problems(&schema, &json!({"details": {"card": "4111 1111"}}));
        let fields: Vec<_> = found.iter().map(|problem| problem.field.as_str()).collect();
        assert!(
            fields.contains(&"") && fields.contains(&"/details/card"),
            "{found:?}"
        );
        assert!(!format!("{found:?}").contains("4111"), "{found:?}");
        assert!(problems(&schema, &json!({"message": "m", "details": {"card": 1}})).is_empty());
    }

    #[test]
    fn where_very_much_is_wrong_only_that_is_said() {
        let schema = compiled(&json!({"items": {"allOf": vec![json!({"type": "string"}); 900]}}));
        let found = problems(&schema, &json!(vec![1; 200]));
        assert_eq!((found.len(), found[0].field.as_str()), (1, ""));
        assert!(found[0].detail.contains("too much"), "{found:?}");
        assert_eq!(problems(&schema, &json!([1])).len(), PROBLEMS_MAX);
        assert!(problems(&schema, &json!(vec!["1"; 200])).is_empty());
        let names: Vec<_> = (0..2_000).map(|n| format!("n{n}")).collect();
        let needs = compiled(&json!({"items": {"required": names}}));
        assert_eq!(problems(&needs, &json!(vec![json!({}); 100])).len(), 1);
    }
}
