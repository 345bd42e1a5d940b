//! What keeps guessing slow, and memory bounded.
//!
//! Wrong passwords are counted by the user they are for and by the address they come from: who has many addresses is
//! held up by the one, who tries many users by the other. Either would let a stranger keep a user out, or one colleague
//! an office. So an address from which a user has logged in is known for this user: what comes from there is counted
//! by itself, and nobody else's attempts hold it up. Users that don't exist are counted alike.
//!
//! An attempt is charged before its password is looked at, and a right one is given back: guesses that come all at
//! once are counted like those that come in a row.
//!
//! Argon2 takes 19 MiB and 20 ms, so only a few run at once. What strangers bring, and passwords that are set, wait in a
//! bounded line each, and are turned away when it is full; strangers come only so many a second. Who comes from a known
//! address shares neither with them: what such a user has under way is bounded by its own count.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;

use super::{AuthError, Config};

/// How long a line may be; at 20 ms each on two threads its last waits 0.6 s.
const WAITING_MAX: usize = 64;
/// How many names, or addresses, with wrong passwords are kept before old ones are let go.
const KEYS_MAX: usize = 10_000;
/// How many addresses of a user are known; the oldest is forgotten.
const KNOWN_MAX: usize = 8;

/// The counts of one instance.
pub(super) struct Attempts {
    strangers: DefaultDirectRateLimiter,
    by_user: Wrong<User>,
    by_address: Wrong<IpAddr>,
    known: Mutex<HashMap<String, VecDeque<IpAddr>>>,
    running: Arc<Semaphore>,
    strangers_line: Semaphore,
    setting_line: Semaphore,
}

/// Whom an attempt is for: by a known address of the user's, or by all others together.
#[derive(Clone, PartialEq, Eq, Hash)]
struct User {
    name: String,
    known: Option<IpAddr>,
}

/// An attempt that may be made.
pub(super) struct Attempt {
    user: User,
    from: IpAddr,
}

impl Attempts {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            strangers: RateLimiter::direct(Quota::per_second(some(config.logins_per_second))),
            by_user: Wrong::new(config.wrong_passwords_per_minute),
            by_address: Wrong::new(config.wrong_passwords_per_minute_by_address),
            known: Mutex::default(),
            running: Arc::new(Semaphore::new(config.password_checks_at_once.max(1))),
            strangers_line: Semaphore::new(WAITING_MAX),
            setting_line: Semaphore::new(WAITING_MAX),
        }
    }

    /// Charges an attempt for this name from there, if one may be made now.
    pub(super) fn admit(&self, name: &str, from: IpAddr) -> Result<Attempt, AuthError> {
        let from = network(from);
        let known = held(&self.known)
            .get(name)
            .is_some_and(|known| known.contains(&from));
        let user = User {
            name: name.to_owned(),
            known: known.then_some(from),
        };
        self.by_user.charge(&user)?;
        let attempt = Attempt { user, from };
        if known {
            return Ok(attempt);
        }
        if let Err(refused) = self.by_address.charge(&from) {
            self.by_user.give_back(&attempt.user);
            return Err(refused);
        }
        match self.strangers.check() {
            Ok(()) => Ok(attempt),
            Err(until) => {
                self.give_back(&attempt);
                Err(too_many(until.wait_time_from(DefaultClock::default().now())))
            }
        }
    }

    /// For an attempt that was not wrong, or whose password nobody looked at. What is not given back was wrong.
    pub(super) fn give_back(&self, attempt: &Attempt) {
        self.by_user.give_back(&attempt.user);
        if attempt.user.known.is_none() {
            self.by_address.give_back(&attempt.from);
        }
    }

    /// Knows the address from now on.
    pub(super) fn note_right(&self, attempt: Attempt) {
        self.give_back(&attempt);
        if attempt.user.known.is_some() {
            return;
        }
        let mut known = held(&self.known);
        // Only users that exist log in, so this is as good as never full.
        if known.len() >= KEYS_MAX && !known.contains_key(&attempt.user.name) {
            known.clear();
        }
        let addresses = known.entry(attempt.user.name).or_default();
        // Two at once may both have come from nowhere known.
        addresses.retain(|known| *known != attempt.from);
        addresses.push_back(attempt.from);
        if addresses.len() > KNOWN_MAX {
            addresses.pop_front();
        }
    }

    /// Checks a password when its turn has come.
    pub(super) async fn check<T: Send + 'static>(
        &self,
        attempt: &Attempt,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let line = attempt.user.known.is_none().then_some(&self.strangers_line);
        self.run(line, work).await
    }

    /// Hashes a password that is set, when its turn has come.
    pub(super) async fn set<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        self.run(Some(&self.setting_line), work).await
    }

    /// Runs argon2 off the async threads, in order of arrival, for whom there is room in the line.
    async fn run<T: Send + 'static>(
        &self,
        line: Option<&Semaphore>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let waiting = line.map(Semaphore::try_acquire).transpose();
        let waiting = waiting.map_err(|_| too_many(Duration::from_secs(1)))?;
        let turn = self.running.clone().acquire_owned().await;
        let turn = turn.map_err(|_| AuthError::Unavailable)?;
        drop(waiting);
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

