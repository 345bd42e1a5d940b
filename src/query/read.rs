//! Reading pages and single events.
//!
//! A page takes one step where whatever is found counts: ClickHouse sorts by the key alone and reads the other columns
//! of just the rows that are shown (`query_plan_optimize_lazy_materialization`).
//!
//! A record may stand in the table twice for a while, in months that are marked. There a page takes two steps: first the
//! keys alone, in the order of the table and through its indexes, until a page is full; then all rows of just these
//! keys, of which the one that wins is shown, if it is one that was found. So pages need no `FINAL`, which in 26.5 can't
//! read backwards; counting needs it. (A user's page of 5 million events takes 57 ms of CPU in one step, 100 in two.)

mod columns;
mod permits;
mod row;
mod single;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) use columns::push_columns;
use permits::{Permit, Permits};
use row::{CountRow, Filling, Found, KeyRow, in_order, merge, place, winners};
pub(super) use turns::Turns;

use super::cursor::Cursor;
use super::fields::Fields;
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

/// Events that are read at once: 64 MiB where each is as large as may be. A longer page is read in steps, and ends where
/// it is large enough.
const EVENTS_AT_ONCE: usize = 250;

/// What a page is read for.
struct Question<'a> {
    scope: &'a Scope,
    search: &'a Search,
    cursor: Option<&'a Cursor>,
    order: Order,
    fields: &'a Fields,
}

