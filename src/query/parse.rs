//! From the parameters of a request to a [`Search`], or to everything that is wrong with them.
//!
//! A parameter is a name, perhaps an operator (`[gt]`, `[gte]`, `[lt]`, `[lte]`, `[prefix]`), perhaps `!`, and a
//! value. The same name and operator again means "or"; everything else means "and". What is no field of its own
//! (`from`, `min_severity`, `limit`, …) is given once. Every problem is found in one
//! go, each under the parameter's name as it was written.

mod question;
mod value;

use std::collections::BTreeMap;

pub use question::{Asked, question};

use value::{WITHOUT_INDEX, path, severity, test};
pub(super) use value::{canonical_path, moment_of};

use super::fields::Fields;
use super::filter::{Comparison, Condition, Field, Filter, Range, Test};
use super::names::{self, Control, Known};
use super::words::Words;
use crate::event::TenantId;
use crate::event::problem::Problem;

/// Events on a page where nothing is said.
pub const LIMIT_DEFAULT: u16 = 100;
/// The most events on a page.
pub const LIMIT_MAX: u16 = 1_000;
/// The most values that one search may compare with.
pub const VALUES_MAX: usize = 1_000;
/// The longest value, in bytes.
pub const VALUE_MAX: usize = 4_096;

/// A question about events, ready to be asked on behalf of somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Which events.
    pub filter: Filter,
    /// Which of them first.
    pub order: Order,
    /// How many at once.
    pub limit: u16,
    /// Where to go on, as it came.
    pub cursor: Option<String>,
    /// Whether to say how many there are.
    pub count: bool,
    /// What of each event is wanted; `None`: all of it.
    pub fields: Option<Fields>,
    /// The tenant that was named; whether the asker may is decided where the asker is known.
    pub tenant_id: Option<TenantId>,
}

/// By time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
}

impl Order {
    /// The other way round.
    pub const fn reversed(self) -> Self {
        match self {
            Self::Newest => Self::Oldest,
            Self::Oldest => Self::Newest,
        }
    }
}

impl Default for Search {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            order: Order::default(),
            limit: LIMIT_DEFAULT,
            cursor: None,
            count: false,
            fields: None,
            tenant_id: None,
        }
    }
}

/// Reads the parameters, decoded, in the order in which they came.
pub fn parse(params: &[(String, String)]) -> Result<Search, Vec<Problem>> {
    let mut reader = Reader::default();
    if params.len() > VALUES_MAX {
        let detail = format!("{} parameters are too many; at most {VALUES_MAX}", params.len());
        return Err(vec![Problem::new("", detail)]);
    }
    for (name, value) in params {
        if let Err(detail) = reader.take(name, value) {
            reader.problems.push(Problem::new(name.as_str(), detail));
        }
    }
    reader.finish()
}

/// Reads parameters that must be filters alone; of anything else the problem says that it is `refused`.
pub fn filters(params: &[(String, String)], refused: &str) -> Result<Filter, Vec<Problem>> {
    let is_filter = |name: &str| {
        use Control as C;
        match names::known(name) {
            Some(Known::Control(control)) => matches!(
                control,
                C::From | C::To | C::ReceivedFrom | C::ReceivedTo | C::MinSeverity | C::Text
            ),
            _ => true,
        }
    };
    let wrong = params.iter().filter(|(name, _)| !is_filter(name));
    let wrong: Vec<_> = wrong
        .map(|(name, _)| Problem::new(name.as_str(), refused))
        .collect();
    match wrong.is_empty() {
        true => Ok(parse(params)?.filter),
        false => Err(wrong),
    }
}

/// How a condition's values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    Equal,
    Prefix,
    Compare(Comparison),
}

/// Conditions by what they are about, so that repetitions meet.
#[derive(Default)]
struct Reader {
    search: Search,
    grouped: BTreeMap<(Field, Operator, bool), (String, Vec<String>)>,
    seen: Vec<Control>,
    fields: Vec<String>,
    problems: Vec<Problem>,
}

impl Reader {
    fn take(&mut self, whole: &str, value: &str) -> Result<(), String> {
        if value.len() > VALUE_MAX {
            return Err(format!("the value is longer than {VALUE_MAX} bytes"));
        }
        if whole.contains('\0') || value.contains('\0') {
            return Err("a NUL character occurs in no event".to_owned());
        }
        let (name, operator, negated) = split(whole)?;
        let field = match names::known(name) {
            Some(Known::Control(control)) if operator == Operator::Equal && !negated => {
                return self.control(control, value);
            }
            Some(Known::Control(_)) => {
                return Err(format!("`{name}` takes a value and neither an operator nor `!`"));
            }
            Some(Known::Text(field)) => Field::Text(field),
            Some(Known::EventId) => Field::EventId,
            Some(Known::Ip) => Field::Ip,
            Some(Known::Severity) => Field::Severity,
            Some(Known::Outcome) => Field::Outcome,
            Some(Known::Tag) => Field::Tag,
            None => Field::Details(path(name)?),
        };
        check_operator(&field, operator)?;
        let (_, values) = self
            .grouped
            .entry((field, operator, negated))
            .or_insert_with(|| (whole.to_owned(), Vec::new()));
        values.push(value.to_owned());
        Ok(())
    }

