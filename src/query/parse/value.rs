//! Reading what stands in parameters: paths, dates, networks and names, each with words for what is wrong.

use std::net::IpAddr;

use ipnet::IpNet;
use uuid::Uuid;

use super::Operator;
use crate::clock::Timestamp;
use crate::event::{Outcome, Severity, moment};
use crate::query::filter::{Field, Operand, Test};
use crate::query::names;
use crate::store::details;

/// How a detail's path may be introduced; the flat input forms have these names for `details`.
const DETAILS: [&str; 3] = ["details.", "metadata.", "event_details."];

/// The path of a detail, written as the table has it.
pub(super) fn path(name: &str) -> Result<String, String> {
    let path = match DETAILS.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        Some("") => return Err("which detail? `details.amount`, for example".to_owned()),
        Some(path) => path,
        None => {
            if names::is_unfiltered(name) {
                return Err(format!(
                    "no filter is about this field; `q` finds words of the message and the details. For a detail of this name write `details.{name}`"
                ));
            }
            if let Some(meant) = names::guess(name) {
                return Err(format!(
                    "unknown parameter; did you mean `{meant}`? For a detail of this name write `details.{name}`"
                ));
            }
            if ["actor.", "resource.", "source."]
                .iter()
                .any(|part| name.starts_with(part))
            {
                return Err(format!(
                    "events have no such field; for a detail of this name write `details.{name}`"
                ));
            }
            name
        }
    };
    canonical_path(path)
}

/// Escapes what must be, whether or not the writer did. Paths in the table have no indexes, so one here finds nothing.
pub(in crate::query) fn canonical_path(path: &str) -> Result<String, String> {
    let mut canonical = String::with_capacity(path.len());
    let mut key = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => {
                canonical.push_str(&details::escape_key(&key));
                canonical.push('.');
                key.clear();
            }
            '\\' => key.push(chars.next().unwrap_or('\\')),
            '[' if is_index(chars.as_str()) => return Err(WITHOUT_INDEX.to_owned()),
            c => key.push(c),
        }
    }
    canonical.push_str(&details::escape_key(&key));
    Ok(canonical)
}

/// What to do about `a[0].b`.
pub(super) const WITHOUT_INDEX: &str = "leave the index out: `details.list.name` finds a value at any place of the list; brackets \
     that belong to the name are written `\\[0\\]`";

fn is_index(behind_bracket: &str) -> bool {
    behind_bracket
        .split_once(']')
        .is_some_and(|(index, _)| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()))
}

/// What must hold of a field, by the values that were given for it.
pub(super) fn test(field: &Field, operator: Operator, values: &[String]) -> Result<Test, String> {
    let all = || values.to_vec();
    Ok(match (operator, field) {
        (Operator::Prefix, _) => Test::Prefix(all()),
        (Operator::Compare(how), _) => Test::Compare(how, values.iter().map(|v| Operand::parse(v)).collect()),
        (Operator::Equal, Field::Text(_) | Field::Tag | Field::Details(_)) => Test::OneOf(all()),
        (Operator::Equal, Field::EventId) => Test::Ids(each(values, |value| {
            Uuid::try_parse(value)
                .map_err(|_| "an event id is a UUID; for the client's own id there is `source_event_id`")
        })?),
        (Operator::Equal, Field::Severity) => Test::Severities(each(values, severity)?),
        (Operator::Equal, Field::Outcome) => Test::Outcomes(each(values, |value| {
            Outcome::parse(value).ok_or("expected success, failure or unknown")
        })?),
        (Operator::Equal, Field::Ip) => Test::Inside(each(values, network)?),
    })
}

fn each<T, E: Into<String>>(
    values: &[String],
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, String> {
    values
        .iter()
        .map(|value| read(value).map_err(Into::into))
        .collect()
}

pub(super) fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| "expected INFO, WARNING, ERROR or CRITICAL".to_owned())
}

/// `None` for nothing said.
fn network(text: &str) -> Result<Option<IpNet>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = |text: &str| {
        text.parse::<IpAddr>()
            .ok()
            .map(|ip| IpNet::from(ip.to_canonical()))
    };
    text.parse::<IpNet>()
        .ok()
        .or_else(|| address(text))
        .map(|net| Some(net.trunc()))
        .ok_or("expected an address or a network, such as 10.1.2.3, 10.0.0.0/8 or 2001:db8::/32")
}

/// Numbers below it are no moments that anybody asks for: as seconds they lie before March 1973.
const NUMBER_MIN: i64 = 100_000_000;

pub(in crate::query) fn moment_of(text: &str) -> Result<Timestamp, String> {
    let example = "expected a date such as 2026-11-20 or 2026-11-20T09:00:00Z, or a number since 1970";
    // A `+` that was not encoded arrives as a blank: 2026-11-20T09:00:00 01:00.
    let with_plus = || {
        text.rsplit_once(' ')
            .and_then(|(date, offset)| moment::parse(&format!("{date}+{offset}")))
    };
    let moment = moment::parse(text).or_else(with_plus);
    let at = moment.ok_or(example)?.at;
    let number = moment::number(text.trim_matches(' '));
    if number.is_some_and(|number| number.micros() < NUMBER_MIN * 1_000_000) {
        let is_year = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
        return Err(match is_year {
            true => format!("{text} seconds after 1970 is {at}; the year begins with {text}-01-01"),
            false => format!("{text} seconds after 1970 is {at}; {example}"),
        });
    }
    Ok(at)
}
