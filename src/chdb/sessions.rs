//! Sessions: connections that stay open between requests with the same `session_id`, with their temporary tables
//! and settings, until nobody asked for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::engine::{Engine, Lane, Route};
use super::exception::Exception;
use super::library::Connection;
use super::request::SessionAsked;

/// The most sessions open at once; each holds an idle connection, some 50 KiB.
const SESSIONS_MAX: usize = 256;

/// A session in use: nobody else can have it.
pub(super) struct SessionGuard {
    held: OwnedMutexGuard<Option<Held>>,
    engine: Weak<Engine>,
}

impl SessionGuard {
    /// Its connection, opened for its first statement.
    pub(super) fn connection(&mut self, lane: &mut Lane) -> Result<&mut Connection, Exception> {
        let held = match self.held.take() {
            Some(held) => held,
            None => Held {
                connection: Some(lane.fresh()?),
                engine: Weak::clone(&self.engine),
            },
        };
        let connection = self.held.insert(held).connection.as_mut();
        connection.ok_or_else(|| Exception::new(372, "SESSION_NOT_FOUND", "Session not found"))
    }

    /// Closes its connection: what is left of it is no good to anybody.
    pub(super) fn reset(&mut self) {
        *self.held = None;
    }
}

/// An open connection. It must be closed on a lane: closing may start threads of the engine, and those must be
/// descendants of one that is confined.
struct Held {
    connection: Option<Connection>,
    engine: Weak<Engine>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (Some(connection), Some(engine)) = (self.connection.take(), self.engine.upgrade()) {
            let _ = engine.submit(Route::Cancels, Box::new(move |_| drop(connection)));
        }
    }
}

/// All sessions, by their ids.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<String, Session>>,
    engine: Weak<Engine>,
}

struct Session {
    held: Arc<AsyncMutex<Option<Held>>>,
    timeout: Duration,
    used: Instant,
}

impl Sessions {
    pub(super) fn new(engine: &Arc<Engine>) -> Self {
        Self {
            open: Mutex::default(),
            engine: Arc::downgrade(engine),
        }
    }

    /// Takes the session that is asked for, making it when it is new.
    pub(super) fn take(&self, asked: &SessionAsked, now: Instant) -> Result<SessionGuard, Exception> {
        let mut sessions = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| !session.is_over(now));
        if asked.must_exist && !sessions.contains_key(&asked.id) {
            return Err(Exception::new(372, "SESSION_NOT_FOUND", "Session not found"));
        }
        if sessions.len() >= SESSIONS_MAX && !sessions.contains_key(&asked.id) {
            forget_oldest(&mut sessions)?;
        }
        let session = sessions.entry(asked.id.clone()).or_insert_with(|| Session {
            held: Arc::default(),
            timeout: asked.timeout,
            used: now,
        });
        (session.timeout, session.used) = (asked.timeout, now);
        match Arc::clone(&session.held).try_lock_owned() {
            Ok(held) => Ok(SessionGuard {
                held,
                engine: Weak::clone(&self.engine),
            }),
            Err(_) => Err(Exception::new(
                373,
                "SESSION_IS_LOCKED",
                "Session is locked by a concurrent client",
            )),
        }
    }

    /// Closes those that nobody asked for in their time.
    pub(super) fn sweep(&self, now: Instant) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, session| !session.is_over(now));
    }

    /// Closes all that are not in use.
    pub(super) fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Session {
    fn is_idle(&self) -> bool {
        self.held.try_lock().is_ok()
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) > self.timeout && self.is_idle()
    }
}

fn forget_oldest(sessions: &mut HashMap<String, Session>) -> Result<(), Exception> {
    let idle = sessions.iter().filter(|(_, session)| session.is_idle());
    match idle
        .min_by_key(|(_, session)| session.used)
        .map(|(id, _)| id.clone())
    {
        Some(id) => {
            sessions.remove(&id);
            Ok(())
        }
        None => Err(Exception {
            overloaded: true,
            ..Exception::new(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "all sessions are in use")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(id: &str) -> SessionAsked {
        SessionAsked {
            id: id.to_owned(),
            timeout: Duration::from_secs(60),
            must_exist: false,
        }
    }

    #[test]
    fn a_session_is_used_by_one_at_a_time_and_ends() {
        let sessions = Sessions::default();
        let start = Instant::now();
        let guard = sessions.take(&asked("a"), start).unwrap();
        assert_eq!(sessions.take(&asked("a"), start).err().unwrap().code, 373);
        let later = start + Duration::from_secs(61);
        sessions.sweep(later);
        assert_eq!(
            sessions.take(&asked("a"), later).err().unwrap().code,
            373,
            "in use, so not swept"
        );
        drop(guard);
        let must_exist = SessionAsked {
            must_exist: true,
            ..asked("a")
        };
        assert!(sessions.take(&must_exist, later).is_ok());
        assert_eq!(
            sessions
                .take(&must_exist, later + Duration::from_secs(61))
                .err()
                .unwrap()
                .code,
            372
        );
    }

    #[test]
    fn their_number_is_bounded() {
        let sessions = Sessions::default();
        let now = Instant::now();
        let held = sessions.take(&asked("held"), now).unwrap();
        for n in 0..SESSIONS_MAX + 10 {
            sessions
                .take(&asked(&n.to_string()), now + Duration::from_millis(n as u64 + 1))
                .unwrap();
        }
        assert_eq!(sessions.open.lock().unwrap().len(), SESSIONS_MAX);
        drop(held);
    }
}
