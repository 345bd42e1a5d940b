//! What may be done, and by whom.

use super::*;

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
    let mut operators = create_key("a");
    if let Command::CreateKey { roles, .. } = &mut operators {
        *roles = Roles::of(&[Role::Operator]);
    }
    fold.apply(&envelope(3, 0, None, "ka", operators)).unwrap();
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
        (21, 1, "ka", Command::RevokeKey, Refusal::OperatorsOnly),
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
        limit: Patch::Keep,
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
        limits: LimitsPatch::default(),
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
        limit: Patch::Keep,
        disabled: None,
    };
    let enable = Command::UpdateUser {
        roles: None,
        limit: Patch::Keep,
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
        fold.state().user("u").unwrap().password.as_ref().unwrap().0,
        4,
        "the version that set the password"
    );
}
