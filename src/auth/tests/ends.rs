//! What ends a right, at every request anew.

use super::*;
use crate::control::{Patch, Permission, Reads};

#[tokio::test]
async fn ending_sessions_disabling_and_a_new_password_end_every_token() {
    let fixture = begun().await;
    let by = fixture.admin().await;
    let new = |name: &str| NewUser {
        name: name.into(),
        tenant: TenantId::default_tenant(),
        roles: Roles::of(&[Role::User]),
        limit: None,
        password: Some(PASSWORD.into()),
    };
    for (name, command) in [
        ("ann", Some(Command::EndSessions)),
        (
            "bob",
            Some(Command::UpdateUser {
                roles: None,
                limit: Patch::Keep,
                disabled: Some(true),
            }),
        ),
        ("eve", None),
    ] {
        let id = fixture
            .auth
            .create_user(&by, Uuid::now_v7(), new(name))
            .await
            .unwrap();
        let tokens = fixture.login(name, PASSWORD.into()).await.unwrap();
        let principal = fixture.asks(tokens.token.expose_secret()).unwrap();
        assert_eq!((principal.reads(), principal.actor_id()), (Reads::Own, name));
        match command {
            Some(command) => fixture.submit(1, &id, command).await,
            None => {
                let set = fixture
                    .auth
                    .set_password(&by, Uuid::now_v7(), (&id, 1), "another password".into());
                assert_eq!(set.await.unwrap(), 2);
                assert_eq!(
                    fixture.login(name, PASSWORD.into()).await.err(),
                    Some(AuthError::WrongPassword)
                );
                assert!(fixture.login(name, "another password".into()).await.is_ok());
            }
        }
        assert_eq!(
            fixture.asks(tokens.token.expose_secret()),
            Err(AuthError::Invalid),
            "{name}"
        );
        assert_eq!(
            fixture.auth.refresh(&tokens.refresh_token).err(),
            Some(AuthError::Invalid),
            "{name}"
        );
    }
    assert_eq!(
        fixture.login("bob", PASSWORD.into()).await.err(),
        Some(AuthError::WrongPassword)
    );
}

#[tokio::test]
async fn roles_come_from_the_fold_at_every_request() {
    let fixture = begun().await;
    let token = fixture.token("admin").await;
    let id = fixture.asks(&token).unwrap().id().to_owned();
    let roles = Some(Roles::of(&[Role::Operator, Role::Auditor]));
    fixture
        .submit(
            1,
            &id,
            Command::UpdateUser {
                roles,
                limit: Patch::Keep,
                disabled: None,
            },
        )
        .await;
    let principal = fixture.asks(&token).unwrap();
    assert!(principal.roles().has(Role::Auditor) && !principal.roles().has(Role::Admin));
}

#[tokio::test]
async fn a_disabled_tenant_opens_to_nobody_of_it() {
    let fixture = begun().await;
    let tenant = TenantId::parse("acme").unwrap();
    fixture
        .submit(
            0,
            "acme",
            Command::CreateTenant {
                name: "Acme".into(),
                limits: Default::default(),
            },
        )
        .await;
    let by = fixture.admin().await;
    let ann = NewUser {
        name: "ann".into(),
        tenant: tenant.clone(),
        roles: Roles::of(&[Role::Admin]),
        limit: None,
        password: Some(PASSWORD.into()),
    };
    fixture.auth.create_user(&by, Uuid::now_v7(), ann).await.unwrap();
    let key = NewKey {
        tenant: tenant.clone(),
        ..new_key(&[Role::Ingest], None)
    };
    let (_, key) = fixture.auth.create_key(&by, Uuid::now_v7(), key).await.unwrap();
    let (token, key) = (fixture.token("ann").await, key.unwrap());
    let ann = fixture.asks(&token).unwrap();
    assert!(
        ann.can_in(&tenant, Permission::Manage)
            && !ann.can_in(&TenantId::default_tenant(), Permission::Manage)
    );
    assert!(
        by.can_in(&tenant, Permission::Manage),
        "an operator spans tenants"
    );
    let shut = Command::UpdateTenant {
        name: None,
        limits: Default::default(),
        disabled: Some(true),
    };
    fixture.submit(1, "acme", shut).await;
    assert_eq!(fixture.asks(&token), Err(AuthError::Invalid));
    assert_eq!(fixture.asks(key.expose_secret()), Err(AuthError::Invalid));
    assert_eq!(
        fixture.login("ann", PASSWORD.into()).await.err(),
        Some(AuthError::WrongPassword)
    );
}

