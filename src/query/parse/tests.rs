//! Parameters as they are written, and what is read from them.

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
        Test::Inside(networks) => networks[0].map(|network| network.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(networks("10.1.2.3").as_deref(), Some("10.1.2.3/32"));
    assert_eq!(networks("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
    assert_eq!(networks("::ffff:10.1.2.3").as_deref(), Some("10.1.2.3/32"));
    assert_eq!(networks("2001:db8::/32").as_deref(), Some("2001:db8::/32"));
    assert_eq!(networks(""), None);
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
fn numbers_that_nobody_means_as_moments_are_refused() {
    for name in ["from", "to", "received_from", "received_to"] {
        for number in ["2026", "0", "20261120", "99999999.9", "-5", " 2026 ", "2e3"] {
            assert_eq!(wrong(&[(name, number)]), [name], "{number}");
        }
        assert!(read(&[(name, "100000000")]).is_ok());
        assert!(read(&[(name, "1970-01-01")]).is_ok());
    }
    let said = |number| read(&[("from", number)]).unwrap_err()[0].detail.clone();
    assert_eq!(
        said("2026"),
        "2026 seconds after 1970 is 1970-01-01T00:33:46Z; the year begins with 2026-01-01"
    );
    assert!(
        said("20261120").contains("such as 2026-11-20"),
        "{}",
        said("20261120")
    );
}

#[test]
fn one_operator_is_all_that_a_name_can_have() {
    for name in [
        "details.a[gt][lt]",
        "a[gt][gt]",
        "details.a[x][lte]!",
        "user_id[prefix][prefix]",
        "details.a[gt]]",
    ] {
        assert_eq!(wrong(&[(name, "1")]), [name]);
    }
    let escaped = Field::Details(r"a\[gt\]".to_owned());
    let found = conditions(&[(r"details.a\[gt\][lt]", "1")]);
    assert_eq!(found[0].field, escaped);
}

#[test]
fn what_is_given_once_is_refused_when_it_comes_again() {
    let params = [
        ("min_severity", "ERROR"),
        ("min_severity", "INFO"),
        ("limit", "5"),
        ("limit", "6"),
        ("severity", "ERROR"),
        ("severity", "INFO"),
    ];
    assert_eq!(wrong(&params), ["min_severity", "limit"]);
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
