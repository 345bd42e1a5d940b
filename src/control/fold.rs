//! The fold: control records in log order, one answer for each.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::command::{Command, Envelope};
use super::record::Skip;
use super::state::{Outcome, State};

/// How many answers are remembered: a request that comes again after so many others is decided anew, and then its
/// expected version refuses it, since every accepted command moves the version on.
pub const REMEMBERED: usize = 100_000;

/// The state, and the answers to the last requests. A function of the records alone: two instances that folded the
/// same records are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    state: Arc<State>,
    answers: HashMap<Uuid, Outcome>,
    order: VecDeque<Uuid>,
}

impl Fold {
    /// The state so far.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// How a request was decided, if it is remembered.
    pub fn answer(&self, request_id: Uuid) -> Option<&Outcome> {
        self.answers.get(&request_id)
    }

    /// Decides the next record. A request that is remembered gets its first answer and changes nothing.
    pub fn apply(&mut self, envelope: &Envelope) -> Result<Outcome, Skip> {
        self.check_log(envelope)?;
        if let Some(first) = self.answers.get(&envelope.request_id) {
            return Ok(first.clone());
        }
        let outcome = Arc::make_mut(&mut self.state).apply(envelope);
        self.remember(envelope.request_id, outcome.clone());
        Ok(outcome)
    }

    /// A record of another log under the same master key, copied here, must not count.
    fn check_log(&self, envelope: &Envelope) -> Result<(), Skip> {
        let ours = match (self.state.deployment(), &envelope.command) {
            (_, Command::Bootstrap { .. }) => true,
            (Some(deployment), _) => deployment.log_id == envelope.log_id,
            (None, _) => false,
        };
        if ours { Ok(()) } else { Err(Skip::Foreign) }
    }

    fn remember(&mut self, request_id: Uuid, outcome: Outcome) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.order.push_back(request_id);
        self.answers.insert(request_id, outcome);
    }
}

#[cfg(test)]
mod tests;
