//! Quick searches don't wait for slow ones, and no tenant's searches for all of another's.
//!
//! Nearly every search is answered by the indexes within milliseconds; one that has to read every row, a comparison
//! that nothing satisfies for example, keeps the cores and a place in the engine for seconds. Which kind it is shows
//! only when it is asked: so each is tried for a short time first, and one that needs longer waits for its turn, of
//! which there are few. (A bound on rows would be surer, but `max_rows_to_read` counts what could be read, and so
//! refuses a first page, which stops after a few blocks.) First tries are bounded as well, for many of them at once
//! would leave the engine no room for anything else; both are shared out among tenants ([`Permits`]).

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::event::TenantId;
use crate::limit::fair::Permits;
use crate::query::QueryError;
use crate::store::{Statement, StoreError};

/// The first try, in seconds: ten times what a search may take that the indexes answer.
const TRY_SECONDS: u32 = 1;
/// For a place to be tried in: with as few as two tenants, each has one after [`TRY_SECONDS`] at most.
const TRY_WITHIN: Duration = Duration::from_secs(5);
/// Slow searches that run at once: each keeps two cores busy, and inserts and quick searches need some too.
const SLOW_AT_ONCE: usize = 2;

/// The turns of one process. Cheap to clone.
#[derive(Clone)]
pub(in crate::query) struct Turns {
    first: Permits,
    slow: Permits,
}

impl Turns {
    /// `at_once` are tried at a time. `longest` is how long a search may take at most: who waits that long for a turn
    /// has seen every one of them end.
    pub(in crate::query) fn new(at_once: NonZeroUsize, longest: Duration) -> Self {
        Self {
            first: Permits::new(at_once.get(), TRY_WITHIN),
            slow: Permits::new(SLOW_AT_ONCE, longest),
        }
    }

    /// Asks for this tenant as soon as there is a place, and where that takes too long, again with all the time that a
    /// question may take.
    pub(in crate::query) async fn ask<T, F>(
        &self,
        tenant: &TenantId,
        sql: Statement,
        ask: impl Fn(Statement) -> F,
    ) -> Result<T, QueryError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut quick = sql.clone();
        quick.set("max_execution_time", TRY_SECONDS);
        let place = self.first.take(tenant).await.ok_or(QueryError::Busy)?;
        match ask(quick).await {
            Err(StoreError::TooSlow(_)) => drop(place),
            answer => return Ok(answer?),
        }
        let _turn = self.slow.take(tenant).await.ok_or(QueryError::Busy)?;
        Ok(ask(sql).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    fn turns(at_once: usize, slow: usize, wait: Duration) -> Turns {
        Turns {
            first: Permits::new(at_once, wait),
            slow: Permits::new(slow, wait),
        }
    }

    fn is_quick(sql: &Statement) -> bool {
        sql.settings().any(|(name, _)| name == "max_execution_time")
    }

    #[tokio::test]
    async fn what_takes_longer_is_asked_again_and_what_fails_is_not() {
        let slow = || Err(StoreError::TooSlow(String::new()));
        let costly = || Err(StoreError::TooCostly(String::new()));
        let cases = [
            (vec![Ok(1u8)], Ok(1)),
            (vec![slow(), Ok(2)], Ok(2)),
            (vec![slow(), slow()], Err(QueryError::TooCostly)),
            (vec![costly()], Err(QueryError::TooCostly)),
        ];
        for (answers, expected) in cases {
            let (left, asked) = (RefCell::new(answers.into_iter()), RefCell::new(Vec::new()));
            let ask = |sql: Statement| {
                asked.borrow_mut().push(is_quick(&sql));
                std::future::ready(left.borrow_mut().next().expect("asked too often"))
            };
            let turns = turns(1, 1, Duration::ZERO);
            let answer = turns.ask(&tenant("a"), Statement::new(), ask).await;
            assert_eq!(answer, expected);
            assert!(matches!(asked.borrow()[..], [true] | [true, false]));
            assert_eq!(left.borrow().len(), 0);
        }
    }

    #[tokio::test]
    async fn slow_searches_wait_for_a_turn_and_quick_ones_do_not() {
        let (turns, a) = (turns(1, 1, Duration::ZERO), tenant("a"));
        let stuck = |sql: Statement| async move {
            match is_quick(&sql) {
                true => Err(StoreError::TooSlow(String::new())),
                false => std::future::pending::<Result<u8, StoreError>>().await,
            }
        };
        let others = async {
            let slow = turns.ask(&a, Statement::new(), stuck);
            assert_eq!(slow.await, Err(QueryError::Busy));
            let quick = turns.ask(&a, Statement::new(), |_| std::future::ready(Ok(3)));
            assert_eq!(quick.await, Ok(3));
        };
        tokio::select! {
            biased;
            _ = turns.ask(&a, Statement::new(), stuck) => panic!("nothing answers it"),
            () = others => {}
        }
    }

    #[tokio::test]
    async fn first_tries_are_bounded_and_shared_out() {
        let (turns, a, b) = (turns(2, 1, Duration::from_secs(3_600)), tenant("a"), tenant("b"));
        let running = Cell::new(0);
        let stuck = |_| {
            running.set(running.get() + 1);
            std::future::pending::<Result<u8, StoreError>>()
        };
        let mut of_a: VecDeque<_> = (0..4)
            .map(|_| Box::pin(turns.ask(&a, Statement::new(), stuck)))
            .collect();
        for one in &mut of_a {
            assert!(one.as_mut().now_or_never().is_none());
        }
        assert_eq!(running.get(), 2, "no more than there are permits");
        let mut of_b = pin!(turns.ask(&b, Statement::new(), |_| std::future::ready(Ok(7))));
        assert!(of_b.as_mut().now_or_never().is_none());
        drop(of_a.pop_front());
        assert_eq!(
            of_b.now_or_never(),
            Some(Ok(7)),
            "before a's third, which came first"
        );
        assert!(of_a[1].as_mut().now_or_never().is_none());
        assert_eq!(running.get(), 3);
    }
}
