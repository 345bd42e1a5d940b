//! From a filter to SQL. The tenant comes first; every value is bound.
//!
//! The forms are chosen for the indexes of `projections/0001_events.sql`: times as comparisons that prune on the
//! primary key, `has` and `hasAllTokens` as the text indexes answer them, equality and `IN` as the bloom filters do.

use ipnet::IpNet;

use super::cursor::Cursor;
use super::filter::{Comparison, Condition, Field, Filter, Operand, Range, SYSTEM_PREFIX, Test, TextField};
use super::parse::Order;
use super::scope::Scope;
use super::words::{Term, Words};
use crate::clock::Timestamp;
use crate::event::{Outcome, Severity};
use crate::store::row::address;
use crate::store::{Statement, Value, details};

/// The last microsecond that `DateTime64(6)` holds with certainty: the end of 2299-12-30.
const LAST_MICROS: i64 = 10_413_705_599_999_999;

/// `WHERE …`: which events, of those that the scope may see.
pub fn push_where(sql: &mut Statement, scope: &Scope, filter: &Filter) {
    sql.push(" WHERE tenant_id = ")
        .bind("String", Value::text(scope.tenant().as_str()));
    push_range(sql, " AND time >= ", " AND time < ", filter.time);
    push_range(
        sql,
        " AND received_at >= ",
        " AND received_at < ",
        filter.received,
    );
    if let Some(own) = scope.own() {
        sql.push(" AND actor_id = ").bind("String", Value::text(own));
    }
    if filter.hides_system() {
        sql.push(" AND NOT startsWith(event_type, ")
            .bind("String", Value::text(SYSTEM_PREFIX))
            .push(")");
    }
    for condition in &filter.conditions {
        sql.push(if condition.negated { " AND NOT (" } else { " AND (" });
        push_condition(sql, condition);
        sql.push(")");
    }
    push_words(sql, &filter.words);
}

/// What lies beyond a cursor. The first part alone would do; it is the form with `OR` that prunes on the primary key.
pub fn push_beyond(sql: &mut Statement, cursor: &Cursor, order: Order) {
    let (beyond, with) = match order {
        Order::Newest => (" AND (time < ", " AND toUInt128(event_id) < "),
        Order::Oldest => (" AND (time > ", " AND toUInt128(event_id) > "),
    };
    sql.push(beyond);
    push_moment(sql, cursor.time);
    sql.push(" OR (time = ");
    push_moment(sql, cursor.time);
    sql.push(with)
        .bind("UInt128", Value::number(cursor.event_id.as_u128()))
        .push("))");
    sql.push(" AND received_at <= ");
    push_moment(sql, cursor.as_of);
}

/// `ORDER BY …`: the order of the primary key, so that reading can stop as soon as a page is full.
pub fn push_order(sql: &mut Statement, order: Order) {
    sql.push(match order {
        Order::Newest => " ORDER BY time DESC, toUInt128(event_id) DESC",
        Order::Oldest => " ORDER BY time, toUInt128(event_id)",
    });
}

fn push_range(sql: &mut Statement, from: &'static str, to: &'static str, range: Range) {
    for (text, moment) in [(from, range.from), (to, range.to)] {
        if let Some(moment) = moment {
            sql.push(text);
            push_moment(sql, moment);
        }
    }
}

fn push_moment(sql: &mut Statement, at: Timestamp) {
    let micros = at.micros().clamp(0, LAST_MICROS);
    sql.push("fromUnixTimestamp64Micro(")
        .bind("Int64", Value::number(micros))
        .push(", 'UTC')");
}

fn push_condition(sql: &mut Statement, condition: &Condition) {
    match (&condition.field, &condition.test) {
        (Field::Text(field), Test::OneOf(values)) => push_one_of(sql, column(*field), values),
        (Field::Text(field), Test::Prefix(values)) => push_any(sql, values, |sql, value| {
            sql.push("startsWith(").push(column(*field)).push(", ");
            sql.bind("String", Value::text(value)).push(")");
        }),
        (Field::Tag, Test::OneOf(values)) => push_tags(sql, values),
        (Field::Details(path), Test::OneOf(values)) => push_details(sql, path, values),
        (Field::Details(path), Test::Prefix(values)) => push_any(sql, values, |sql, value| {
            push_leaf(sql, path, |sql| {
                sql.push("startsWith(v, ")
                    .bind("String", Value::text(value))
                    .push(")");
            });
        }),
        (Field::Details(path), Test::Compare(how, operands)) => push_any(sql, operands, |sql, operand| {
            push_leaf(sql, path, |sql| push_comparison(sql, *how, operand));
        }),
        (Field::EventId, Test::Ids(ids)) => {
            let ids = Value::texts(ids.iter().map(ToString::to_string));
            sql.push("event_id IN ").bind("Array(UUID)", ids);
        }
        (Field::Ip, Test::Inside(networks)) => push_any(sql, networks, push_network),
        (Field::Severity, Test::Severities(severities)) => {
            push_any(sql, severities, |sql, severity| {
                push_severity(sql, "severity = '", *severity)
            });
        }
        (Field::Severity, Test::AtLeast(severity)) => push_severity(sql, "severity >= '", *severity),
        (Field::Outcome, Test::Outcomes(outcomes)) => push_any(sql, outcomes, push_outcome),
        // The parser pairs fields with tests that they have; any other pair asks for what no event can satisfy.
        _ => {
            sql.push("0");
        }
    }
}

