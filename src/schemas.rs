//! JSON Schemas that tenants register for their event types: whether one may be registered, whether the next version
//! takes all that the last one took, and whether an event satisfies the present one.
//!
//! A schema is about an event as answers show it (`event::view`): `details.amount` is at `/details/amount`.
//! [`check`] reads a schema and refuses what could reach out of it or cost more than an event is worth;
//! [`compatible`] compares two versions. Compiled ones are kept here, and a tenant without schemas pays one look-up.

pub mod check;
pub mod compatible;
mod patterns;
mod references;
mod weight;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use jsonschema::Validator;
use serde_json::Value;

use crate::control::State;
use crate::event::draft::Problem;
use crate::event::{Event, view};

/// How many compiled schemas are kept; when there are more, all are compiled anew as they are needed.
const COMPILED_MAX: usize = 1_024;
/// How many bytes of them, about.
const COMPILED_BYTES_MAX: usize = 256 << 20;
/// How many of the things that are wrong with an event are said.
const PROBLEMS_MAX: usize = 20;
/// How much is said of each, in bytes.
const DETAIL_MAX: usize = 300;

/// Compiled schemas. Cheap to clone.
#[derive(Clone, Default)]
pub struct Schemas {
    kept: Arc<RwLock<Kept>>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<Arc<str>, Compiled>,
    bytes: usize,
}

#[derive(Clone)]
struct Compiled {
    text: Arc<str>,
    /// `None`: it can't be compiled, and holds nobody up.
    validator: Option<Arc<Validator>>,
}

impl Schemas {
    /// What of an event its tenant's schema for its type does not allow, by pointers into the event; empty where all is
    /// well, or there is no schema.
    pub fn violations(&self, state: &State, event: &Event) -> Vec<Problem> {
        if !state.has_schemas(&event.tenant_id) {
            return Vec::new();
        }
        let Some(schema) = state.schema(&event.tenant_id, &event.event_type) else {
            return Vec::new();
        };
        let validator = schema
            .versions
            .last()
            .and_then(|text| self.compiled(&schema.id, text));
        let (Some(validator), Ok(event)) = (validator, serde_json::to_vec(&view::to_json(event))) else {
            return Vec::new();
        };
        serde_json::from_slice(&event).map_or_else(|_| Vec::new(), |event| violations(&validator, &event))
    }

    fn compiled(&self, id: &Arc<str>, text: &Arc<str>) -> Option<Arc<Validator>> {
        let known = self
            .kept
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .get(id)
            .filter(|known| Arc::ptr_eq(&known.text, text) || known.text == *text)
            .cloned();
        if let Some(known) = known {
            return known.validator;
        }
        let compiled = check::read(text).and_then(|schema| check::compile(&schema));
        if let Err(problems) = &compiled {
            tracing::error!(schema = %id, ?problems, "a registered schema can't be used: nothing is held to it");
        }
        let bytes = compiled.as_ref().map_or(0, |compiled| compiled.bytes);
        let validator = compiled.ok().map(|compiled| Arc::new(compiled.validator));
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.by_id.len() >= COMPILED_MAX || kept.bytes + bytes > COMPILED_BYTES_MAX {
            *kept = Kept::default();
        }
        let entry = Compiled {
            text: text.clone(),
            validator: validator.clone(),
        };
        kept.by_id.insert(id.clone(), entry);
        // What was there under this id counts until all go: too much is the safe side.
        kept.bytes += bytes;
        validator
    }
}

/// In words that repeat no value: the event is its sender's, the log of this server is not.
fn violations(validator: &Validator, event: &Value) -> Vec<Problem> {
    let said = |error: jsonschema::ValidationError<'_>| {
        let mut detail = format!("the schema of its event type: {}", error.masked());
        if detail.len() > DETAIL_MAX {
            let end = (0..=DETAIL_MAX).rev().find(|at| detail.is_char_boundary(*at));
            detail.truncate(end.unwrap_or(0));
        }
        Problem::new(error.instance_path().as_str(), detail)
    };
    validator
        .iter_errors(event)
        .take(PROBLEMS_MAX)
        .map(said)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_said_by_pointer_and_repeats_no_value() {
        let schema = json!({
            "required": ["message"],
            "properties": {"details": {"properties": {"card": {"type": "integer"}}}},
        });
        let schema = check::read(&schema.to_string()).unwrap();
        let validator = check::compile(&schema).unwrap().validator;
        let problems = violations(&validator, &json!({"details": {"card": "4111 1111"}}));
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert!(
            fields.contains(&"") && fields.contains(&"/details/card"),
            "{problems:?}"
        );
        assert!(!format!("{problems:?}").contains("4111"), "{problems:?}");
        assert!(violations(&validator, &json!({"message": "m", "details": {"card": 1}})).is_empty());
    }

    #[test]
    fn a_new_text_under_the_same_id_is_compiled_anew() {
        let schemas = Schemas::default();
        let id: Arc<str> = "a/login".into();
        let holds = |text: &str, event: &Value| schemas.compiled(&id, &text.into()).unwrap().is_valid(event);
        let event = json!({"n": 1});
        assert!(holds(r#"{"properties": {"n": {"type": "integer"}}}"#, &event));
        assert!(!holds(r#"{"properties": {"n": {"type": "string"}}}"#, &event));
        assert!(
            schemas.compiled(&id, &"{".into()).is_none(),
            "what can't be used holds nobody up"
        );
    }
}
