//! Login: user name and password to a pair of tokens.
//!
//! A wrong name costs the same time as a wrong password. Argon2 takes 19 MiB and 20 ms, so only a few run at once;
//! further attempts wait in a bounded line and are turned away when it is full, and wrong passwords for one name are
//! counted.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::principal::tenant_is_open;
use super::token::Use;
use super::{Auth, AuthError, Config};
use crate::control::{Kind, User};
use crate::crypto::{self, ExposeSecret, SecretString};

/// What a login gives.
#[derive(Clone, Debug)]
pub struct LoginTokens {
    /// For the `Authorization` header.
    pub token: SecretString,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Seconds that `token` counts.
    pub expires_in: u64,
    /// For the next pair.
    pub refresh_token: SecretString,
}

/// How many attempts wait for their turn; at 20 ms each on two threads the last waits 0.6 s.
const WAITING_MAX: usize = 64;
/// The longest user name, in bytes.
const NAME_MAX: usize = 128;
/// How many names with wrong passwords are kept before old ones are let go.
const NAMES_MAX: usize = 10_000;

/// What keeps guessing slow and memory bounded.
pub(super) struct Attempts {
    all: DefaultDirectRateLimiter,
    wrong: DefaultKeyedRateLimiter<String>,
    blocked: Mutex<HashMap<String, Instant>>,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Attempts {
    pub(super) fn new(config: &Config) -> Self {
        let some = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self {
            all: RateLimiter::direct(Quota::per_second(some(config.logins_per_second))),
            wrong: RateLimiter::keyed(Quota::per_minute(some(config.wrong_passwords_per_minute))),
            blocked: Mutex::default(),
            running: Arc::new(Semaphore::new(config.password_checks_at_once.max(1))),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// That an attempt for this name may be made now.
    fn admit(&self, name: &str) -> Result<(), AuthError> {
        self.all
            .check()
            .map_err(|until| too_many(until.wait_time_from(DefaultClock::default().now())))?;
        let blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let left = blocked
            .get(name)
            .map(|until| until.saturating_duration_since(Instant::now()));
        left.filter(|left| !left.is_zero())
            .map_or(Ok(()), |left| Err(too_many(left)))
    }

    /// Counts a wrong password: when there were too many, the name is blocked until the next one is due.
    fn note_wrong(&self, name: &str) {
        self.forget_old_names();
        let Err(until) = self.wrong.check_key(&name.to_owned()) else {
            return;
        };
        let (now, left) = (
            Instant::now(),
            until.wait_time_from(DefaultClock::default().now()),
        );
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        if blocked.len() >= NAMES_MAX {
            blocked.retain(|_, until| *until > now);
        }
        blocked.insert(name.to_owned(), now + left);
    }

    /// Lets go of names that nobody tried of late. What stays is bounded by the logins a second.
    fn forget_old_names(&self) {
        if self.wrong.len() >= NAMES_MAX {
            self.wrong.retain_recent();
            self.wrong.shrink_to_fit();
        }
    }

    /// A turn to run argon2, in order of arrival.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, AuthError> {
        let _waiting = self
            .waiting
            .try_acquire()
            .map_err(|_| too_many(Duration::from_secs(1)))?;
        self.running
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| AuthError::Unavailable)
    }

    /// Runs argon2 off the async threads, when its turn has come.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let turn = self.turn().await?;
        // The turn ends with the work, also when nobody waits for its result any more.
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| AuthError::Unavailable)
    }
}

fn too_many(retry_after: Duration) -> AuthError {
    AuthError::TooMany {
        retry_after: retry_after.max(Duration::from_secs(1)),
    }
}

impl Auth {
    /// Checks a user name and a password, and gives tokens.
    pub async fn login(&self, name: &str, password: SecretString) -> Result<LoginTokens, AuthError> {
        self.admit_read()?;
        // No user has a longer name: it is unknown, and need not be kept in the table of attempts.
        let name = if name.len() <= NAME_MAX {
            name.to_lowercase()
        } else {
            String::new()
        };
        self.inner.attempts.admit(&name)?;
        let possible = crypto::password::problem(&password).is_none();
        let (user, hash) = if possible {
            self.hash_of(&name)?
        } else {
            (None, crypto::password::decoy())
        };
        let right = self
            .inner
            .attempts
            .run(move || crypto::password::verify(&password, &hash))
            .await?;
        match user.filter(|_| right) {
            Some(user) => self.tokens_for(&user),
            None => {
                self.inner.attempts.note_wrong(&name);
                Err(AuthError::WrongPassword)
            }
        }
    }

    /// The user of that name, if one may log in, and the hash to compare with: a decoy when there is none.
    fn hash_of(&self, name: &str) -> Result<(Option<Arc<User>>, SecretString), AuthError> {
        let state = self.inner.control.state();
        let user = state
            .user_named(name)
            .filter(|user| !user.disabled && tenant_is_open(&state, &user.tenant));
        let Some(user) = user else {
            return Ok((None, crypto::password::decoy()));
        };
        let (version, sealed) = &user.password;
        let hash = self
            .inner
            .control
            .unseal(Kind::User, &user.id, *version, sealed)
            .map_err(|error| {
                tracing::error!(user = %user.name, %error, "a stored password hash can't be opened");
                AuthError::Unavailable
            })?;
        let hash = String::from_utf8(hash.expose_secret().to_vec()).map_err(|_| AuthError::Unavailable)?;
        Ok((Some(user.clone()), hash.into()))
    }

    /// A fresh pair of tokens.
    pub(super) fn tokens_for(&self, user: &User) -> Result<LoginTokens, AuthError> {
        let inner = &self.inner;
        let sign = |usage, seconds| {
            let lifetime = Duration::from_secs(seconds);
            inner
                .signer
                .sign(user, usage, inner.clock.fresh_id(), inner.clock.now(), lifetime)
        };
        Ok(LoginTokens {
            token: sign(Use::Access, inner.config.token_seconds)?,
            token_type: "Bearer",
            expires_in: inner.config.token_seconds,
            refresh_token: sign(Use::Refresh, inner.config.refresh_seconds)?,
        })
    }
}
