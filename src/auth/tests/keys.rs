//! API keys, and requests that are repeated.

use super::manage::ManageError;
use super::*;
use crate::control::{Permission, Refusal};

#[tokio::test]
async fn an_api_key_counts_until_it_is_revoked_or_expires() {
    let fixture = begun().await;
    let end = Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_secs(10));
    let (id, text) = fixture.key(&[Role::Ingest], None).await;
    let (expiring, short) = fixture.key(&[Role::Auditor], Some(end)).await;
    for header in [text.clone(), format!("Bearer {text}")] {
        let principal = fixture.asks(&header).unwrap();
        assert_eq!(
            (principal.key_id(), principal.kind()),
            (Some(&*id), PrincipalKind::Key)
        );
        assert!(principal.can(Permission::Write) && !principal.can(Permission::Read));
    }
    let mut wrong = text.clone();
    let last = wrong.pop().unwrap();
    wrong.push(if last == 'a' { 'b' } else { 'a' });
    let longer = format!("{text}a");
    let moved = text.replace(&id, "0000000000000000");
    for wrong in [&wrong, &longer, &moved, &text[..text.len() - 1]] {
        assert_eq!(fixture.asks(wrong), Err(AuthError::Invalid));
    }
    assert!(fixture.asks(&short).is_ok());
    let watching = fixture.asks(&short).unwrap();
    fixture.clock.advance(Duration::from_secs(10));
    assert_eq!(fixture.asks(&short), Err(AuthError::Expired));
    assert_eq!(fixture.auth.still_counts(&watching), Err(AuthError::Expired));
    // Who doesn't have all of the key learns nothing about it, and whoever revoked it meant more than its end.
    let guessed = format!(
        "{}{}",
        &short[..short.len() - 1],
        if short.ends_with('a') { 'b' } else { 'a' }
    );
    assert_eq!(fixture.asks(&guessed), Err(AuthError::Invalid));
    fixture.submit(1, &expiring, Command::RevokeKey).await;
    assert_eq!(fixture.asks(&short), Err(AuthError::Invalid));
    fixture.submit(1, &id, Command::RevokeKey).await;
    assert_eq!(fixture.asks(&text), Err(AuthError::Invalid));
    let log: String = fixture
        .journal
        .records()
        .iter()
        .map(|r| String::from_utf8_lossy(&r.payload).into_owned())
        .collect();
    assert!(
        log.contains(&id) && !log.contains(text.rsplit('_').next().unwrap()),
        "the log has no key in the clear"
    );
}

#[tokio::test]
async fn a_key_that_would_never_count_is_not_made() {
    let fixture = begun().await;
    let by = fixture.admin().await;
    let now = Timestamp::from_millis(1_700_000_000_000);
    let made = fixture
        .auth
        .create_key(&by, request_of(1), new_key(&[Role::Ingest], Some(now)))
        .await;
    assert!(
        matches!(&made, Err(ManageError::Control(crate::control::ControlError::Invalid(problems))) if problems[0].field == "/expires_at"),
        "{made:?}"
    );
    assert_eq!(fixture.control.state().keys().count(), 0);
}

#[tokio::test]
async fn a_repeated_request_makes_one_user_and_one_key_and_shows_the_key_once() {
    let fixture = begun().await;
    let by = fixture.admin().await;
    let request = Uuid::from_u128(5);
    let (id, text) = fixture
        .auth
        .create_key(&by, request, new_key(&[Role::Ingest], None))
        .await
        .unwrap();
    let (again, nothing) = fixture
        .auth
        .create_key(&by, request, new_key(&[Role::Ingest], None))
        .await
        .unwrap();
    assert_eq!(id, again);
    assert!(text.is_some() && nothing.is_none());
    let other = fixture
        .auth
        .create_key(&by, request, new_key(&[Role::Auditor], None))
        .await;
    assert!(is_another_request(&other), "{other:?}");
    assert!(fixture.asks(text.unwrap().expose_secret()).is_ok());
    let new = || NewUser {
        name: "ann".into(),
        tenant: TenantId::default_tenant(),
        roles: Roles::of(&[Role::User]),
        limit: None,
        password: Some(PASSWORD.into()),
    };
    let first = fixture.auth.create_user(&by, request_of(6), new()).await.unwrap();
    assert_eq!(
        fixture.auth.create_user(&by, request_of(6), new()).await.unwrap(),
        first
    );
    let others = [
        NewUser {
            name: "bob".into(),
            ..new()
        },
        NewUser {
            password: Some("wrong horse".into()),
            ..new()
        },
        NewUser {
            password: None,
            ..new()
        },
        NewUser {
            limit: Some("action=VIEW".into()),
            ..new()
        },
    ];
    for other in others {
        let other = fixture.auth.create_user(&by, request_of(6), other).await;
        assert!(is_another_request(&other), "{other:?}");
    }
    // With another password by now, nobody can tell.
    let set = fixture
        .auth
        .set_password(&by, request_of(9), (&first, 1), "another horse".into());
    set.await.unwrap();
    assert_eq!(
        fixture.auth.create_user(&by, request_of(6), new()).await.unwrap(),
        first
    );
    let taken = fixture
        .auth
        .create_user(&by, request_of(7), new())
        .await
        .unwrap_err();
    assert!(matches!(taken, ManageError::Refused(Refusal::NameTaken)));
    let weak = NewUser {
        password: Some("short".into()),
        ..new()
    };
    let weak = fixture
        .auth
        .create_user(&by, request_of(8), weak)
        .await
        .unwrap_err();
    assert!(
        matches!(weak, ManageError::Control(crate::control::ControlError::Invalid(problems)) if problems[0].field == "/password")
    );
}

fn is_another_request<T>(made: &Result<T, ManageError>) -> bool {
    matches!(made, Err(ManageError::Refused(Refusal::OtherRequest)))
}

fn request_of(n: u128) -> Uuid {
    Uuid::from_u128(n)
}