const fn column(field: TextField) -> &'static str {
    match field {
        TextField::SourceEventId => "source_event_id",
        TextField::EventType => "event_type",
        TextField::Action => "action",
        TextField::ActorId => "actor_id",
        TextField::ActorType => "actor_type",
        TextField::ActorName => "actor_name",
        TextField::ActorEmail => "actor_email",
        TextField::SessionId => "session_id",
        TextField::UserAgent => "user_agent",
        TextField::ResourceType => "resource_type",
        TextField::ResourceId => "resource_id",
        TextField::ResourceName => "resource_name",
        TextField::RequestId => "request_id",
        TextField::TraceId => "trace_id",
        TextField::SourceKind => "source",
        TextField::SourceId => "source_id",
    }
}

/// Tries every value in turn; none is no event.
fn push_any<T>(sql: &mut Statement, values: &[T], push: impl Fn(&mut Statement, &T)) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            sql.push(" OR ");
        }
        push(sql, value);
    }
    if values.is_empty() {
        sql.push("0");
    }
}

fn push_one_of(sql: &mut Statement, column: &'static str, values: &[String]) {
    match values {
        [value] => sql.push(column).push(" = ").bind("String", Value::text(value)),
        values => sql
            .push(column)
            .push(" IN ")
            .bind("Array(String)", Value::texts(values)),
    };
}

/// The empty text stands for "no tag at all", and is a tag of no event.
fn push_tags(sql: &mut Statement, values: &[String]) {
    sql.push("hasAny(tags, ")
        .bind("Array(String)", Value::texts(values))
        .push(")");
    if values.iter().any(String::is_empty) {
        sql.push(" OR empty(tags)");
    }
}

fn push_details(sql: &mut Statement, path: &str, values: &[String]) {
    match values {
        [value] => sql
            .push("has(detail_items, ")
            .bind("String", Value::text(details::item(path, value))),
        values => {
            let items = Value::texts(values.iter().map(|value| details::item(path, value)));
            sql.push("hasAny(detail_items, ").bind("Array(String)", items)
        }
    };
    sql.push(")");
}

/// Some leaf `v` at the path, indexes left out. Only keys that have an index are cleaned of it: it is costly.
fn push_leaf(sql: &mut Statement, path: &str, push: impl FnOnce(&mut Statement)) {
    sql.push("arrayExists((k, v) -> (k = ")
        .bind("String", Value::text(path));
    sql.push(" OR (position(k, '[') > 0 AND replaceRegexpAll(k, '\\\\[[0-9]+\\\\]', '') = ");
    sql.bind("String", Value::text(path)).push(")) AND ");
    push(sql);
    sql.push(", mapKeys(details), mapValues(details))");
}

fn push_comparison(sql: &mut Statement, how: Comparison, operand: &Operand) {
    let sign = match how {
        Comparison::Greater => " > ",
        Comparison::AtLeast => " >= ",
        Comparison::Less => " < ",
        Comparison::AtMost => " <= ",
    };
    match operand {
        // The same numbers as `filter::is_number` knows, whatever else ClickHouse could read as one.
        Operand::Number(number) => {
            sql.push("(match(v, '^-?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]+)?$') AND toFloat64OrZero(v)")
                .push(sign);
            sql.bind("Float64", Value::number(number)).push(")");
        }
        Operand::Text(text) => {
            sql.push("v").push(sign).bind("String", Value::text(text));
        }
    }
}

fn push_network(sql: &mut Statement, network: &IpNet) {
    let first = address(Some(network.network())).to_string();
    let last = address(Some(network.broadcast())).to_string();
    if first == last {
        sql.push("ip = toIPv6(")
            .bind("String", Value::text(first))
            .push(")");
    } else {
        sql.push("ip BETWEEN toIPv6(").bind("String", Value::text(first));
        sql.push(") AND toIPv6(")
            .bind("String", Value::text(last))
            .push(")");
    }
}

fn push_severity(sql: &mut Statement, test: &'static str, severity: Severity) {
    sql.push(test).push(severity.as_str()).push("'");
}

fn push_outcome(sql: &mut Statement, outcome: &Outcome) {
    sql.push("outcome = '").push(outcome.as_str()).push("'");
}

