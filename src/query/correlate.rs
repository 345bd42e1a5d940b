//! One story: everything that shares a request, a trace or a session, oldest first.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::parse::{self, Order, Search};
use super::sql::push_where;
use super::stats::sql::keep_unpacked;
use super::{Queries, QueryError};
use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::event::problem::Problem;
use crate::query::filter::Condition;
use crate::store::{Statement, Value};

/// What a story is held together by; one of them is enough.
const THREADS: [&str; 4] = ["request_id", "trace_id", "session_id", "actor.session_id"];
/// Oldest first it is, and the summary has the count.
const REFUSED: [&str; 2] = ["sort", "count"];
/// The most actors that a summary names.
const ACTORS_MAX: usize = 20;

/// All of a story, whatever page of it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How many events.
    pub count: u64,
    /// When it began.
    pub first: Option<Timestamp>,
    /// When it ended.
    pub last: Option<Timestamp>,
    /// Who took part, the busiest first, 20 at most.
    pub actors: Vec<Actor>,
    /// How many took part.
    pub actor_count: u64,
}

/// Somebody who took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Actor {
    /// Who; `None`: events that name nobody.
    pub id: Option<String>,
    /// How many events.
    pub count: u64,
}

/// Reads the parameters: those of a search, of which `request_id`, `trace_id` and `session_id` hold together whatever
/// has one of them.
pub fn parse(params: &[(String, String)]) -> Result<Search, Vec<Problem>> {
    let is_thread = |name: &str| THREADS.contains(&name);
    let (threads, rest): (Vec<_>, Vec<_>) = params.iter().cloned().partition(|(name, _)| is_thread(name));
    let mut asked = parse::question(&rest, &[], &REFUSED);
    if let Some((name, _)) = threads.iter().find(|(_, value)| value.is_empty()) {
        let detail = "an empty value would mean all that have none";
        asked.problems.push(Problem::new(name.as_str(), detail));
    }
    if threads.is_empty() {
        let detail = "by what? Name at least one of request_id, trace_id and session_id";
        asked.problems.push(Problem::new("request_id", detail));
    }
    let any_of: Vec<Condition> = match parse::parse(&threads) {
        Ok(threads) => threads.filter.conditions,
        Err(problems) => {
            asked.problems.extend(problems);
            Vec::new()
        }
    };
    if !asked.problems.is_empty() {
        return Err(asked.problems);
    }
    let mut search = asked.search;
    search.filter.any_of = any_of;
    search.order = Order::Oldest;
    Ok(search)
}

impl Queries {
    /// What the whole story is.
    pub async fn summary(&self, principal: &Principal, search: &Search) -> Result<Summary, QueryError> {
        let scope = self.scope(principal, search.tenant_id.as_ref())?;
        let dirty = self.store().dirty_months().await?;
        let is_dirty = dirty.iter().any(|month| search.filter.time.meets(*month));
        let mut sql = Statement::new();
        sql.push(
            "SELECT actor_id, events, sum(events) OVER () AS total, countIf(actor_id != '') OVER () AS actors, \
             toUnixTimestamp64Micro(min(first) OVER ()) AS first, toUnixTimestamp64Micro(max(last) OVER ()) AS last \
             FROM (SELECT actor_id, count() AS events, min(time) AS first, max(time) AS last FROM events",
        );
        sql.push(if is_dirty { " FINAL" } else { "" });
        push_where(&mut sql, &scope, &search.filter);
        sql.push(" GROUP BY actor_id) ORDER BY events DESC, actor_id LIMIT ")
            .bind("UInt32", Value::number(ACTORS_MAX));
        keep_unpacked(&mut sql);
        let ask = |sql| async move { self.store().rows::<ActorRow>(&sql).await };
        let rows: Result<Vec<ActorRow>, QueryError> = self.turns().ask(scope.tenant(), sql, ask).await;
        Ok(Summary::of(rows?))
    }
}

impl Summary {
    fn of(rows: Vec<ActorRow>) -> Self {
        let Some(any) = rows.first() else {
            return Self::default();
        };
        Self {
            count: any.total,
            first: Some(Timestamp::from_micros(any.first)),
            last: Some(Timestamp::from_micros(any.last)),
            actor_count: any.actors,
            actors: rows
                .into_iter()
                .map(|row| Actor {
                    id: (!row.actor_id.is_empty()).then_some(row.actor_id),
                    count: row.events,
                })
                .collect(),
        }
    }
}

/// One of the busiest actors, and beside it what holds of all of them.
#[derive(Row, Deserialize)]
struct ActorRow {
    actor_id: String,
    events: u64,
    total: u64,
    actors: u64,
    first: i64,
    last: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::params::pairs;

    #[test]
    fn one_thread_is_enough_and_other_filters_narrow() {
        let search = parse(&pairs("request_id=a&request_id=b&trace_id=t&user_id=u").unwrap()).unwrap();
        assert_eq!(
            (search.filter.any_of.len(), search.filter.conditions.len()),
            (2, 1)
        );
        assert_eq!(search.order, Order::Oldest);
    }

    #[test]
    fn a_story_has_a_thread_and_one_direction() {
        for (query, field) in [
            ("", "request_id"),
            ("user_id=u", "request_id"),
            ("trace_id=", "trace_id"),
            ("trace_id=t&sort=-time", "sort"),
            ("trace_id=t&count=true", "count"),
            ("trace_id=t&usr_id=x", "usr_id"),
        ] {
            assert_eq!(
                parse(&pairs(query).unwrap()).unwrap_err()[0].field,
                field,
                "{query}"
            );
        }
    }
}
