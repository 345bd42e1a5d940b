//! Control state as the tests have it, and those who ask it.

mod ends;
mod keys;
mod logins;
mod tokens;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::clock::{FixedClock, Timestamp};
use crate::control::journal::memory::MemoryJournal;
use crate::control::{By, Change, Command, Outcome, Role, Roles};
use crate::crypto::ExposeSecret;
use crate::event::TenantId;

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
        oidc: oidc::Config {
            issuer: None,
            audience: None,
            jwks_url: None,
            username_claim: "email".into(),
            leeway_seconds: 60,
        },
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
        limit: None,
        limits: Default::default(),
    }
}
