//! The statements of statistics. Each reads the columns it needs once; keys become text only when they are counted.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::ask::{Dimension, Question};
use super::interval::{BUCKETS_MAX, Interval};
use crate::clock::Timestamp;
use crate::query::fields::Named as N;
use crate::query::filter::{Filter, Range};
use crate::query::scope::Scope;
use crate::query::sql::{push_is_at, push_where};
use crate::store::{Statement, Value};

/// Severities times outcomes.
const CELLS_A_BUCKET: usize = 12;

/// Rows up to which what was unpacked is kept for the next question: beyond it, nothing would be left of it by then.
const KEEP_ROWS: u64 = 20_000_000;

/// Events of a bucket, by severity and outcome.
#[derive(Row, Deserialize)]
pub(super) struct CellRow {
    pub(super) bucket: i64,
    pub(super) severity: i8,
    pub(super) outcome: i8,
    pub(super) events: u64,
}

/// A group, with how many events and groups there are in all.
#[derive(Row, Deserialize)]
pub(super) struct GroupRow {
    pub(super) keys: Vec<String>,
    pub(super) events: u64,
    pub(super) total: u64,
    pub(super) groups: u64,
}

/// What is left beside the largest groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CountedRow {
    /// Events.
    pub count: u64,
    /// In so many groups.
    pub groups: u64,
}

/// Different values, and the events that were looked at.
#[derive(Row, Deserialize)]
pub(super) struct DistinctRow {
    pub(super) different: u64,
    pub(super) events: u64,
}

/// A number of a bucket.
#[derive(Row, Deserialize)]
pub(super) struct BucketRow {
    pub(super) bucket: i64,
    pub(super) events: u64,
}

/// An event type and when it was seen first.
#[derive(Row, Deserialize)]
pub(super) struct NewTypeRow {
    pub(super) event_type: String,
    pub(super) first_seen: i64,
    pub(super) events: u64,
}

/// Events by bucket, severity and outcome.
pub(super) fn cells(scope: &Scope, question: &Question, is_dirty: bool) -> Statement {
    let mut sql = Statement::new();
    sql.push("SELECT ");
    push_bucket(&mut sql, question.interval);
    sql.push(" AS bucket, severity, outcome, count() AS events");
    push_from(&mut sql, scope, &question.search.filter, is_dirty);
    sql.push(" GROUP BY bucket, severity, outcome LIMIT ")
        .bind("UInt64", Value::number((BUCKETS_MAX + 1) * CELLS_A_BUCKET));
    sql
}

/// The largest groups.
pub(super) fn groups(scope: &Scope, question: &Question, is_dirty: bool) -> Statement {
    let mut sql = Statement::new();
    let dimensions = || question.group_by.iter().zip(KEYS);
    sql.push("SELECT [");
    for (index, (_, key)) in dimensions().enumerate() {
        sql.push(if index == 0 { "toString(" } else { ", toString(" });
        sql.push(key).push(")");
    }
    sql.push("] AS keys, events, sum(events) OVER () AS total, count() OVER () AS groups FROM (SELECT ");
    for (dimension, key) in dimensions() {
        push_key(&mut sql, dimension);
        sql.push(" AS ").push(key).push(", ");
    }
    sql.push("count() AS events");
    push_from(&mut sql, scope, &question.search.filter, is_dirty);
    sql.push(" GROUP BY ");
    for (index, (_, key)) in dimensions().enumerate() {
        sql.push(if index == 0 { "" } else { ", " }).push(key);
    }
    sql.push(") ORDER BY events DESC, keys LIMIT ")
        .bind("UInt32", Value::number(question.top));
    sql
}

/// How many different values a field has.
pub(super) fn distinct(
    scope: &Scope,
    question: &Question,
    dimension: &Dimension,
    is_dirty: bool,
) -> Statement {
    let mut sql = Statement::new();
    // Grouping is exact as `uniqExact` is, and takes a quarter of its time.
    sql.push("SELECT ");
    push_different(&mut sql, dimension);
    sql.push(" AS different, sum(n) AS events FROM (SELECT ");
    push_key(&mut sql, dimension);
    sql.push(" AS k1, count() AS n");
    push_from(&mut sql, scope, &question.search.filter, is_dirty);
    sql.push(" GROUP BY k1)");
    sql
}

/// The same for each bucket.
pub(super) fn distinct_by_bucket(
    scope: &Scope,
    question: &Question,
    dimension: &Dimension,
    is_dirty: bool,
) -> Statement {
    let mut sql = Statement::new();
    sql.push("SELECT bucket, ");
    push_different(&mut sql, dimension);
    sql.push(" AS events FROM (SELECT ");
    push_bucket(&mut sql, question.interval);
    sql.push(" AS bucket, ");
    push_key(&mut sql, dimension);
    sql.push(" AS k1");
    push_from(&mut sql, scope, &question.search.filter, is_dirty);
    sql.push(" GROUP BY bucket, k1) GROUP BY bucket");
    sql
}

