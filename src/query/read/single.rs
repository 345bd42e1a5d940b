//! Single events, by their ids.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::Queries;
use super::found::read_near;
use super::row::{KeyRow, near, place, push_id, shown};
use crate::auth::Principal;
use crate::event::problem::Problem;
use crate::event::{Event, TenantId};
use crate::query::filter::{Filter, Range};
use crate::query::scope::Scope;
use crate::query::{QueryError, sql};
use crate::store::held::{EVENT_COLUMNS, Place};
use crate::store::{Statement, Value};

/// Copies of one id that are looked at. There are two after a retry, and a source's own id may serve several events.
const COPIES_MAX: u16 = 64;

/// What an event is sought by.
#[derive(Clone, Copy)]
enum By<'a> {
    Id(Uuid),
    Source(&'a str),
}

impl Queries {
    /// One event by its id, or by the id that its client gave it; of several with the same client's id, the latest, of
    /// copies the one that counts.
    /// `tenant` as an operator may name it.
    pub async fn get(
        &self,
        principal: &Principal,
        tenant: Option<&str>,
        id: &str,
    ) -> Result<Option<Event>, QueryError> {
        let found = self.get_with_version(principal, tenant, id).await?;
        Ok(found.map(|(_, event)| event))
    }

    /// The same with its version, which tells the revision from any other.
    pub(in crate::query) async fn get_with_version(
        &self,
        principal: &Principal,
        tenant: Option<&str>,
        id: &str,
    ) -> Result<Option<(u64, Event)>, QueryError> {
        let invalid = || QueryError::Invalid(vec![Problem::new("tenant_id", "not the name of a tenant")]);
        let tenant = tenant
            .map(|name| TenantId::parse(name).ok_or_else(invalid))
            .transpose()?;
        self.get_in(&self.scope(principal, tenant.as_ref())?, id).await
    }

    async fn get_in(&self, scope: &Scope, id: &str) -> Result<Option<(u64, Event)>, QueryError> {
        if let Ok(id) = Uuid::try_parse(id) {
            if let Some(near) = near(id) {
                let found = self.one(scope, near, By::Id(id)).await?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            let found = self.one(scope, Range::default(), By::Id(id)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        if id.is_empty() || id.contains('\0') {
            return Ok(None);
        }
        self.one(scope, Range::default(), By::Source(id)).await
    }

    async fn one(&self, scope: &Scope, time: Range, by: By<'_>) -> Result<Option<(u64, Event)>, QueryError> {
        // All copies, whoever asks: one that the asker may see counts for nothing where another one wins.
        let whole = scope.whole();
        let mut rows = self
            .rows(scope, self.copies(&whole, EVENT_COLUMNS, time, by))
            .await?;
        if scope.is_restricted() && !rows.is_empty() {
            let mut winners: HashMap<Uuid, (u64, Place)> = HashMap::new();
            for (version, event) in &rows {
                let copy = (*version, (event.time, event.event_id));
                let winner = winners.entry(event.event_id).or_insert(copy);
                *winner = copy.max(*winner);
            }
            let keys = self.copies(scope, "SELECT time, event_id, version", time, by);
            let ask = |sql| async move { self.store.rows::<KeyRow>(&sql).await };
            let seen = self.turns.ask(scope.tenant(), keys, ask).await?;
            let seen: HashSet<_> = seen.iter().map(|key| (key.version, key.place())).collect();
            rows.retain(|(_, event)| {
                let winner = winners.get(&event.event_id);
                winner.is_some_and(|winner| seen.contains(winner))
            });
        }
        if let By::Source(_) = by {
            self.leave_out_revised(scope, &mut rows).await?;
        }
        Ok(shown(rows))
    }

    /// A revision may have another name for the event, or none: then the rows of that name count no more.
    async fn leave_out_revised(&self, scope: &Scope, rows: &mut Vec<(u64, Event)>) -> Result<(), QueryError> {
        let places: Vec<Place> = rows.iter().map(|(_, event)| place(event)).collect();
        let store = self.store();
        let highest = store.held_versions("events", scope.tenant(), &places).await?;
        rows.retain(|(version, event)| {
            highest
                .get(&place(event))
                .is_none_or(|highest| version >= highest)
        });
        Ok(())
    }

    fn copies(&self, scope: &Scope, columns: &'static str, time: Range, by: By<'_>) -> Statement {
        let filter = Filter {
            time,
            system: true,
            ..Filter::default()
        };
        let mut sql = Statement::new();
        sql.push(columns).push(" FROM events");
        sql::push_where(&mut sql, scope, &filter);
        match by {
            By::Id(id) => push_id(&mut sql, id),
            By::Source(id) => {
                sql.push(" AND source_event_id = ")
                    .bind("String", Value::text(id));
            }
        }
        // Those that count come first.
        sql.push(" ORDER BY version DESC LIMIT ")
            .bind("UInt16", Value::number(COPIES_MAX));
        read_near(&mut sql);
        sql
    }
}
