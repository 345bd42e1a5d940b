//! Tickets for browsers, which can't set headers on a stream: good once, for 30 s, at the instance that gave them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::crypto::{self, ExposeSecret, SecretString};

/// How long a ticket is good.
pub const GOOD_FOR: Duration = Duration::from_secs(30);
/// Tickets that may wait to be used; beyond them none are given.
const WAITING_MAX: usize = 10_000;

/// The tickets of this instance, by their digests.
#[derive(Default)]
pub struct Tickets {
    waiting: Mutex<HashMap<[u8; 32], (Principal, Timestamp)>>,
}

impl Tickets {
    /// One for this principal; `None` where too many wait to be used.
    pub fn issue(&self, principal: Principal, now: Timestamp) -> Option<SecretString> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            waiting.retain(|_, (_, until)| now < *until);
        }
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        let text = crypto::token::secret();
        waiting.insert(digest(text.expose_secret()), (principal, now.plus(GOOD_FOR)));
        Some(text)
    }

    /// Whose it is; it is used up by that.
    pub fn redeem(&self, text: &str, now: Timestamp) -> Option<Principal> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (principal, until) = waiting.remove(&digest(text))?;
        (now < until).then_some(principal)
    }
}

fn digest(text: &str) -> [u8; 32] {
    crypto::sha256(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TenantId;

    #[test]
    fn a_ticket_is_good_once_and_not_for_long() {
        let tickets = Tickets::default();
        let principal = Principal::system(TenantId::default_tenant(), "x");
        let now = Timestamp::from_micros(0);
        let issue = || tickets.issue(principal.clone(), now).unwrap();
        let (first, second) = (issue(), issue());
        assert_eq!(tickets.redeem("no such", now), None);
        assert_eq!(
            tickets.redeem(first.expose_secret(), now),
            Some(principal.clone())
        );
        assert_eq!(tickets.redeem(first.expose_secret(), now), None);
        assert_eq!(tickets.redeem(second.expose_secret(), now.plus(GOOD_FOR)), None);
    }

    #[test]
    fn there_are_no_more_than_may_wait_and_old_ones_make_room() {
        let tickets = Tickets::default();
        let principal = Principal::system(TenantId::default_tenant(), "x");
        let now = Timestamp::from_micros(0);
        for _ in 0..WAITING_MAX {
            assert!(tickets.issue(principal.clone(), now).is_some());
        }
        assert!(tickets.issue(principal.clone(), now).is_none());
        assert!(tickets.issue(principal, now.plus(GOOD_FOR)).is_some());
    }
}