fn push_words(sql: &mut Statement, words: &Words) {
    for group in &words.groups {
        sql.push(" AND (");
        push_any(sql, group, push_term);
        sql.push(")");
    }
}

/// The index knows which rows have all words; only in those is the phrase looked for.
fn push_term(sql: &mut Statement, term: &Term) {
    if term.negated {
        sql.push("NOT ");
    }
    sql.push("(hasAllTokens(search_text, ")
        .bind("Array(String)", Value::texts(&term.words))
        .push(")");
    if term.words.len() > 1 {
        sql.push(" AND hasPhrase(search_text, ")
            .bind("String", Value::text(term.words.join(" ")))
            .push(")");
    }
    sql.push(")");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::event::TenantId;
    use crate::query::parse;

    fn compiled(params: &[(&str, &str)]) -> Statement {
        let params: Vec<_> = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut sql = Statement::new();
        let scope = Scope::for_test(&TenantId::default_tenant(), None);
        push_where(&mut sql, &scope, &parse(&params).unwrap().filter);
        sql
    }

    fn text(params: &[(&str, &str)]) -> String {
        let head = " WHERE tenant_id = {p0:String} AND NOT startsWith(event_type, {p1:String})";
        let compiled = compiled(params);
        compiled.sql().strip_prefix(head).unwrap().to_owned()
    }

    #[test]
    fn the_tenant_comes_first_then_the_asker() {
        let mut sql = Statement::new();
        let scope = Scope::for_test(&TenantId::default_tenant(), Some("anna"));
        push_where(&mut sql, &scope, &Filter::default());
        assert!(
            sql.sql()
                .starts_with(" WHERE tenant_id = {p0:String} AND actor_id = {p1:String} AND")
        );
    }

    #[test]
    fn conditions_take_the_form_that_their_index_knows() {
        for (params, expected) in [
            (vec![("user_id", "a")], " AND (actor_id = {p2:String})"),
            (
                vec![("user_id", "a"), ("user_id", "b")],
                " AND (actor_id IN {p2:Array(String)})",
            ),
            (vec![("details.x", "1")], " AND (has(detail_items, {p2:String}))"),
            (
                vec![("details.x!", "1"), ("details.x!", "2")],
                " AND NOT (hasAny(detail_items, {p2:Array(String)}))",
            ),
            (
                vec![("q", "word")],
                " AND ((hasAllTokens(search_text, {p2:Array(String)})))",
            ),
            (
                vec![("q", "-\"two words\"")],
                " AND (NOT (hasAllTokens(search_text, {p2:Array(String)}) AND hasPhrase(search_text, {p3:String})))",
            ),
            (vec![("min_severity", "error")], " AND (severity >= 'ERROR')"),
            (vec![("ip", "10.0.0.1")], " AND (ip = toIPv6({p2:String}))"),
            (
                vec![("tag", "")],
                " AND (hasAny(tags, {p2:Array(String)}) OR empty(tags))",
            ),
        ] {
            assert_eq!(text(&params), expected);
        }
    }

    #[test]
    fn networks_are_ranges_of_mapped_addresses() {
        let sql = compiled(&[("ip", "10.0.0.0/8")]);
        let values: Vec<_> = sql.params().map(|(_, value)| value.clone()).collect();
        assert_eq!(
            values[2..],
            [
                Value::text("::ffff:10.0.0.0"),
                Value::text("::ffff:10.255.255.255")
            ]
        );
    }

    #[test]
    fn a_cursor_prunes_on_the_primary_key() {
        let (mut sql, at) = (Statement::new(), Timestamp::from_micros(5));
        let cursor = Cursor {
            back: false,
            time: at,
            event_id: Uuid::nil(),
            as_of: at,
        };
        push_beyond(&mut sql, &cursor, Order::Newest);
        let time = |n| format!("fromUnixTimestamp64Micro({{p{n}:Int64}}, 'UTC')");
        assert_eq!(
            sql.sql(),
            format!(
                " AND (time < {} OR (time = {} AND toUInt128(event_id) < {{p2:UInt128}})) AND received_at <= {}",
                time(0),
                time(1),
                time(3)
            )
        );
    }

    proptest! {
        /// The mark stands in every value and must stand nowhere in the text.
        #[test]
        fn no_value_reaches_the_text(name in "(user_id|event_type|details\\.zqz|zqz|tag|source)(\\[prefix\\]|\\[gt\\])?!?", junk in ".{0,8}") {
            let value = format!("zqz{junk}");
            if let Ok(search) = parse(&[(name, value.clone()), ("q".to_owned(), format!("zqz {}", junk.replace('"', "")))]) {
                let mut sql = Statement::new();
                push_where(&mut sql, &Scope::for_test(&TenantId::default_tenant(), Some(&value)), &search.filter);
                prop_assert!(!sql.sql().contains("zqz"), "{}", sql.sql());
                prop_assert!(sql.params().count() > 2);
            }
        }
    }
}