#[tokio::test]
async fn when_the_fold_is_stale_writes_stop_first_and_then_reads() {
    let fixture = begun().await;
    let token = fixture.token("admin").await;
    let strict = Auth::new(
        fixture.control.clone(),
        &fixture.keyring,
        fixture.clock.clone(),
        Config {
            stale_reads_for: 3,
            ..config()
        },
    );
    assert!(strict.admit_write().is_ok() && strict.authenticate(Some(&token)).is_ok());
    fixture.journal.set_away(true);
    fixture.clock.advance(Duration::from_secs(3));
    assert_eq!(strict.admit_write(), Err(AuthError::Stale));
    assert!(
        strict.authenticate(Some(&token)).is_ok(),
        "reads go on for a while"
    );
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(strict.authenticate(Some(&token)), Err(AuthError::Stale));
    assert!(fixture.asks(&token).is_ok(), "for as long as is configured");
    fixture.journal.set_away(false);
    fixture.control.catch_up().await.unwrap();
    assert_eq!(strict.admit_write(), Ok(()));
    assert!(strict.authenticate(Some(&token)).is_ok());
}

#[tokio::test]
async fn whoever_holds_a_connection_open_learns_that_it_must_end() {
    let fixture = begun().await;
    let by = fixture.admin().await;
    let new = NewUser {
        name: "ann".into(),
        tenant: TenantId::default_tenant(),
        roles: Roles::of(&[Role::Auditor]),
        limit: Some("action=VIEW".into()),
        password: Some(PASSWORD.into()),
    };
    let id = fixture.auth.create_user(&by, Uuid::now_v7(), new).await.unwrap();
    let enter = async || fixture.asks(&fixture.token("ann").await).unwrap();
    let still = |principal: &Principal| fixture.auth.still_counts(principal);
    let (first, second) = (enter().await, enter().await);
    assert_eq!(first.limit().map(|limit| &**limit), Some("action=VIEW"));
    assert_ne!(first.session(), second.session());
    let session = first.session().unwrap();
    let until = fixture.clock.now().plus(Duration::from_secs(600));
    fixture
        .submit(0, &id, Command::RevokeSession { session, until })
        .await;
    assert_eq!(still(&first), Err(AuthError::Invalid));
    assert_eq!(still(&second), Ok(()), "another session goes on");
    let wider = Command::UpdateUser {
        roles: None,
        limit: Patch::Unset,
        disabled: None,
    };
    fixture.submit(1, &id, wider).await;
    assert_eq!(still(&second), Err(AuthError::Changed));
    let third = enter().await;
    assert_eq!(third.limit(), None);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(still(&third), Err(AuthError::Expired));
    fixture.control.catch_up().await.unwrap();

    let end = fixture.clock.now().plus(Duration::from_secs(5));
    let (key, text) = fixture.key(&[Role::Ingest], Some(end)).await;
    let machine = fixture.asks(&text).unwrap();
    assert_eq!((machine.expires_at(), machine.session()), (Some(end), None));
    assert_eq!(still(&machine), Ok(()));
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(still(&machine), Err(AuthError::Expired));
    fixture.control.catch_up().await.unwrap();
    let (other, text) = fixture.key(&[Role::Ingest], None).await;
    let machine = fixture.asks(&text).unwrap();
    fixture.submit(1, &other, Command::RevokeKey).await;
    assert_eq!(still(&machine), Err(AuthError::Invalid));
    assert_ne!(key, other);
}

#[tokio::test]
async fn an_ended_session_takes_its_refreshed_tokens_with_it() {
    let fixture = begun().await;
    let tokens = fixture.login("admin", PASSWORD.into()).await.unwrap();
    let next = fixture.auth.refresh(&tokens.refresh_token).unwrap();
    let principal = fixture.asks(next.token.expose_secret()).unwrap();
    let (id, session) = (principal.id().to_owned(), principal.session().unwrap());
    let until = fixture.clock.now().plus(Duration::from_secs(600));
    fixture
        .submit(0, &id, Command::RevokeSession { session, until })
        .await;
    for token in [&tokens.token, &next.token] {
        assert_eq!(fixture.asks(token.expose_secret()), Err(AuthError::Invalid));
    }
    for token in [&tokens.refresh_token, &next.refresh_token] {
        assert_eq!(fixture.auth.refresh(token).err(), Some(AuthError::Invalid));
    }
}