impl Question<'_> {
    /// All of the statement but its columns.
    fn push_rest(&self, sql: &mut Statement, by_version: bool) {
        sql.push(" FROM events");
        sql::push_where(sql, self.scope, &self.search.filter);
        if let Some(cursor) = self.cursor {
            sql::push_beyond(sql, cursor, self.order);
        }
        sql::push_order(sql, self.order, by_version);
        let rows_max = usize::from(self.search.limit) + 1;
        sql.push(" LIMIT ").bind("UInt32", Value::number(rows_max));
        // Buffers would be filled from every part of the table before the first row comes out.
        sql.set("read_in_order_use_buffering", 0);
        read_near(sql);
    }
}

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
        self.page_in(&self.scope(principal, search.tenant_id.as_ref())?, search)
            .await
    }

    async fn page_in(&self, scope: &Scope, search: &Search) -> Result<Page, QueryError> {
        let cursor = self.cursor(scope, search)?;
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
            Some(cursor.seal(&self.cursor_key, scope, search))
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

    fn cursor(&self, scope: &Scope, search: &Search) -> Result<Option<Cursor>, QueryError> {
        let Some(text) = &search.cursor else {
            return Ok(None);
        };
        let problem = || {
            let detail = "not a cursor of this search: leave it out, or repeat the filters, sort and tenant it came with";
            QueryError::Invalid(vec![Problem::new("cursor", detail)])
        };
        Cursor::open(text, &self.cursor_key, scope, search)
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

    /// Up to a page of events in `order`.
    async fn found(
        &self,
        scope: &Scope,
        search: &Search,
        cursor: Option<&Cursor>,
        order: Order,
    ) -> Result<Found, QueryError> {
        let all = Fields::all();
        let question = Question {
            scope,
            search,
            cursor,
            order,
            fields: search.fields.as_ref().unwrap_or(&all),
        };
        if self.takes_one_step(&question).await?
            && let Some(found) = self.in_one_step(&question).await?
        {
            return Ok(found);
        }
        self.in_two_steps(&question).await
    }

    /// Whether whatever is found counts: every copy of a record satisfies a search by time alone, and elsewhere there are
    /// no copies but in months that are marked.
    async fn takes_one_step(&self, question: &Question<'_>) -> Result<bool, QueryError> {
        let filter = &question.search.filter;
        if usize::from(question.search.limit) > EVENTS_AT_ONCE {
            return Ok(false);
        }
        if filter.finds_neighbours() && !question.scope.is_restricted() {
            return Ok(true);
        }
        let dirty = self.store.dirty_months().await?;
        Ok(!dirty.iter().any(|month| filter.time.meets(*month)))
    }

    /// `None` where all that was found are rows of one event, and the one that counts may be another.
    async fn in_one_step(&self, question: &Question<'_>) -> Result<Option<Found>, QueryError> {
        let limit = usize::from(question.search.limit);
        let mut sql = Statement::new();
        push_columns(&mut sql, question.fields);
        question.push_rest(&mut sql, false);
        let rows = self.rows(question.scope, sql).await?;
        let mut places: Vec<Place> = rows.iter().map(|(_, event)| place(event)).collect();
        let has_more = places.len() > limit;
        places.dedup();
        if has_more && places.len() == 1 {
            return Ok(None);
        }
        if has_more {
            // Further copies of the last one may not be among the rows that were read.
            places.pop();
        }
        let mut page = Filling::new(limit);
        let whole = page.take(in_order(&places, winners(rows)));
        Ok(Some(page.found(places.last().filter(|_| whole), has_more)))
    }

    async fn in_two_steps(&self, question: &Question<'_>) -> Result<Found, QueryError> {
        let (scope, limit) = (question.scope, usize::from(question.search.limit));
        let keys_of = async |by_version| {
            let mut sql = Statement::new();
            sql.push("SELECT time, event_id, version");
            question.push_rest(&mut sql, by_version);
            let ask = |sql| async move { self.store.rows::<KeyRow>(&sql).await };
            self.turns.ask(scope.tenant(), sql, ask).await
        };
        let mut page = Filling::new(limit);
        let mut keys = keys_of(false).await?;
        let has_more = keys.len() > limit;
        merge(&mut keys);
        if has_more && keys.len() == 1 {
            // All of them rows of one event: the one that counts may not be among them.
            keys = keys_of(true).await?;
            merge(&mut keys);
        }
        if has_more && keys.len() > 1 {
            // Further copies of the last one may not be among the rows that were read.
            keys.pop();
        }
        let end = keys.last().map(KeyRow::place);
        for keys in keys.chunks(EVENTS_AT_ONCE) {
            let places: Vec<Place> = keys.iter().map(KeyRow::place).collect();
            let events = self.events_at(scope, question.fields, keys).await?;
            if !page.take(in_order(&places, events)) {
                return Ok(page.found(None, true));
            }
        }
        Ok(page.found(end.as_ref(), has_more))
    }

    /// The events at these keys, but for those whose winning copy is another than the one that was found: that one
    /// does not satisfy the search.
    async fn events_at(
        &self,
        scope: &Scope,
        fields: &Fields,
        keys: &[KeyRow],
    ) -> Result<HashMap<Place, (u64, Event)>, QueryError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        // Few rows, far apart: ClickHouse reads them in one thread whatever it is told, so two halves are asked for.
        let (newer, older) = keys.split_at(keys.len() / 2);
        let (newer, older) = tokio::try_join!(
            self.rows_at(scope, fields, newer),
            self.rows_at(scope, fields, older)
        )?;
        let mut events = winners(newer.into_iter().chain(older).collect());
        let matched: HashMap<Place, u64> = keys.iter().map(|key| (key.place(), key.version)).collect();
        events.retain(|place, (version, _)| matched.get(place).is_some_and(|matched| *matched >= *version));
        Ok(events)
    }

    /// The rows at these keys, all copies of them.
    async fn rows_at(
        &self,
        scope: &Scope,
        fields: &Fields,
        keys: &[KeyRow],
    ) -> Result<Vec<(u64, Event)>, QueryError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = Statement::new();
        push_columns(&mut sql, fields);
        sql.push(" FROM events WHERE tenant_id = ");
        sql.bind("String", Value::text(scope.tenant().as_str()));
        sql.push(" AND time IN ").bind(
            "Array(DateTime64(6, 'UTC'))",
            Value::moments(keys.iter().map(|key| key.place().0)),
        );
        sql.push(" AND event_id IN ").bind(
            "Array(UUID)",
            Value::texts(keys.iter().map(|key| key.event_id.to_string())),
        );
        read_near(&mut sql);
        self.rows(scope, sql).await
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

/// Pages of different searches lie in the same newest blocks, which are worth being kept unpacked; how much memory that
/// may take is the server's `uncompressed_cache_size`. And many short reads, of the page cache as a rule, are made by
/// the thread that needs them: handing each to a pool costs a third of a selective search's time.
fn read_near(sql: &mut Statement) {
    sql.set("use_uncompressed_cache", 1)
        .set("local_filesystem_read_method", "pread");
}
