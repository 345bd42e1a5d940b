use super::*;
use crate::control::state::fixture;
use crate::control::{By, Refusal};

fn told(by: By, id: &str, command: Command, outcome: Option<control::Outcome>) -> Event {
    told_of(None, by, id, command, outcome)
}

fn told_of(
    owner: Option<&str>,
    by: By,
    id: &str,
    command: Command,
    outcome: Option<control::Outcome>,
) -> Event {
    let state = fixture::state_with("acme", None, None);
    let envelope = Envelope {
        request_id: Uuid::from_u128(1),
        log_id: Uuid::from_u128(2),
        expected_version: 0,
        by,
        at: Timestamp::from_micros(5),
        id: id.to_owned(),
        command,
    };
    let verdict = Verdict {
        envelope,
        outcome,
        owner: owner.and_then(TenantId::parse),
    };
    event(&verdict, &state, Timestamp::from_micros(9), Uuid::from_u128(3))
}

fn revoke() -> Command {
    Command::RevokeKey
}

#[test]
fn an_accepted_command_is_a_success_and_a_refused_one_says_why() {
    let accepted = told(
        By::system(),
        "k1",
        revoke(),
        Some(control::Outcome::Accepted { version: 2 }),
    );
    assert_eq!(accepted.event_type, "trailhouse.key.revoked");
    assert_eq!((accepted.outcome, accepted.time.micros()), (Outcome::Success, 5));
    let refused = told(
        By::system(),
        "k1",
        revoke(),
        Some(control::Outcome::Refused(Refusal::NotFound)),
    );
    assert_eq!(refused.outcome, Outcome::Failure);
    let details = refused.details.unwrap();
    assert!(details.as_str().contains("there is no such thing"), "{details:?}");
    assert_eq!(told(By::system(), "k1", revoke(), None).outcome, Outcome::Unknown);
}

#[test]
fn it_stands_in_the_log_of_the_sender_or_of_what_was_changed() {
    let create = || Command::CreateTenant {
        name: "x".into(),
        limits: Default::default(),
    };
    assert_eq!(
        told(By::system(), "acme", create(), None).tenant_id.as_str(),
        "acme"
    );
    // One that there is not, and nobody's.
    assert_eq!(
        told(By::system(), "nosuch", create(), None).tenant_id.as_str(),
        "default"
    );
    let walled = By {
        tenant: TenantId::parse("acme"),
        ..By::system()
    };
    assert_eq!(told(walled, "other", create(), None).tenant_id.as_str(), "acme");
    // What is gone by now, as far as the fold remembers it.
    for command in [Command::DeleteSearch, Command::DeleteExport] {
        let of = |owner| told_of(owner, By::system(), "gone", command.clone(), None).tenant_id;
        assert_eq!(
            (of(Some("acme")).as_str(), of(None).as_str()),
            ("acme", "default")
        );
    }
}

#[test]
fn secrets_are_left_out() {
    let sealed = crate::keyring::Keyring::ephemeral()
        .seal("x", b"y", b"z")
        .unwrap();
    let event = told(By::system(), "u", Command::SetPassword { password: sealed }, None);
    assert_eq!(event.event_type, "trailhouse.user.password_set");
    assert_eq!(
        event.details.unwrap().as_str(),
        r#"{"command":{"do":"set_password"}}"#
    );
}