/// Wrong passwords by a key: so many at once, and then as many as fall due a minute.
struct Wrong<K> {
    burst: Duration,
    each: Duration,
    /// When all that a key was charged has fallen due; no key stays for longer.
    due: Mutex<HashMap<K, Instant>>,
}

impl<K: Clone + Eq + Hash> Wrong<K> {
    fn new(per_minute: u32) -> Self {
        let burst = Duration::from_secs(60);
        Self {
            burst,
            each: burst / per_minute.max(1),
            due: Mutex::default(),
        }
    }

    fn charge(&self, key: &K) -> Result<(), AuthError> {
        let (now, mut due) = (Instant::now(), held(&self.due));
        // What stays is bounded by the strangers a second, and by the users there are.
        if due.len() >= KEYS_MAX {
            due.retain(|_, due| *due > now);
        }
        let charged = due.get(key).map_or(now, |due| now.max(*due)) + self.each;
        let ahead = charged.saturating_duration_since(now + self.burst);
        if ahead.is_zero() {
            due.insert(key.clone(), charged);
            Ok(())
        } else {
            Err(too_many(ahead))
        }
    }

    fn give_back(&self, key: &K) {
        let mut due = held(&self.due);
        let Some(charged) = due.get_mut(key) else {
            return;
        };
        *charged -= self.each;
        if *charged <= Instant::now() {
            due.remove(key);
        }
    }
}

/// What one party has of addresses: of IPv6 it is a network of 64 bits at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

