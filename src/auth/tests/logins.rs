//! Passwords, right and wrong.

use super::*;

#[tokio::test]
async fn an_unknown_user_costs_a_hash_as_well() {
    let fixture = begun().await;
    // What stands in for the hash of a user that does not exist costs what a real one does, and is really checked:
    // a password that fits nobody takes a turn of its own.
    let parameters = |hash: &crate::crypto::SecretString| {
        use crate::crypto::ExposeSecret;
        hash.expose_secret().rsplitn(3, '$').last().map(str::to_owned)
    };
    let real = crate::crypto::password::hash(&PASSWORD.into()).unwrap();
    assert_eq!(parameters(&crate::crypto::password::decoy()), parameters(&real));
    for name in ["admin", "nobody"] {
        let refused = fixture.login(name, "a wrong password".into()).await.err();
        assert_eq!(refused, Some(AuthError::WrongPassword), "{name}");
    }
}

#[tokio::test]
async fn wrong_passwords_for_one_name_are_counted_and_hold_up_nobody_else() {
    let fixture = begun().await;
    let mut refused = None;
    for _ in 0..5 {
        refused = fixture.login("admin", "a wrong password".into()).await.err();
    }
    let Some(AuthError::TooMany { retry_after }) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        retry_after >= Duration::from_secs(1) && retry_after <= Duration::from_secs(20),
        "{retry_after:?}"
    );
    let right = fixture.login("ADMIN", PASSWORD.into()).await.err();
    assert!(
        matches!(right, Some(AuthError::TooMany { .. })),
        "the right one has to wait as well: {right:?}"
    );
    assert_eq!(
        fixture.login("nobody", PASSWORD.into()).await.err(),
        Some(AuthError::WrongPassword)
    );
}

#[tokio::test]
async fn guesses_that_come_all_at_once_are_counted_like_those_in_a_row() {
    let fixture = begun().await;
    let guesses = (0..20).map(|_| fixture.login("admin", "a wrong password".into()));
    let answers = futures_util::future::join_all(guesses).await;
    let looked_at = answers
        .iter()
        .filter(|answer| answer.as_ref().err() == Some(&AuthError::WrongPassword))
        .count();
    assert_eq!(looked_at, 3);
}

#[tokio::test]
async fn where_a_user_has_logged_in_before_others_do_not_keep_it_out() {
    let fixture = begun().await;
    assert!(fixture.login_from(1, "admin", PASSWORD.into()).await.is_ok());
    for last in 2..10 {
        let refused = fixture.login_from(last, "admin", "a wrong password".into());
        assert!(refused.await.is_err());
    }
    let elsewhere = fixture.login_from(2, "admin", PASSWORD.into()).await.err();
    assert!(
        matches!(elsewhere, Some(AuthError::TooMany { .. })),
        "{elsewhere:?}"
    );
    assert!(fixture.login_from(1, "Admin", PASSWORD.into()).await.is_ok());
}

#[tokio::test]
async fn right_passwords_are_not_counted() {
    let fixture = begun().await;
    for _ in 0..5 {
        assert!(fixture.login("admin", PASSWORD.into()).await.is_ok());
    }
}
