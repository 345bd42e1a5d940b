//! What a worker sees of the stop, and how anyone asks for it.

use std::future::Future;

use tokio_util::sync::CancellationToken;

/// A worker's view: first asked to finish, later told to let go.
#[derive(Clone, Debug)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Stop {
    pub(super) fn new(soft: CancellationToken, hard: CancellationToken) -> Self {
        Self { soft, hard }
    }

    /// Resolves when the worker should take nothing new and finish what it holds.
    pub fn soft(&self) -> impl Future<Output = ()> + Send + 'static {
        self.soft.clone().cancelled_owned()
    }

    /// Resolves when the worker should drop what it holds and return.
    pub fn hard(&self) -> impl Future<Output = ()> + Send + 'static {
        self.hard.clone().cancelled_owned()
    }

    /// Whether the soft stop has come.
    pub fn is_soft(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Whether the hard stop has come.
    pub fn is_hard(&self) -> bool {
        self.hard.is_cancelled()
    }

    /// The soft stop as a token, for workers that know tokens and nothing of the lifecycle.
    pub fn soft_token(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// The hard stop as a token.
    pub fn hard_token(&self) -> CancellationToken {
        self.hard.clone()
    }
}

/// Asks the process to stop. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct StopHandle {
    pub(super) soft: CancellationToken,
    pub(super) hard: CancellationToken,
}

impl StopHandle {
    /// The first request is soft, any further one hard.
    pub fn request(&self) {
        if self.soft.is_cancelled() {
            self.hard.cancel();
        }
        self.soft.cancel();
    }
}
