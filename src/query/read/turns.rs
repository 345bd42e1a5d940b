//! Quick searches don't wait for slow ones.
//!
//! Nearly every search is answered by the indexes within milliseconds; one that has to read every row, a comparison
//! that nothing satisfies for example, keeps the cores and a place in the engine for seconds. Which kind it is shows
//! only when it is asked: so each is tried for a short time first, and one that needs longer waits for its turn, of
//! which there are few. (A bound on rows would be surer, but `max_rows_to_read` counts what could be read, and so
//! refuses a first page, which stops after a few blocks.)

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::query::QueryError;
use crate::store::{Statement, StoreError};

/// The first try, in seconds: ten times what a search may take that the indexes answer.
const TRY_SECONDS: u32 = 1;
/// Slow searches that run at once: each keeps two cores busy, and inserts and quick searches need some too.
const SLOW_AT_ONCE: usize = 2;
/// For a turn to come.
const WAIT: Duration = Duration::from_secs(5);

/// The turns of one process. Cheap to clone.
#[derive(Clone)]
pub(super) struct Turns {
    slow: Arc<Semaphore>,
    wait: Duration,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self::with(SLOW_AT_ONCE, WAIT)
    }

    fn with(slow: usize, wait: Duration) -> Self {
        let slow = Arc::new(Semaphore::new(slow));
        Self { slow, wait }
    }

    /// Asks at once, and where that takes too long, again with all the time that a question may take.
    pub(super) async fn ask<T, F>(
        &self,
        sql: Statement,
        ask: impl Fn(Statement) -> F,
    ) -> Result<T, QueryError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut quick = sql.clone();
        quick.set("max_execution_time", TRY_SECONDS);
        match ask(quick).await {
            Err(StoreError::TooSlow(_)) => {}
            answer => return Ok(answer?),
        }
        let turn = tokio::time::timeout(self.wait, self.slow.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(QueryError::Busy);
        };
        Ok(ask(sql).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

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
            let answer = Turns::new().ask(Statement::new(), ask).await;
            assert_eq!(answer, expected);
            assert!(matches!(asked.borrow()[..], [true] | [true, false]));
            assert_eq!(left.borrow().len(), 0);
        }
    }

    #[tokio::test]
    async fn slow_searches_wait_for_a_turn_and_quick_ones_do_not() {
        let turns = Turns::with(1, Duration::ZERO);
        let stuck = |sql: Statement| async move {
            match is_quick(&sql) {
                true => Err(StoreError::TooSlow(String::new())),
                false => std::future::pending::<Result<u8, StoreError>>().await,
            }
        };
        let others = async {
            assert_eq!(turns.ask(Statement::new(), stuck).await, Err(QueryError::Busy));
            let quick = turns.ask(Statement::new(), |_| std::future::ready(Ok(3)));
            assert_eq!(quick.await, Ok(3));
        };
        tokio::select! {
            biased;
            _ = turns.ask(Statement::new(), stuck) => panic!("nothing answers it"),
            () = others => {}
        }
    }
}
