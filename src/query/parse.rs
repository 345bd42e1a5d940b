//! From the parameters of a request to a [`Search`], or to everything that is wrong with them.
//!
//! A parameter is a name, perhaps an operator (`[gt]`, `[gte]`, `[lt]`, `[lte]`, `[prefix]`), perhaps `!`, and a
//! value. The same name and operator again means "or"; everything else means "and". Every problem is found in one
//! go, each under the parameter's name as it was written.

mod value;

use std::collections::BTreeMap;

use value::{WITHOUT_INDEX, moment_of, path, severity, test};

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
            Some(Known::MinSeverity) if operator == Operator::Equal && !negated => {
                let test = Test::AtLeast(severity(value)?);
                self.search.filter.conditions.push(Condition {
                    field: Field::Severity,
                    test,
                    negated,
                });
                return Ok(());
            }
            Some(Known::Control(_) | Known::MinSeverity) => {
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
            Control::Text => search.filter.words = Words::parse(value)?,
            Control::Cursor => search.cursor = Some(value.to_owned()),
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
            let word = rest.trim_end_matches(']');
            let compare = || Comparison::parse(word).map(Operator::Compare);
            let operator = (word == "prefix").then_some(Operator::Prefix).or_else(compare);
            (name, operator.ok_or_else(|| unknown_operator(word))?)
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::query::filter::{Operand, TextField};

    fn read(params: &[(&str, &str)]) -> Result<Search, Vec<Problem>> {
        let params: Vec<_> = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        parse(&params)
    }

    fn conditions(params: &[(&str, &str)]) -> Vec<Condition> {
        read(params).unwrap().filter.conditions
    }

    fn one_of(field: Field, values: &[&str], negated: bool) -> Condition {
        let test = Test::OneOf(values.iter().map(|value| (*value).to_owned()).collect());
        Condition { field, test, negated }
    }

    /// The parameters that are complained about.
    fn wrong(params: &[(&str, &str)]) -> Vec<String> {
        read(params)
            .unwrap_err()
            .into_iter()
            .map(|problem| problem.field)
            .collect()
    }

    #[test]
    fn nothing_asks_for_everything_newest_first() {
        assert_eq!(read(&[]).unwrap(), Search::default());
        assert_eq!(read(&[]).unwrap().limit, 100);
    }

    #[test]
    fn repetition_is_or_and_the_rest_is_and() {
        let user = Field::Text(TextField::ActorId);
        let action = Field::Text(TextField::Action);
        assert_eq!(
            conditions(&[
                ("user_id", "b"),
                ("action!", "VIEW"),
                ("user_id", "a"),
                ("user_id", "b")
            ]),
            [one_of(action, &["VIEW"], true), one_of(user, &["a", "b"], false)]
        );
        assert_eq!(
            read(&[("user_id", "a"), ("action", "x")]),
            read(&[("action", "x"), ("user_id", "a")])
        );
    }

    #[test]
    fn details_have_many_names_and_one_path() {
        for name in ["details.a.b", "metadata.a.b", "event_details.a.b", "a.b"] {
            let expected = one_of(Field::Details("a.b".to_owned()), &["1"], false);
            assert_eq!(conditions(&[(name, "1")]), [expected], "{name}");
        }
        let escaped = Field::Details(r"a\.b.c\=d".to_owned());
        assert_eq!(
            conditions(&[(r"details.a\.b.c=d", "")]),
            [one_of(escaped, &[""], false)]
        );
        let bracket = Field::Details(r"a\[0\].b".to_owned());
        assert_eq!(
            conditions(&[(r"details.a\[0\].b", "1"), ("a[x", "1")]),
            [
                one_of(bracket, &["1"], false),
                one_of(Field::Details(r"a\[x".to_owned()), &["1"], false)
            ]
        );
    }

    #[test]
    fn operators_and_negation_stand_at_the_end() {
        let field = || Field::Details("amount".to_owned());
        let test = |how| Test::Compare(how, vec![Operand::Number(5.0)]);
        for (name, how, negated) in [
            ("details.amount[gt]", Comparison::Greater, false),
            ("amount[lte]!", Comparison::AtMost, true),
        ] {
            let expected = Condition {
                field: field(),
                test: test(how),
                negated,
            };
            assert_eq!(conditions(&[(name, "5")]), [expected]);
        }
        assert_eq!(conditions(&[("amount[gt]", "1"), ("amount[lt]", "9")]).len(), 2);
    }

    #[test]
    fn addresses_are_networks() {
        let networks = |value| match conditions(&[("ip", value)]).remove(0).test {
            Test::Inside(networks) => networks[0].to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(networks("10.1.2.3"), "10.1.2.3/32");
        assert_eq!(networks("10.1.2.3/8"), "10.0.0.0/8");
        assert_eq!(networks("::ffff:10.1.2.3"), "10.1.2.3/32");
        assert_eq!(networks("2001:db8::/32"), "2001:db8::/32");
        assert_eq!(networks(""), "::/128");
    }

    #[test]
    fn dates_come_in_many_forms() {
        for text in [
            "2026-11-20T10:00:00 01:00",
            "2026-11-20T09:00:00Z",
            "1795165200",
            "1795165200000",
        ] {
            let from = read(&[("from", text)]).unwrap().filter.time.from.unwrap();
            assert_eq!(from.to_string(), "2026-11-20T09:00:00Z", "{text}");
        }
    }

    #[test]
    fn every_problem_is_named_under_its_parameter() {
        let params = [
            ("from", "yesterday"),
            ("limit", "0"),
            ("severity", "BAD"),
            ("outcome", ""),
            ("ip", "10.0.0.0/33"),
            ("usr_id", "x"),
            ("event_id", "x"),
            ("sort", "name"),
            ("user_id[gt]", "x"),
            ("from!", "2026-01-01"),
            ("min_severity!", "INFO"),
            ("q", "\"open"),
            ("details.", "x"),
            ("details.a[0]", "x"),
            ("details.a[0].b", "x"),
            ("a[0].b[gt]", "5"),
            ("details.a[like]", "x"),
            ("actor.nme", "x"),
            ("a>", "5"),
            ("user_id", "a\0b"),
            ("", "x"),
            ("include", "everything"),
            ("count", "maybe"),
            ("tenant_id", "A B"),
        ];
        let mut expected: Vec<_> = params.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut found = wrong(&params);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(wrong(&[("limit", "1001")]), ["limit"]);
        assert_eq!(wrong(&[("limit", "5"), ("limit", "6")]), ["limit"]);
        assert_eq!(wrong(&[("from", "2026-02-01"), ("to", "2026-01-01")]), ["to"]);
        assert_eq!(wrong(&[("user_id", &"x".repeat(VALUE_MAX + 1))]), ["user_id"]);
        assert_eq!(wrong(&vec![("user_id", "x"); VALUES_MAX + 1]), [""]);
        assert!(read(&[("limit", "1000")]).is_ok());
    }

    proptest! {
        #[test]
        fn no_parameter_panics(params in prop::collection::vec((any::<String>(), any::<String>()), 0..4)) {
            let _ = parse(&params);
        }

        #[test]
        fn nearly_right_parameters_do_not_panic(name in r"(details\.)?[a\.\\\[\]=é]{0,6}(\[(gt|prefix|0)\])?!?", value in ".{0,5}") {
            let _ = parse(&[(name, value)]);
        }

        #[test]
        fn order_does_not_matter(mut params in prop::collection::vec(("(user_id|action|details.x|ip)!?", "[1-3]"), 0..6)) {
            let one = parse(&params);
            params.reverse();
            let other = parse(&params);
            prop_assert_eq!(one.is_ok(), other.is_ok());
            if let (Ok(one), Ok(other)) = (one, other) {
                prop_assert_eq!(one.filter.canonical(), other.filter.canonical());
            }
        }
    }
}