fn some(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

fn too_many(retry_after: Duration) -> AuthError {
    AuthError::TooMany {
        retry_after: retry_after.max(Duration::from_secs(1)),
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use confique::Config as _;

    use super::*;

    fn attempts() -> Attempts {
        let mut config = Config::builder().load().unwrap();
        config.wrong_passwords_per_minute = 3;
        config.wrong_passwords_per_minute_by_address = 6;
        config.logins_per_second = 100_000;
        Attempts::new(&config)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    /// Whether a wrong password may be tried, all at once: none is said to be right before the next one comes.
    fn wrong(attempts: &Attempts, name: &str, from: IpAddr) -> bool {
        attempts.admit(name, from).is_ok()
    }

    fn right(attempts: &Attempts, name: &str, from: IpAddr) -> bool {
        let admitted = attempts.admit(name, from);
        admitted.map(|attempt| attempts.note_right(attempt)).is_ok()
    }

    #[test]
    fn many_addresses_do_not_help_against_one_user() {
        let attempts = attempts();
        let tried = (0..100)
            .filter(|n| wrong(&attempts, "admin", address(*n)))
            .count();
        assert_eq!(tried, 3);
        assert!(!right(&attempts, "admin", address(200)), "nobody knows this one");
        assert!(right(&attempts, "ada", address(0)));
    }

    #[test]
    fn many_users_do_not_help_from_one_address() {
        let attempts = attempts();
        let tried = (0..100)
            .filter(|n| wrong(&attempts, &format!("user-{n}"), address(1)))
            .count();
        assert_eq!(tried, 6);
        assert!(right(&attempts, "ada", address(2)));
        let neighbours = (0..100u128).filter(|n| {
            let from = Ipv6Addr::from_bits(0x2001_0db8 << 96 | n);
            wrong(&attempts, &format!("other-{n}"), from.into())
        });
        assert_eq!(neighbours.count(), 6);
    }

    #[test]
    fn where_a_user_has_logged_in_nobody_elses_attempts_hold_it_up() {
        let attempts = attempts();
        assert!(right(&attempts, "admin", address(1)));
        for n in 0..100 {
            // From everywhere against the user, and from the same office against others.
            wrong(&attempts, "admin", address(100 + n));
            wrong(&attempts, &format!("user-{n}"), address(1));
        }
        assert!(!right(&attempts, "admin", address(2)) && !right(&attempts, "ada", address(1)));
        assert!(right(&attempts, "admin", address(1)));
        // Known is not trusted: guessing from there is counted as anywhere.
        let tried = (0..100).filter(|_| wrong(&attempts, "admin", address(1))).count();
        assert_eq!(tried, 3);
    }

    #[test]
    fn what_was_not_wrong_is_given_back_and_what_was_refused_is_not_charged() {
        let attempts = attempts();
        for _ in 0..10 {
            let attempt = attempts.admit("admin", address(1)).ok().unwrap();
            attempts.give_back(&attempt);
        }
        assert!(held(&attempts.by_user.due).is_empty() && held(&attempts.by_address.due).is_empty());
        for n in 0..6 {
            assert!(wrong(&attempts, &format!("user-{n}"), address(1)));
        }
        // The address is at its end: what it tries now costs the user nothing.
        assert!((0..10).all(|_| !wrong(&attempts, "admin", address(1))));
        assert!((0..3).all(|_| wrong(&attempts, "admin", address(2))));
    }

    #[tokio::test]
    async fn strangers_keep_nobody_out_of_known_places_or_from_setting_a_password() {
        let mut config = Config::builder().load().unwrap();
        config.logins_per_second = 2;
        let attempts = Attempts::new(&config);
        assert!(right(&attempts, "ada", address(1)));
        let stranger = attempts.admit("admin", address(2)).ok().unwrap();
        assert!(
            !right(&attempts, "admin", address(3)),
            "both of this second are gone"
        );
        let known = attempts.admit("ada", address(1)).ok().unwrap();

        let line = attempts.strangers_line.acquire_many(WAITING_MAX as u32).await;
        let refused = attempts.check(&stranger, || ()).await;
        assert!(matches!(refused, Err(AuthError::TooMany { .. })), "{refused:?}");
        assert_eq!(attempts.check(&known, || 1).await, Ok(1));
        assert_eq!(attempts.set(|| 2).await, Ok(2));
        drop(line);
        assert_eq!(attempts.check(&stranger, || 3).await, Ok(3));
    }

    #[test]
    fn of_a_users_addresses_a_few_are_known() {
        let attempts = attempts();
        for n in 0..=KNOWN_MAX as u8 {
            assert!(right(&attempts, "ada", address(n)));
        }
        let both = [1, 2].map(|_| attempts.admit("bob", address(1)).ok().unwrap());
        both.into_iter().for_each(|attempt| attempts.note_right(attempt));
        assert_eq!(held(&attempts.known)["bob"].len(), 1);
        assert_eq!(held(&attempts.known)["ada"].len(), KNOWN_MAX);
        assert!(!held(&attempts.known)["ada"].contains(&address(0)));
    }
}