    fn control(&mut self, control: Control, value: &str) -> Result<(), String> {
        if control == Control::Fields {
            self.fields.push(value.to_owned());
            return Ok(());
        }
        if self.seen.contains(&control) {
            return Err("given more than once".to_owned());
        }
        self.seen.push(control);
        let search = &mut self.search;
        match control {
            Control::From => search.filter.time.from = Some(moment_of(value)?),
            Control::To => search.filter.time.to = Some(moment_of(value)?),
            Control::ReceivedFrom => search.filter.received.from = Some(moment_of(value)?),
            Control::ReceivedTo => search.filter.received.to = Some(moment_of(value)?),
            Control::MinSeverity => search.filter.conditions.push(Condition {
                field: Field::Severity,
                test: Test::AtLeast(severity(value)?),
                negated: false,
            }),
            Control::Text => search.filter.words = Words::parse(value)?,
            // Whoever goes through pages begins with an empty one.
            Control::Cursor => search.cursor = Some(value.to_owned()).filter(|cursor| !cursor.is_empty()),
            Control::Tenant => {
                search.tenant_id = Some(TenantId::parse(value).ok_or("not the name of a tenant")?);
            }
            Control::Include => match value {
                "system" => search.filter.system = true,
                _ => return Err("there is only `system` to include".to_owned()),
            },
            Control::Sort => match value {
                "time" => search.order = Order::Oldest,
                "-time" => search.order = Order::Newest,
                _ => return Err("expected `time` (oldest first) or `-time` (newest first)".to_owned()),
            },
            Control::Limit => {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                search.limit = limit.ok_or_else(|| format!("expected a number from 1 to {LIMIT_MAX}"))?;
            }
            Control::Count => match value {
                "true" | "1" => search.count = true,
                "false" | "0" => search.count = false,
                _ => return Err("expected true or false".to_owned()),
            },
            Control::Saved => return Err("no saved search can be named here".to_owned()),
            Control::Fields => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Search, Vec<Problem>> {
        for ((field, operator, negated), (name, mut values)) in std::mem::take(&mut self.grouped) {
            values.sort_unstable();
            values.dedup();
            match test(&field, operator, &values) {
                Ok(test) => self
                    .search
                    .filter
                    .conditions
                    .push(Condition { field, test, negated }),
                Err(detail) => self.problems.push(Problem::new(name, detail)),
            }
        }
        if !self.fields.is_empty() {
            match Fields::parse(&self.fields) {
                Ok(fields) => self.search.fields = Some(fields),
                Err(problems) => self.problems.extend(problems),
            }
        }
        for (range, name) in [
            (self.search.filter.time, "to"),
            (self.search.filter.received, "received_to"),
        ] {
            if is_backwards(range) {
                self.problems
                    .push(Problem::new(name, "the range ends before it begins"));
            }
        }
        if self.problems.is_empty() {
            Ok(self.search)
        } else {
            Err(self.problems)
        }
    }
}

fn is_backwards(range: Range) -> bool {
    matches!((range.from, range.to), (Some(from), Some(to)) if to < from)
}

/// Name, operator and whether there is a `!`.
fn split(whole: &str) -> Result<(&str, Operator, bool), String> {
    let (name, negated) = whole
        .strip_suffix('!')
        .map_or((whole, false), |name| (name, true));
    let (name, operator) = match name.rsplit_once('[') {
        Some((name, rest)) if rest.ends_with(']') && !name.ends_with('\\') => {
            let word = &rest[..rest.len() - 1];
            let compare = || Comparison::parse(word).map(Operator::Compare);
            let operator = (word == "prefix").then_some(Operator::Prefix).or_else(compare);
            let operator = operator.ok_or_else(|| unknown_operator(word))?;
            if ends_in_word(name) {
                return Err(format!(
                    "one operator at most; brackets that belong to the name are written `\\[{word}\\]`"
                ));
            }
            (name, operator)
        }
        _ => (name, Operator::Equal),
    };
    if name.is_empty() {
        return Err("a parameter without a name".to_owned());
    }
    if name.contains(['<', '>']) {
        return Err("comparisons are written as in `details.amount[gt]=5`: gt, gte, lt, lte".to_owned());
    }
    Ok((name, operator, negated))
}

/// Whether a name, whose operator was taken from it, still ends as if it had one. Indexes are looked for elsewhere.
fn ends_in_word(name: &str) -> bool {
    let last = name.strip_suffix(']').and_then(|name| name.rsplit_once('['));
    last.is_some_and(|(before, word)| {
        !before.ends_with('\\') && !word.ends_with('\\') && !word.bytes().all(|b| b.is_ascii_digit())
    })
}

fn unknown_operator(word: &str) -> String {
    if word.bytes().all(|b| b.is_ascii_digit()) {
        return WITHOUT_INDEX.to_owned();
    }
    format!("there is no operator `{word}`; there are gt, gte, lt, lte and prefix")
}

fn check_operator(field: &Field, operator: Operator) -> Result<(), String> {
    match (field, operator) {
        (_, Operator::Equal) | (Field::Details(_), _) | (Field::Text(_), Operator::Prefix) => Ok(()),
        (Field::Severity, Operator::Compare(_)) => Err("use `min_severity`".to_owned()),
        (_, Operator::Compare(_)) => {
            Err("only details can be compared; for times there are `from` and `to`".to_owned())
        }
        (_, Operator::Prefix) => Err("a prefix makes sense for texts only".to_owned()),
    }
}

#[cfg(test)]
mod tests;