/// Event types that were seen first at or after `since`, whatever time the search names.
pub(super) fn new_types(scope: &Scope, question: &Question, since: Timestamp, is_dirty: bool) -> Statement {
    let filter = Filter {
        time: Range::default(),
        ..question.search.filter.clone()
    };
    let mut sql = Statement::new();
    sql.push("SELECT toString(event_type) AS event_type, min(toUnixTimestamp64Micro(time)) AS first_seen, count() AS events");
    push_from(&mut sql, scope, &filter, is_dirty);
    sql.push(" GROUP BY event_type HAVING first_seen >= ")
        .bind("Int64", Value::number(since.micros()));
    sql.push(" ORDER BY first_seen, event_type LIMIT 1000");
    sql
}

const KEYS: [&str; super::ask::DIMENSIONS_MAX] = ["k1", "k2", "k3"];

fn push_from(sql: &mut Statement, scope: &Scope, filter: &Filter, is_dirty: bool) {
    sql.push(" FROM events")
        .push(if is_dirty { " FINAL" } else { "" });
    push_where(sql, scope, filter);
    keep_unpacked(sql);
}

/// Whole columns, the same ones again and again: unpacking them costs more than counting.
pub(in crate::query) fn keep_unpacked(sql: &mut Statement) {
    sql.set("use_uncompressed_cache", 1)
        .set("merge_tree_max_rows_to_use_cache", KEEP_ROWS)
        .set("merge_tree_max_bytes_to_use_cache", u64::from(u32::MAX))
        .set("local_filesystem_read_method", "pread")
        .set("prefer_column_name_to_alias", 1);
}

fn push_bucket(sql: &mut Statement, interval: Option<Interval>) {
    match interval {
        None => {
            sql.push("toInt64(0)");
        }
        Some(Interval::Month) => {
            sql.push("toInt64(intDiv(toYYYYMM(time) AS m, 100)) * 12 + m % 100 - 1");
        }
        Some(Interval::Fixed { micros, origin }) => {
            sql.push("intDiv(toUnixTimestamp64Micro(time) - ")
                .bind("Int64", Value::number(origin))
                .push(", ");
            sql.bind("Int64", Value::number(micros)).push(")");
        }
    }
}

fn push_key(sql: &mut Statement, dimension: &Dimension) {
    match dimension {
        Dimension::Field(field) => {
            sql.push(column(*field));
        }
        Dimension::Details(path) => push_leaves(sql, path),
    }
}

/// Each different value at the path, once an event; the empty text for none. Where the path itself is a key, no other
/// leads there, and where no key has an index, none does: 1 million events of 6 leaves take 120 ms of CPU so, and 320
/// where every key is held against the path.
fn push_leaves(sql: &mut Statement, path: &str) {
    sql.push("arrayJoin(if(has(mapKeys(details), ")
        .bind("String", Value::text(path));
    sql.push(") OR NOT arrayExists(k -> position(k, '[') > 0, mapKeys(details)), [details[")
        .bind("String", Value::text(path));
    sql.push("]], arrayDistinct(emptyArrayToSingle(arrayFilter((v, k) -> ");
    push_is_at(sql, path);
    sql.push(", mapValues(details), mapKeys(details))))))");
}

/// How many different values, but for what stands where an event has none.
fn push_different(sql: &mut Statement, dimension: &Dimension) {
    let none = match dimension {
        Dimension::Field(N::Ip) => "'::'",
        _ => "''",
    };
    sql.push("countIf(toString(k1) != ").push(none).push(")");
}

const fn column(field: N) -> &'static str {
    match field {
        N::SourceEventId => "source_event_id",
        N::TenantId => "tenant_id",
        N::TimeFrom => "time_from",
        N::EventType => "event_type",
        N::Action => "action",
        N::Severity => "severity",
        N::Outcome => "outcome",
        N::ActorId => "actor_id",
        N::ActorType => "actor_type",
        N::ActorName => "actor_name",
        N::ActorEmail => "actor_email",
        N::SessionId => "session_id",
        N::Ip => "ip",
        N::UserAgent => "user_agent",
        N::ResourceType => "resource_type",
        N::ResourceId => "resource_id",
        N::ResourceName => "resource_name",
        N::RequestId => "request_id",
        N::TraceId => "trace_id",
        N::Tags => "arrayJoin(if(empty(tags), [''], tags))",
        N::SourceKind => "source",
        N::SourceId => "source_id",
        // The question refuses these: there is nothing to count by.
        N::EventId
        | N::Time
        | N::TimeOffset
        | N::ReceivedAt
        | N::Message
        | N::Before
        | N::After
        | N::Details
        | N::Provenance
        | N::Revision => "''",
    }
}
