//! The rows of a page.
//!
//! A page takes one step where whatever is found counts: ClickHouse sorts by the key alone and reads the other columns
//! of just the rows that are shown (`query_plan_optimize_lazy_materialization`).
//!
//! A record may stand in the table twice for a while, in months that are marked. There a page takes two steps: first the
//! keys alone, in the order of the table and through its indexes, until a page is full; then all rows of just these
//! keys, of which the one that wins is shown, if it is one that was found. So pages need no `FINAL`, which in 26.5 can't
//! read backwards; counting needs it. (A user's page of 5 million events takes 57 ms of CPU in one step, 100 in two.)

use std::collections::HashMap;

use super::columns::push_columns;
use super::row::{Filling, Found, KeyRow, in_order, merge, place, winners};
use crate::event::Event;
use crate::query::cursor::Cursor;
use crate::query::fields::Fields;
use crate::query::parse::{Order, Search};
use crate::query::scope::Scope;
use crate::query::{Queries, QueryError, sql};
use crate::store::held::Place;
use crate::store::{Statement, Value};

/// Events that are read at once: 64 MiB where each is as large as may be. A longer page is read in steps, and ends where
/// it is large enough.
const EVENTS_AT_ONCE: usize = 250;

/// Rows that are read of each part before it is seen whether the page is full. By default 65,409: a user's page of 5
/// million events reads 217,000 rows then, and takes 86 ms of CPU; with these 197,000 and 67. A search that finds nothing
/// takes 7 % more; with 8,192 it would be a third.
const BLOCK_ROWS: u32 = 16_384;

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
        sql.set("max_block_size", BLOCK_ROWS);
        read_near(sql);
    }
}

impl Queries {
    /// Up to a page of events in `order`.
    pub(super) async fn found(
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
}

/// Pages of different searches lie in the same newest blocks, which are worth being kept unpacked; how much memory that
/// may take is the server's `uncompressed_cache_size`. And many short reads, of the page cache as a rule, are made by
/// the thread that needs them: handing each to a pool costs a third of a selective search's time.
pub(super) fn read_near(sql: &mut Statement) {
    sql.set("use_uncompressed_cache", 1)
        .set("local_filesystem_read_method", "pread");
}
