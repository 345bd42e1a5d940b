//! Single conditions, in the form that the index on their column answers.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::event::{Outcome, Severity};
use crate::query::filter::{Comparison, Condition, Field, Operand, Test, TextField};
use crate::query::networks::ends;
use crate::query::words::{Term, Words};
use crate::store::{Statement, Value, details};

/// One condition as it is affirmed; the caller negates.
pub(super) fn push_condition(sql: &mut Statement, condition: &Condition) {
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

/// The empty text stands for "no leaf at the path", too.
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
    if values.iter().any(String::is_empty) {
        sql.push(" OR NOT arrayExists(k -> ");
        push_is_at(sql, path);
        sql.push(", mapKeys(details))");
    }
}

/// Some leaf `v` at the path.
fn push_leaf(sql: &mut Statement, path: &str, push: impl FnOnce(&mut Statement)) {
    sql.push("arrayExists((k, v) -> ");
    push_is_at(sql, path);
    sql.push(" AND ");
    push(sql);
    sql.push(", mapKeys(details), mapValues(details))");
}

/// Whether the key `k` of a leaf is the path, indexes left out. Only keys that have an index are cleaned of it: it is costly.
pub(in crate::query) fn push_is_at(sql: &mut Statement, path: &str) {
    sql.push("(k = ").bind("String", Value::text(path));
    sql.push(" OR (position(k, '[') > 0 AND replaceRegexpAll(k, '\\\\[[0-9]+\\\\]', '') = ");
    sql.bind("String", Value::text(path)).push("))");
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

/// The column has `::` where there is no address, which is in no network.
fn push_network(sql: &mut Statement, network: &Option<IpNet>) {
    let (first, last) = ends(network.as_ref());
    if first > last {
        sql.push("0");
    } else if first == last {
        sql.push("ip = toIPv6(")
            .bind("String", Value::text(first.to_string()))
            .push(")");
    } else {
        sql.push("ip BETWEEN toIPv6(")
            .bind("String", Value::text(first.to_string()));
        sql.push(") AND toIPv6(")
            .bind("String", Value::text(last.to_string()))
            .push(")");
    }
}

fn push_severity(sql: &mut Statement, test: &'static str, severity: Severity) {
    sql.push(test).push(severity.as_str()).push("'");
}

fn push_outcome(sql: &mut Statement, outcome: &Outcome) {
    sql.push("outcome = '").push(outcome.as_str()).push("'");
}

/// Every group must have a term that holds. Groups of one term are asked for together: the index brings their words
/// together before a row is read. (Two words, each common, rare together: 50 ms of CPU, 150 one by one.)
pub(super) fn push_words(sql: &mut Statement, words: &Words) {
    let (wanted, groups): (Vec<_>, Vec<_>) = words.groups.iter().partition(|group| is_wanted(group));
    let wanted: Vec<&Term> = wanted.into_iter().flatten().collect();
    if !wanted.is_empty() {
        sql.push(" AND (");
        push_all(sql, &wanted);
        sql.push(")");
    }
    for group in groups {
        sql.push(" AND (");
        push_any(sql, group, push_term);
        sql.push(")");
    }
}

fn is_wanted(group: &[Term]) -> bool {
    matches!(group, [term] if !term.negated)
}

fn push_term(sql: &mut Statement, term: &Term) {
    if term.negated {
        sql.push("NOT ");
    }
    sql.push("(");
    push_all(sql, &[term]);
    sql.push(")");
}

/// The index knows which rows have all words; only in those are phrases looked for.
fn push_all(sql: &mut Statement, terms: &[&Term]) {
    let words: BTreeSet<&String> = terms.iter().flat_map(|term| &term.words).collect();
    sql.push("hasAllTokens(search_text, ")
        .bind("Array(String)", Value::texts(words))
        .push(")");
    for phrase in terms.iter().filter(|term| term.words.len() > 1) {
        sql.push(" AND hasPhrase(search_text, ")
            .bind("String", Value::text(phrase.words.join(" ")))
            .push(")");
    }
}
