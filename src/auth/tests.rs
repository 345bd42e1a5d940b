use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::clock::{FixedClock, Timestamp};
use crate::control::journal::memory::MemoryJournal;
use crate::control::{By, Change, Command, Outcome, Permission, Reads, Refusal, Role, Roles};
use crate::crypto::ExposeSecret;
use crate::event::TenantId;
use manage::ManageError;

struct Fixture {
    auth: Auth,
    control: Control,
    clock: Arc<FixedClock>,
    keyring: Keyring,
    journal: MemoryJournal,
}

/// The last byte of the address from which the tests log in.
const HERE: u8 = 1;

const PASSWORD: &str = "correct horse";

fn config() -> Config {
    Config {
        token_seconds: 60,
        refresh_seconds: 600,
        // Tests move the clock by minutes.
        stale_reads_for: 86_400,
        wrong_passwords_per_minute: 3,
        wrong_passwords_per_minute_by_address: 60,
        logins_per_second: 1_000,
        password_checks_at_once: 2,
    }
}

async fn begun() -> Fixture {
    let (journal, keyring) = (MemoryJournal::new(), Keyring::ephemeral());
    let clock = Arc::new(FixedClock::at(Timestamp::from_millis(1_700_000_000_000)));
    let stop = CancellationToken::new();
    let control = Control::start(Arc::new(journal.clone()), keyring.clone(), clock.clone(), 4, stop)
        .await
        .unwrap();
    control.first_start(Some(PASSWORD.into())).await.unwrap().unwrap();
    let auth = Auth::new(control.clone(), &keyring, clock.clone(), config());
    Fixture {
        auth,
        control,
        clock,
        keyring,
        journal,
    }
}

impl Fixture {
    async fn login(&self, name: &str, password: SecretString) -> Result<LoginTokens, AuthError> {
        self.login_from(HERE, name, password).await
    }

    async fn login_from(
        &self,
        last: u8,
        name: &str,
        password: SecretString,
    ) -> Result<LoginTokens, AuthError> {
        let from = [192, 0, 2, last].into();
        self.auth.login(from, name, password).await
    }

    async fn token(&self, name: &str) -> String {
        self.login(name, PASSWORD.into())
            .await
            .unwrap()
            .token
            .expose_secret()
            .to_owned()
    }

    async fn admin(&self) -> Principal {
        let token = self.token("admin").await;
        self.auth.authenticate(Some(&token)).unwrap()
    }

    async fn submit(&self, expected_version: u64, id: &str, command: Command) {
        let (request_id, id) = (Uuid::now_v7(), id.to_owned());
        let change = Change {
            request_id,
            expected_version,
            by: By::system(),
            id,
            command,
        };
        let outcome = self.control.submit(change).await.unwrap();
        assert!(matches!(outcome, Outcome::Accepted { .. }), "{outcome:?}");
    }

    async fn key(&self, roles: &[Role], expires_at: Option<Timestamp>) -> (String, String) {
        let by = self.admin().await;
        let (id, text) = self
            .auth
            .create_key(&by, Uuid::now_v7(), new_key(roles, expires_at))
            .await
            .unwrap();
        (id, text.unwrap().expose_secret().to_owned())
    }

    fn asks(&self, header: &str) -> Result<Principal, AuthError> {
        self.auth.authenticate(Some(header))
    }
}

fn new_key(roles: &[Role], expires_at: Option<Timestamp>) -> NewKey {
    let (name, tenant, roles) = ("shop".into(), TenantId::default_tenant(), Roles::of(roles));
    NewKey {
        name,
        tenant,
        roles,
        expires_at,
        events_per_second: None,
    }
}

