//! What ends a right, at every request anew.

use super::*;
use crate::control::{Permission, Reads};

#[tokio::test]
async fn ending_sessions_disabling_and_a_new_password_end_every_token() {
    let fixture = begun().await;
    let by = fixture.admin().await;
    let new = |name: &str| NewUser {
        name: name.into(),
        tenant: TenantId::default_tenant(),
        roles: Roles::of(&[Role::User]),
        password: PASSWORD.into(),
    };
    for (name, command) in [
        ("ann", Some(Command::EndSessions)),
        (
            "bob",
            Some(Command::UpdateUser {
                roles: None,
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
                events_per_second: None,
            },
        )
        .await;
    let by = fixture.admin().await;
    let ann = NewUser {
        name: "ann".into(),
        tenant: tenant.clone(),
        roles: Roles::of(&[Role::Admin]),
        password: PASSWORD.into(),
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
        events_per_second: None,
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
