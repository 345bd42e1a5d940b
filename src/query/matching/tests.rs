use proptest::prelude::*;

use super::*;
use crate::event::{Json, Outcome, Severity, TenantId};
use crate::query::parse;

fn event() -> Event {
    let mut event = Event::sample(7);
    event.time = Timestamp::parse_rfc3339("2026-05-06T07:08:09Z").unwrap().0;
    event.event_type = "user.login".into();
    event.severity = Severity::Warning;
    event.outcome = Outcome::Failure;
    event.actor.id = Some("ada".into());
    event.actor.ip = Some("10.1.2.3".parse().unwrap());
    event.tags = vec!["night".into(), "vpn".into()];
    event.message = Some("Ada failed to log in".into());
    event.details = Json::parse(
        r#"{"amount":"12.5","n":7,"items":[{"sku":"A1"},{"sku":"B2"}],"k[0]":"odd","note":"second try","gone":null,"blank":[{"at":1},""]}"#,
    );
    event
}

fn filter(params: &[(&str, &str)]) -> Filter {
    let params: Vec<_> = params
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    parse(&params).unwrap().filter
}

#[test]
fn an_event_satisfies_what_it_says() {
    for params in [
        &[][..],
        &[("user_id", "ada")],
        &[("user_id", "ben"), ("user_id", "ada")],
        &[("user_id!", "ben")],
        &[("action", "")],
        &[("action!", "VIEW")],
        &[("event_type[prefix]", "user.")],
        &[("severity", "WARNING"), ("outcome!", "success")],
        &[("min_severity", "INFO")],
        &[("ip", "10.0.0.0/8")],
        &[("ip", "10.1.2.3")],
        &[("ip!", "")],
        &[("ip", "::/0")],
        &[("tag", "vpn")],
        &[("tag!", "")],
        &[("from", "2026-05-06"), ("to", "2026-05-07")],
        &[("event_id", "00000000-0000-0000-0000-000000000007")],
        &[("details.items.sku", "B2")],
        &[(r"details.k\[0\]", "odd")],
        &[("details.gone", "null")],
        &[("details.nowhere", "")],
        &[("details.items", "")],
        &[("details.nowhere", ""), ("details.nowhere", "x")],
        &[("details.items.sku!", "")],
        &[("details.blank", "")],
        &[("details.nowhere!", "x")],
        &[("details.amount[gt]", "12.4")],
        &[("details.n[lte]", "7"), ("details.n[gte]", "7")],
        &[("details.note[gt]", "sea")],
        &[("details.note[prefix]", "sec")],
        &[("q", "ADA failed")],
        &[("q", "\"log in 12 5\"")],
        &[("q", "nobody OR try -\"try second\"")],
    ] {
        assert!(filter(params).matches(&event()), "{params:?}");
    }
}

#[test]
fn an_event_satisfies_nothing_else() {
    for params in [
        &[("user_id", "ben")][..],
        &[("user_id!", "ada")],
        &[("action!", "")],
        &[("event_type[prefix]", "login")],
        &[("min_severity", "ERROR")],
        &[("ip", "11.0.0.0/8")],
        &[("ip", "")],
        &[("tag", "")],
        &[("tag!", "vpn")],
        &[("to", "2026-05-06T07:08:09Z")],
        &[("details.k", "odd")],
        &[("details.gone", "")],
        &[("details.items.sku", "")],
        &[("details.nowhere!", "")],
        &[("ip", "::")],
        &[("details.amount[gt]", "12.5")],
        &[("details.note[lt]", "7x")],
        &[("details.items[prefix]", "A")],
        &[("q", "ad")],
        &[("q", "\"in failed\"")],
        &[("q", "-ada OR nobody")],
    ] {
        assert!(!filter(params).matches(&event()), "{params:?}");
    }
}

#[test]
fn own_records_are_hidden_unless_asked_for() {
    let mut own = event();
    own.event_type = "trailhouse.search".into();
    assert!(!filter(&[]).matches(&own));
    assert!(filter(&[("include", "system")]).matches(&own));
    assert!(filter(&[("event_type", "trailhouse.search")]).matches(&own));
    assert!(!filter(&[("event_type!", "user.login")]).matches(&own));
}

#[test]
fn a_scope_admits_its_tenant_and_its_own_actor() {
    let acme = TenantId::parse("acme").unwrap();
    let ours = Event {
        tenant_id: acme.clone(),
        ..event()
    };
    assert!(Scope::for_test(&acme, None).admits(&ours, &Facts::default()));
    assert!(Scope::for_test(&acme, Some("ada")).admits(&ours, &Facts::default()));
    assert!(!Scope::for_test(&acme, Some("ben")).admits(&ours, &Facts::default()));
    assert!(!Scope::for_test(&acme, Some("")).admits(&ours, &Facts::default()));
    assert!(!Scope::for_test(&acme, None).admits(&event(), &Facts::default()));
    let limited = |limit| {
        Scope::for_test(&acme, None)
            .limited(limit)
            .admits(&ours, &Facts::default())
    };
    assert!(limited("tag=vpn") && !limited("tag=lan"));
}

#[test]
fn an_event_without_an_address_is_in_no_network() {
    let mut event = event();
    // What the table can't tell from no address.
    for ip in [None, Some("::".parse().unwrap())] {
        event.actor.ip = ip;
        for params in [[("ip", "")], [("ip!", "::/0")], [("ip!", "::")]] {
            assert!(filter(&params).matches(&event), "{ip:?} {params:?}");
        }
        for params in [[("ip!", "")], [("ip", "::/0")], [("ip", "::")]] {
            assert!(!filter(&params).matches(&event), "{ip:?} {params:?}");
        }
    }
}

proptest! {
    #[test]
    fn leaves_are_found_by_their_paths_as_by_going_through_all(
        leaves in prop::collection::vec(("[a-b.]{0,2}", "[x-z]"), 0..20),
        path in "[a-b.]{0,2}",
    ) {
        let all = leaves.iter().map(|(path, value)| Leaf { path: path.clone(), value: value.clone() });
        let found = Leaves::of(all.collect());
        let naive: Vec<&str> = leaves.iter().filter(|leaf| leaf.0 == path).map(|leaf| leaf.1.as_str()).collect();
        prop_assert_eq!(found.at(&path).collect::<Vec<_>>(), naive);
    }

    #[test]
    fn many_values_are_found_as_few_are(mut values in prop::collection::vec("[a-c]{0,3}", 0..60), text in "[a-c]{0,3}") {
        values.sort_unstable();
        values.dedup();
        prop_assert_eq!(is_one_of(&text, &values), values.contains(&text));
    }

    #[test]
    fn not_is_the_contrary(name in "(user_id|action|tag|details\\.n|details\\.items\\.sku|details\\.n\\[gt\\]|event_type\\[prefix\\])", value in "(ada|7|A1|vpn|user|)") {
        let holds = |name: &str| filter(&[(name, &value)]).matches(&event());
        prop_assert_ne!(holds(&name), holds(&format!("{name}!")));
    }
}