/// A token of any header and claims, signed by `sign`.
fn forge(header: Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn hs256(key: &[u8], message: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn a_login_gives_a_token_that_every_form_of_the_header_takes() {
    let fixture = begun().await;
    let tokens = fixture.login("Admin", PASSWORD.into()).await.unwrap();
    assert_eq!((tokens.token_type, tokens.expires_in), ("Bearer", 60));
    let token = tokens.token.expose_secret();
    for header in [
        format!("Bearer {token}"),
        format!("bearer  {token} "),
        token.to_owned(),
    ] {
        let principal = fixture.asks(&header).unwrap();
        assert_eq!(
            (principal.who(), principal.kind()),
            ("admin", PrincipalKind::User)
        );
        assert_eq!(*principal.tenant(), TenantId::default_tenant());
        assert!(principal.is_operator() && principal.can(Permission::Tenants));
    }
    assert!(!format!("{tokens:?}").contains(token), "tokens do not print");
}

#[tokio::test]
async fn a_token_says_nothing_of_roles_or_tenants() {
    let fixture = begun().await;
    let claims = claims_of(&fixture.token("admin").await);
    let mut names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["epoch", "exp", "iat", "iss", "jti", "sub"]);
}

#[tokio::test]
async fn what_is_no_credential_is_refused_alike() {
    let fixture = begun().await;
    assert_eq!(fixture.auth.authenticate(None), Err(AuthError::Missing));
    assert_eq!(fixture.asks(""), Err(AuthError::Missing));
    assert_eq!(fixture.asks("Bearer "), Err(AuthError::Invalid));
    let long = "x".repeat(10_000);
    for header in [
        "x",
        "a.b.c",
        "Basic YWRtaW46YWRtaW4=",
        "thk_",
        "thk_a",
        "thk_a_b",
        "Bearer \u{e9}.é.é",
        &long,
    ] {
        assert_eq!(fixture.asks(header), Err(AuthError::Invalid), "{header}");
    }
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let fixture = begun().await;
    let token = fixture.token("admin").await;
    let (claims, kid) = (claims_of(&token), fixture.keyring.active());
    let key = fixture.keyring.derive("token access", kid).unwrap();
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    let right = |message: &[u8]| hs256(key.expose(), message);
    assert!(
        fixture.asks(&forge(header("HS256"), &claims, right)).is_ok(),
        "the forger knows the format"
    );

    let refresh = fixture.keyring.derive("token refresh", kid).unwrap();
    let mut another = claims.clone();
    another["sub"] = json!("somebody");
    let mut elsewhere = claims.clone();
    elsewhere["iss"] = json!("trailhouse:00000000-0000-0000-0000-000000000000");
    let mut endless = claims.clone();
    endless.as_object_mut().unwrap().remove("exp");
    for (what, forged) in [
        ("alg none", forge(header("none"), &claims, |_| Vec::new())),
        ("alg none, signed", forge(header("none"), &claims, right)),
        ("alg HS512 under our key", forge(header("HS512"), &claims, right)),
        ("alg RS256", forge(header("RS256"), &claims, right)),
        ("no kid", forge(json!({"alg": "HS256"}), &claims, right)),
        (
            "unknown kid",
            forge(json!({"alg": "HS256", "kid": "k"}), &claims, right),
        ),
        (
            "key of the other use",
            forge(header("HS256"), &claims, |m| hs256(refresh.expose(), m)),
        ),
        (
            "guessed key",
            forge(header("HS256"), &claims, |m| hs256(b"secret", m)),
        ),
        ("empty key", forge(header("HS256"), &claims, |m| hs256(b"", m))),
        ("no signature", forge(header("HS256"), &claims, |_| Vec::new())),
        ("unknown user", forge(header("HS256"), &another, right)),
        ("another deployment", forge(header("HS256"), &elsewhere, right)),
        ("no expiry", forge(header("HS256"), &endless, right)),
    ] {
        assert_eq!(fixture.asks(&forged), Err(AuthError::Invalid), "{what}");
    }
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let swapped = format!(
        "{header}.{}.{signature}",
        URL_SAFE_NO_PAD.encode(another.to_string())
    );
    assert_eq!(
        fixture.asks(&swapped),
        Err(AuthError::Invalid),
        "claims changed under the signature"
    );
}

#[tokio::test]
async fn tokens_expire_and_refresh_tokens_give_new_ones() {
    let fixture = begun().await;
    let tokens = fixture.login("admin", PASSWORD.into()).await.unwrap();
    let (access, refresh) = (tokens.token.expose_secret(), tokens.refresh_token.expose_secret());
    assert_eq!(
        fixture.asks(refresh),
        Err(AuthError::Invalid),
        "a refresh token opens nothing"
    );
    assert_eq!(
        fixture.auth.refresh(&tokens.token).err(),
        Some(AuthError::Invalid),
        "nor does an access token refresh"
    );
    fixture.clock.advance(Duration::from_secs(59));
    assert!(fixture.asks(access).is_ok());
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.asks(access), Err(AuthError::Expired));
    let next = fixture.auth.refresh(&tokens.refresh_token).unwrap();
    assert!(fixture.asks(next.token.expose_secret()).is_ok());
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(
        fixture.auth.refresh(&next.refresh_token).err(),
        Some(AuthError::Expired)
    );
}

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
async fn an_api_key_counts_until_it_is_revoked_or_expires() {
    let fixture = begun().await;
    let end = Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_secs(10));
    let (id, text) = fixture.key(&[Role::Ingest], None).await;
    let (_, short) = fixture.key(&[Role::Auditor], Some(end)).await;
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
    fixture.clock.advance(Duration::from_secs(10));
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
    assert!(fixture.asks(text.unwrap().expose_secret()).is_ok());
    let new = || NewUser {
        name: "ann".into(),
        tenant: TenantId::default_tenant(),
        roles: Roles::of(&[Role::User]),
        password: PASSWORD.into(),
    };
    let first = fixture.auth.create_user(&by, request_of(6), new()).await.unwrap();
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
        password: "short".into(),
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

fn request_of(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

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
