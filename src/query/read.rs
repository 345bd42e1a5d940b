//! Reading pages and single events.

mod columns;
mod found;
mod row;
mod single;
mod turns;

use std::sync::Arc;
use std::time::Duration;

pub(super) use columns::push_columns;

use row::{CountRow, Found, moment_of_page, place};
pub(super) use turns::Turns;

use super::cursor::Cursor;
use super::filter::Filter;
use super::parse::{Order, Search};
use super::scope::Scope;
use super::stats::sql::keep_unpacked;
use super::{QueryError, sql};
use crate::auth::Principal;
use crate::clock::{Clock, Timestamp};
use crate::control::Control;
use crate::crypto::Key;
use crate::event::problem::Problem;
use crate::event::{Event, TenantId};
use crate::limit::fair::{Permit, Permits};
use crate::store::held::Place;
use crate::store::{EventRow, Statement, Store, Value};

/// Counting stops here.
pub const COUNT_MAX: u64 = 1_000_000;

/// One page of events in the order that was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// Where the page after this one begins; `None` at the end.
    pub next_cursor: Option<String>,
    /// Where the page before this one begins; `None` on the first.
    pub prev_cursor: Option<String>,
    /// How many there are altogether, where it was asked.
    pub count: Option<Count>,
}

/// How many events a search finds, whatever the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The number, or [`COUNT_MAX`] where there are more.
    pub events: u64,
    /// Whether that is all.
    pub is_exact: bool,
}

/// How often a page is read on where all that was found were copies that don't count.
const READ_ON: usize = 8;

/// Answers questions. Cheap to clone.
#[derive(Clone)]
pub struct Queries {
    store: Store,
    cursor_key: Key,
    clock: Arc<dyn Clock>,
    control: Control,
    turns: Turns,
    exports: Permits,
}

/// Stretches of exports that are read at once, each by one thread.
const EXPORTS_AT_ONCE: usize = 2;
/// For a stretch's turn: others take a fraction of a second each, but for those that find little.
const EXPORT_TURN_WITHIN: Duration = Duration::from_secs(600);

impl Queries {
    /// Over a store; cursors are sealed with `cursor_key`.
    pub fn new(store: Store, cursor_key: Key, clock: Arc<dyn Clock>, control: Control) -> Self {
        let turns = Turns::new(store.searches_at_once(), store.query_timeout());
        Self {
            store,
            cursor_key,
            clock,
            control,
            turns,
            exports: Permits::new(EXPORTS_AT_ONCE, EXPORT_TURN_WITHIN),
        }
    }

    /// Whose events a principal may see, as of now.
    pub fn scope(&self, principal: &Principal, tenant: Option<&TenantId>) -> Result<Scope, QueryError> {
        Scope::of(principal, tenant, &self.control.state())
    }

    /// A turn to read a stretch of an export. Searches have others, so neither waits for the other.
    pub(super) async fn export_turn(&self, tenant: &TenantId) -> Option<Permit> {
        self.exports.take(tenant).await
    }

    /// Takes into a scope what was cleaned up since it was made.
    pub(super) fn renew(&self, scope: &mut Scope) {
        scope.renew(&self.control.state());
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One page of a search.
    pub async fn page(&self, principal: &Principal, search: &Search) -> Result<Page, QueryError> {
        let scope = &self.scope(principal, search.tenant_id.as_ref())?;
        let cursor = self.cursor(principal, scope, search)?;
        let back = cursor.is_some_and(|cursor| cursor.back);
        let order = if back {
            search.order.reversed()
        } else {
            search.order
        };
        let as_of = cursor.map_or_else(|| self.clock.now(), |cursor| cursor.as_of);

        let count = async {
            match search.count {
                true => self.count(scope, &search.filter).await.map(Some),
                false => Ok(None),
            }
        };
        let page = self.filled(scope, search, cursor, (order, as_of));
        let (found, count) = tokio::try_join!(page, count)?;
        let Found {
            mut events,
            end,
            has_more,
        } = found;
        let as_of = cursor.map_or_else(|| moment_of_page(as_of, &events), |cursor| cursor.as_of);
        let begin = events.first().map(place).or(end);
        let (first, last) = if back {
            events.reverse();
            (end, begin)
        } else {
            (begin, end)
        };
        let at = |back: bool, place: Option<Place>| {
            let (time, event_id) = place?;
            let cursor = Cursor {
                back,
                time,
                event_id,
                as_of,
            };
            Some(cursor.seal(&self.cursor_key, principal, scope, search))
        };
        // A page that was reached by a cursor has the one it came from behind it.
        let (before, after) = if back {
            (has_more, true)
        } else {
            (cursor.is_some(), has_more)
        };
        Ok(Page {
            next_cursor: if after { at(false, last) } else { None },
            prev_cursor: if before { at(true, first) } else { None },
            events,
            count,
        })
    }

    fn cursor(
        &self,
        principal: &Principal,
        scope: &Scope,
        search: &Search,
    ) -> Result<Option<Cursor>, QueryError> {
        let Some(text) = &search.cursor else {
            return Ok(None);
        };
        let problem = || {
            let detail = "not a cursor of this search: leave it out, or repeat the filters, sort and tenant it came with, as the one who was given it";
            QueryError::Invalid(vec![Problem::new("cursor", detail)])
        };
        Cursor::open(text, &self.cursor_key, principal, scope, search)
            .map(Some)
            .ok_or_else(problem)
    }

    /// A page of events in `order`: where all that was found were copies that don't count, of what lies beyond them.
    async fn filled(
        &self,
        scope: &Scope,
        search: &Search,
        cursor: Option<Cursor>,
        (order, as_of): (Order, Timestamp),
    ) -> Result<Found, QueryError> {
        let mut found = self.found(scope, search, cursor.as_ref(), order).await?;
        for _ in 0..READ_ON {
            let Some((time, event_id)) = found.end.filter(|_| found.events.is_empty() && found.has_more)
            else {
                break;
            };
            let beyond = Cursor {
                back: cursor.is_some_and(|cursor| cursor.back),
                time,
                event_id,
                as_of,
            };
            found = self.found(scope, search, Some(&beyond), order).await?;
        }
        Ok(found)
    }

    pub(super) async fn count(&self, scope: &Scope, filter: &Filter) -> Result<Count, QueryError> {
        let dirty = self.store.dirty_months().await?;
        let mut sql = Statement::new();
        sql.push("SELECT count() AS events FROM (SELECT 1 FROM events");
        if dirty.iter().any(|month| filter.time.meets(*month)) {
            sql.push(" FINAL");
        }
        sql::push_where(&mut sql, scope, filter);
        sql.push(" LIMIT ")
            .bind("UInt64", Value::number(COUNT_MAX + 1))
            .push(")");
        keep_unpacked(&mut sql);
        let rows = self
            .turns
            .ask(scope.tenant(), sql, |sql| async move {
                self.store.rows::<CountRow>(&sql).await
            })
            .await?;
        let events = rows.first().map_or(0, |row| row.events);
        Ok(Count {
            events: events.min(COUNT_MAX),
            is_exact: events <= COUNT_MAX,
        })
    }

    async fn rows(&self, scope: &Scope, sql: Statement) -> Result<Vec<(u64, Event)>, QueryError> {
        let ask = |sql| async move {
            let mut rows = Vec::new();
            self.store
                .each::<EventRow<'_>, _>(&sql, |row| {
                    rows.push((row.version, row.into_event()?));
                    Ok(())
                })
                .await?;
            Ok(rows)
        };
        self.turns.ask(scope.tenant(), sql, ask).await
    }
}
