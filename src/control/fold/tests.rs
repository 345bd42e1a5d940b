use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::control::command::{By, Rate};
use crate::control::role::{Role, Roles};
use crate::control::state::Refusal;
use crate::event::TenantId;
use crate::keyring::{Keyring, Sealed};

const LOG: Uuid = Uuid::from_u128(0x106);

fn sealed() -> Sealed {
    static SEALED: std::sync::LazyLock<Sealed> =
        std::sync::LazyLock::new(|| Keyring::ephemeral().seal("test", b"", b"hash").unwrap());
    SEALED.clone()
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn envelope(request: u128, expected_version: u64, by: Option<&str>, id: &str, command: Command) -> Envelope {
    let log_id = if matches!(command, Command::Bootstrap { .. }) {
        Uuid::nil()
    } else {
        LOG
    };
    Envelope {
        request_id: Uuid::from_u128(request),
        log_id,
        expected_version,
        by: By {
            who: by.unwrap_or("root").into(),
            tenant: by.map(tenant),
        },
        at: Timestamp::from_millis(request as i64),
        id: id.into(),
        command,
    }
}

fn bootstrap() -> Envelope {
    envelope(
        1 << 64,
        0,
        None,
        "this",
        Command::Bootstrap {
            log_id: LOG,
            partitions: 4,
        },
    )
}

fn create_tenant() -> Command {
    Command::CreateTenant {
        name: "T".into(),
        events_per_second: None,
    }
}

fn create_user(name: &str, at: &str, roles: &[Role]) -> Command {
    Command::CreateUser {
        name: name.into(),
        tenant: tenant(at),
        roles: Roles::of(roles),
        password: sealed(),
    }
}

fn create_key(at: &str) -> Command {
    let (name, tenant, roles) = ("k".into(), tenant(at), Roles::of(&[Role::Ingest]));
    Command::CreateKey {
        name,
        tenant,
        roles,
        sha256: [1; 32],
        expires_at: None,
        events_per_second: None,
    }
}

fn disable() -> Command {
    Command::UpdateUser {
        roles: None,
        disabled: Some(true),
    }
}

/// A fold with tenants `a` and `b` and operator `op` in `a`.
fn begun() -> Fold {
    let mut fold = Fold::default();
    let records = [
        bootstrap(),
        envelope((1 << 64) + 1, 0, None, "a", create_tenant()),
        envelope((1 << 64) + 2, 0, None, "b", create_tenant()),
        envelope(
            (1 << 64) + 3,
            0,
            None,
            "op",
            create_user("op", "a", &[Role::Operator]),
        ),
    ];
    for record in records {
        assert_eq!(fold.apply(&record), Ok(Outcome::Accepted { version: 1 }));
    }
    fold
}

fn refused(fold: &mut Fold, record: &Envelope) -> Refusal {
    match fold.apply(record).unwrap() {
        Outcome::Refused(refusal) => refusal,
        accepted => panic!("{accepted:?}"),
    }
}

#[test]
fn the_first_bootstrap_counts_and_no_other() {
    let mut fold = begun();
    let other = Command::Bootstrap {
        log_id: Uuid::from_u128(9),
        partitions: 8,
    };
    let refusal = refused(&mut fold, &envelope(1, 0, None, "this", other));
    assert_eq!(
        refusal,
        Refusal::Conflict {
            expected: 0,
            found: 1
        }
    );
    assert_eq!(fold.state().deployment().unwrap().log_id, LOG);
}

#[test]
fn records_of_another_log_and_records_before_the_first_do_not_count() {
    let mut fold = begun();
    let foreign = Envelope {
        log_id: Uuid::from_u128(9),
        ..envelope(1, 0, None, "c", create_tenant())
    };
    assert_eq!(fold.apply(&foreign), Err(Skip::Foreign));
    assert_eq!(fold, begun());
    assert_eq!(
        Fold::default().apply(&envelope(1, 0, None, "c", create_tenant())),
        Err(Skip::Foreign)
    );
}

#[test]
fn the_expected_version_decides() {
    let mut fold = begun();
    let rename = |request, version| {
        let command = Command::UpdateTenant {
            name: Some("N".into()),
            events_per_second: None,
            disabled: None,
        };
        envelope(request, version, None, "b", command)
    };
    assert_eq!(
        refused(&mut fold, &rename(1, 2)),
        Refusal::Conflict {
            expected: 2,
            found: 1
        }
    );
    assert_eq!(fold.apply(&rename(2, 1)), Ok(Outcome::Accepted { version: 2 }));
    assert_eq!(
        refused(&mut fold, &rename(3, 1)),
        Refusal::Conflict {
            expected: 1,
            found: 2
        }
    );
    let again = envelope(4, 0, None, "b", create_tenant());
    assert_eq!(
        refused(&mut fold, &again),
        Refusal::Conflict {
            expected: 0,
            found: 2
        }
    );
    assert_eq!(
        refused(&mut fold, &envelope(5, 1, None, "zz", disable())),
        Refusal::NotFound
    );
}

#[test]
fn a_repeated_request_gets_the_first_answer_whatever_it_asks() {
    let mut fold = begun();
    let first = envelope(7, 1, None, "op", Command::EndSessions);
    assert_eq!(fold.apply(&first), Ok(Outcome::Accepted { version: 2 }));
    let after = fold.clone();
    assert_eq!(fold.apply(&first), Ok(Outcome::Accepted { version: 2 }));
    assert_eq!(
        fold.apply(&envelope(7, 2, None, "op", disable())),
        Ok(Outcome::Accepted { version: 2 })
    );
    assert_eq!(fold, after);
    let refusal = envelope(8, 0, None, "b", create_tenant());
    let found = refused(&mut fold, &refusal);
    assert_eq!(refused(&mut fold, &refusal), found);
}

#[test]
fn answers_are_remembered_for_so_many_requests_and_then_versions_refuse() {
    let mut fold = begun();
    let first = envelope(1, 1, None, "op", Command::EndSessions);
    fold.apply(&first).unwrap();
    for request in 0..REMEMBERED as u128 {
        fold.apply(&envelope(100 + request, 9, None, "none", disable()))
            .unwrap();
    }
    assert_eq!(fold.answers.len(), REMEMBERED);
    assert!(fold.answer(first.request_id).is_none());
    assert_eq!(
        refused(&mut fold, &first),
        Refusal::Conflict {
            expected: 1,
            found: 2
        }
    );
}

#[test]
fn user_names_are_unique_in_the_deployment_without_regard_to_case() {
    let mut fold = begun();
    fold.apply(&envelope(
        1,
        0,
        None,
        "u1",
        create_user("Ann", "a", &[Role::User]),
    ))
    .unwrap();
    let taken = envelope(2, 0, None, "u2", create_user("aNN", "b", &[Role::User]));
    assert_eq!(refused(&mut fold, &taken), Refusal::NameTaken);
    fold.apply(&envelope(3, 1, None, "u1", disable())).unwrap();
    let taken = Envelope {
        request_id: Uuid::from_u128(4),
        ..taken
    };
    assert_eq!(
        refused(&mut fold, &taken),
        Refusal::NameTaken,
        "a disabled user keeps its name"
    );
    assert_eq!(fold.state().user_named("ANN").unwrap().id.as_ref(), "u1");
}

#[test]
fn a_tenants_admin_is_walled_in() {
    let mut fold = begun();
    fold.apply(&envelope(
        1,
        0,
        None,
        "ub",
        create_user("bea", "b", &[Role::User]),
    ))
    .unwrap();
    fold.apply(&envelope(2, 0, None, "kb", create_key("b"))).unwrap();
    let before = fold.state().clone();
    for (request, version, id, command, refusal) in [
        (10, 1, "ub", disable(), Refusal::NotFound),
        (11, 1, "kb", Command::RevokeKey, Refusal::NotFound),
        (12, 1, "nobody", disable(), Refusal::NotFound),
        (
            13,
            0,
            "u9",
            create_user("eve", "b", &[Role::User]),
            Refusal::NoSuchTenant,
        ),
        (14, 0, "k9", create_key("b"), Refusal::NoSuchTenant),
        (15, 0, "k9", create_key("zz"), Refusal::NoSuchTenant),
        (
            16,
            0,
            "ub",
            create_user("eve", "a", &[Role::User]),
            Refusal::NotFound,
        ),
        (17, 0, "kb", create_key("a"), Refusal::NotFound),
        (18, 0, "c", create_tenant(), Refusal::OperatorsOnly),
        (
            19,
            0,
            "u9",
            create_user("eve", "a", &[Role::Admin, Role::Operator]),
            Refusal::OperatorsOnly,
        ),
        (
            20,
            1,
            "op",
            Command::SetPassword { password: sealed() },
            Refusal::OperatorsOnly,
        ),
    ] {
        assert_eq!(
            refused(&mut fold, &envelope(request, version, Some("a"), id, command)),
            refusal,
            "{request}"
        );
    }
    assert_eq!(*fold.state(), before);
    let own = envelope(30, 0, Some("a"), "u9", create_user("eve", "a", &[Role::Admin]));
    assert_eq!(fold.apply(&own), Ok(Outcome::Accepted { version: 1 }));
}

#[test]
fn the_last_operator_stays() {
    let mut fold = begun();
    let demote = Command::UpdateUser {
        roles: Some(Roles::of(&[Role::Admin])),
        disabled: None,
    };
    assert_eq!(
        refused(&mut fold, &envelope(1, 1, None, "op", demote.clone())),
        Refusal::LastOperator
    );
    assert_eq!(
        refused(&mut fold, &envelope(2, 1, None, "op", disable())),
        Refusal::LastOperator
    );
    let shut = Command::UpdateTenant {
        name: None,
        events_per_second: None,
        disabled: Some(true),
    };
    assert_eq!(
        refused(&mut fold, &envelope(3, 1, None, "a", shut.clone())),
        Refusal::LastOperator
    );
    fold.apply(&envelope(
        4,
        0,
        None,
        "op2",
        create_user("op2", "b", &[Role::Operator]),
    ))
    .unwrap();
    assert_eq!(
        fold.apply(&envelope(5, 1, None, "a", shut)),
        Ok(Outcome::Accepted { version: 2 })
    );
    assert_eq!(
        refused(&mut fold, &envelope(6, 1, None, "op2", demote)),
        Refusal::LastOperator
    );
}

#[test]
fn what_ends_sessions_raises_the_epoch() {
    let mut fold = begun();
    fold.apply(&envelope(1, 0, None, "u", create_user("u", "b", &[Role::User])))
        .unwrap();
    let epoch = |fold: &Fold| fold.state().user("u").unwrap().epoch;
    let grant = Command::UpdateUser {
        roles: Some(Roles::of(&[Role::Admin])),
        disabled: None,
    };
    let enable = Command::UpdateUser {
        roles: None,
        disabled: Some(false),
    };
    let set = Command::SetPassword { password: sealed() };
    let steps = [
        (grant, 1),
        (Command::EndSessions, 2),
        (set, 3),
        (disable(), 4),
        (enable, 4),
        (disable(), 5),
    ];
    for (n, (command, expected)) in steps.into_iter().enumerate() {
        fold.apply(&envelope(10 + n as u128, 1 + n as u64, None, "u", command))
            .unwrap();
        assert_eq!(epoch(&fold), expected, "step {n}");
    }
    assert_eq!(
        fold.state().user("u").unwrap().password.0,
        4,
        "the version that set the password"
    );
}

/// Any command on a few entities, with versions near the right ones.
fn any_command() -> impl Strategy<Value = (String, u64, Option<&'static str>, Command)> {
    let name = prop::sample::select(vec!["ann", "Ann", "bob", "eve"]);
    let place = prop::sample::select(vec!["a", "b", "c"]);
    let roles = prop::sample::subsequence(Role::ALL.to_vec(), 1..3).prop_map(|roles| Roles::of(&roles));
    let rate = prop::option::of(prop_oneof![
        Just(Rate::Default),
        Just(Rate::PerSecond(5.try_into().unwrap()))
    ]);
    let disabled = prop::option::of(any::<bool>());
    let command = prop_oneof![
        Just(create_tenant()),
        (rate, disabled.clone()).prop_map(|(events_per_second, disabled)| Command::UpdateTenant {
            name: None,
            events_per_second,
            disabled
        }),
        (name, place.clone(), roles.clone()).prop_map(|(name, place, roles)| Command::CreateUser {
            name: name.into(),
            tenant: tenant(place),
            roles,
            password: sealed(),
        }),
        (prop::option::of(roles), disabled)
            .prop_map(|(roles, disabled)| Command::UpdateUser { roles, disabled }),
        Just(Command::SetPassword { password: sealed() }),
        Just(Command::EndSessions),
        place.prop_map(create_key),
        Just(Command::RevokeKey),
        Just(Command::Bootstrap {
            log_id: Uuid::from_u128(5),
            partitions: 1
        }),
    ];
    let id = prop::sample::select(vec!["a", "b", "c", "op", "u1", "u2"]).prop_map(str::to_owned);
    let by = prop::sample::select(vec![None, Some("a"), Some("b")]);
    (id, 0u64..4, by, command)
}

/// Three writers' commands, and the order in which the log took them: some are written twice.
fn any_log() -> impl Strategy<Value = Vec<Envelope>> {
    prop::collection::vec((any_command(), 0u128..3, any::<bool>()), 1..60).prop_map(|records| {
        let mut log = Vec::new();
        for (n, ((id, version, by, command), writer, twice)) in records.into_iter().enumerate() {
            let record = envelope(writer * 1_000 + n as u128, version, by, &id, command);
            log.extend(twice.then(|| record.clone()));
            log.push(record);
        }
        log
    })
}

proptest! {
    /// Instances that fold one log, in pieces of their own, at their own pace, agree on every answer and every state;
    /// and what each of the writers wrote twice counts once.
    #[test]
    fn instances_decide_alike(log in any_log(), cut: prop::sample::Index) {
        let answers = |fold: &mut Fold, records: &[Envelope]| -> Vec<_> {
            records.iter().map(|record| fold.apply(record)).collect()
        };
        let (mut one, mut two) = (begun(), begun());
        let whole = answers(&mut one, &log);
        let (early, late) = log.split_at(cut.index(log.len()));
        let mut pieces = answers(&mut two, early);
        let snapshot = two.state().clone();
        let kept = State::clone(&snapshot);
        pieces.extend(answers(&mut two, late));
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(&*snapshot, &kept, "a snapshot that somebody holds does not change");

        let mut once = begun();
        let mut seen = std::collections::HashSet::new();
        log.iter().filter(|record| seen.insert(record.request_id)).for_each(|record| {
            let _ = once.apply(record);
        });
        prop_assert_eq!(&once, &one);
        let _ = answers(&mut one, &log);
        prop_assert_eq!(&once, &one, "replaying it all changes nothing");
    }

    /// What holds in every state that commands can lead to.
    #[test]
    fn states_are_sound(log in any_log()) {
        let mut fold = begun();
        for record in &log {
            let before = fold.state().clone();
            let outcome = fold.apply(record);
            let state = fold.state();
            if !matches!(outcome, Ok(Outcome::Accepted { .. })) {
                prop_assert_eq!(&before, state, "a refused command changes nothing");
            }
            let mut names: Vec<_> = state.users().map(|user| user.name.to_lowercase()).collect();
            names.sort();
            let count = names.len();
            names.dedup();
            prop_assert_eq!(names.len(), count, "names are unique");
            prop_assert!(state.users().all(|user| state.user_named(&user.name).unwrap().id == user.id));
            prop_assert!(state.users().all(|user| state.tenant(&user.tenant).is_some()));
            prop_assert!(state.keys().all(|key| state.tenant(&key.tenant).is_some()));
            let able = |user: &&std::sync::Arc<crate::control::User>| {
                user.roles.has(Role::Operator) && !user.disabled && !state.tenant(&user.tenant).unwrap().disabled
            };
            prop_assert!(state.users().any(|user| able(&user)), "somebody can still log in as operator");
        }
    }
}
