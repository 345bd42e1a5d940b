//! JSON Schemas that tenants register for their event types: whether one may be registered, whether the next version
//! takes all that the last one took, and whether an event satisfies the present one.
//!
//! A schema is about an event as answers show it (`event::view`): `details.amount` is at `/details/amount`.
//! [`check`] reads a schema and refuses what could reach out of it or cost more than an event is worth (`weight`,
//! `patterns`); [`compatible`] compares two versions. Here events are held to them: a tenant without schemas pays one
//! look-up, each schema is compiled once for all who ask and kept (`kept`), and what takes long is done off the threads
//! that serve everybody, by turns that tenants share fairly.

pub mod check;
pub mod compatible;
mod judge;
mod kept;
mod patterns;
mod references;
mod weight;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::control::{EventSchema, State};
use crate::event::draft::Problem;
use crate::event::{Event, TenantId, view};
use crate::limit::fair::Permits;
use check::Compiled;
use kept::{Kept, Slot};

/// How much memory compiled schemas take, about: one takes 24 MiB at most, and most take some KiB.
const BYTES_MAX: usize = 256 << 20;
/// How much is done off the serving threads at once.
const TURNS: usize = 4;
/// How long anybody waits for a turn, or for a schema that another one compiles.
const PATIENCE: Duration = Duration::from_secs(10);
/// Steps of a schema times bytes of an event that are worked through where they are: a few milliseconds.
const AT_ONCE: usize = 1 << 20;

/// So many schemas are at work that none of the turns came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many events are being held to large schemas: try again in a moment")]
pub struct Busy;

/// Compiled schemas. Cheap to clone.
#[derive(Clone)]
pub struct Schemas {
    kept: Arc<Mutex<Kept>>,
    turns: Permits,
}

impl Default for Schemas {
    fn default() -> Self {
        Self {
            kept: Arc::new(Mutex::new(Kept::of(BYTES_MAX))),
            turns: Permits::new(TURNS, PATIENCE),
        }
    }
}

impl Schemas {
    /// What of an event its tenant's schema for its type does not allow, by pointers into the event; empty where all is
    /// well, or there is no schema.
    pub async fn violations(&self, state: &State, event: &Event) -> Result<Vec<Problem>, Busy> {
        if !state.has_schemas(&event.tenant_id) {
            return Ok(Vec::new());
        }
        let Some(schema) = state.schema(&event.tenant_id, &event.event_type) else {
            return Ok(Vec::new());
        };
        let compiled = self.compiled(schema).await?;
        let (Some(compiled), Ok(event_as_shown)) = (compiled, serde_json::to_vec(&view::to_json(event)))
        else {
            return Ok(Vec::new());
        };
        let much = compiled.steps.saturating_mul(event_as_shown.len()) > AT_ONCE;
        let judge = move || {
            let event = serde_json::from_slice(&event_as_shown);
            event.map_or_else(|_| Vec::new(), |event| judge::problems(&compiled, &event))
        };
        match much {
            false => Ok(judge()),
            true => self.aside(&event.tenant_id, judge).await,
        }
    }

    /// The newest version of a schema, ready for use; `None` where it can't be compiled, and holds nobody up.
    async fn compiled(&self, schema: &EventSchema) -> Result<Option<Arc<Compiled>>, Busy> {
        let Some(text) = schema.versions.last() else {
            return Ok(None);
        };
        let slot = self.kept().slot(&schema.tenant, &schema.event_type, text);
        if let Some(ready) = slot.get() {
            return Ok(ready.clone());
        }
        let ready = slot.get_or_try_init(|| self.compile(schema, text, &slot));
        let ready = timeout(PATIENCE, ready).await.map_err(|_| Busy)??;
        Ok(ready.clone())
    }

    async fn compile(
        &self,
        schema: &EventSchema,
        text: &Arc<str>,
        slot: &Slot,
    ) -> Result<Option<Arc<Compiled>>, Busy> {
        let source = text.clone();
        let compile = move || check::read(&source).and_then(|schema| check::compile(&schema));
        let compiled = self.aside(&schema.tenant, compile).await?;
        if let Err(problems) = &compiled {
            tracing::error!(schema = %schema.id, ?problems, "a registered schema can't be used: nothing is held to it");
        }
        let compiled = compiled.ok().map(Arc::new);
        let bytes = compiled.as_ref().map_or(0, |compiled| compiled.bytes);
        self.kept()
            .weigh(&schema.tenant, &schema.event_type, slot, text.len() + bytes);
        Ok(compiled)
    }

    /// Does what may take long in its turn, off the serving threads. It keeps the turn until it is done, also when
    /// nobody waits for it any more.
    async fn aside<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let turn = self.turns.take(tenant).await.ok_or(Busy)?;
        let done = spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| Busy)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;

    fn schema(version: u64, text: &str) -> EventSchema {
        EventSchema {
            id: "a/login".into(),
            tenant: TenantId::parse("a").unwrap(),
            event_type: "login".into(),
            versions: vec![text.into()],
            created_by: "ada".into(),
            version,
            created_at: Timestamp::default(),
        }
    }

    #[tokio::test]
    async fn all_who_ask_at_once_get_the_same_one_and_a_new_text_is_compiled_anew() {
        let schemas = Schemas::default();
        let first = schema(1, r#"{"properties": {"n": {"type": "integer"}}}"#);
        let asked = join_all((0..50).map(|_| schemas.compiled(&first))).await;
        let ready: Vec<_> = asked.into_iter().map(|one| one.unwrap().unwrap()).collect();
        assert!(ready.iter().all(|one| Arc::ptr_eq(one, &ready[0])));
        assert!(ready[0].validator.is_valid(&json!({"n": 1})));
        let second = schema(2, r#"{"properties": {"n": {"type": "string"}}}"#);
        let other = schemas.compiled(&second).await.unwrap().unwrap();
        assert!(!other.validator.is_valid(&json!({"n": 1})));
        let unusable = schemas.compiled(&schema(3, "{")).await.unwrap();
        assert!(unusable.is_none(), "what can't be used holds nobody up");
    }

    #[tokio::test]
    async fn whoever_gets_no_turn_is_told_so_and_leaves_nothing_behind() {
        let schemas = Schemas {
            turns: Permits::new(1, Duration::ZERO),
            ..Schemas::default()
        };
        let first = schema(1, "true");
        let turn = schemas.turns.take(&first.tenant).await;
        assert_eq!(schemas.compiled(&first).await.err(), Some(Busy));
        drop(turn);
        assert!(schemas.compiled(&first).await.unwrap().is_some());
        let turn = schemas.turns.take(&first.tenant).await;
        assert!(schemas.compiled(&first).await.unwrap().is_some(), "it is kept");
        drop(turn);
    }
}
