//! The fold: control records in log order, one answer for each.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::command::{Command, Envelope};
use super::record::Skip;
use super::state::{Outcome, Refusal, State};
use crate::event::TenantId;

/// How many answers are remembered: a request that comes again after so many others is decided anew, and then its
/// expected version refuses it, since accepted commands move the version on. (What was deleted since would be made
/// again; and a session that was ended is ended again.)
pub const REMEMBERED: usize = 100_000;

/// The state, and the answers to the last requests. A function of the records alone: two instances that folded the
/// same records are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fold {
    state: Arc<State>,
    answers: HashMap<Uuid, Answer>,
    order: VecDeque<Uuid>,
}

/// How a request was decided, and what it had asked for ([`Command::fingerprint`]).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    asked: [u8; 32],
    outcome: Outcome,
    /// Whose the thing was, which may be gone by now.
    owner: Option<TenantId>,
}

impl Answer {
    fn to(&self, asked: [u8; 32]) -> Outcome {
        match self.asked == asked {
            true => self.outcome.clone(),
            false => Outcome::Refused(Refusal::OtherRequest),
        }
    }
}

impl Fold {
    /// The state so far.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// How a request was decided, if it is remembered. One that had `asked` for something else is refused.
    pub fn answer(&self, request_id: Uuid, asked: [u8; 32]) -> Option<Outcome> {
        self.answers.get(&request_id).map(|first| first.to(asked))
    }

    /// Whose the thing was that a request was about, if that is remembered: also when the request took it away.
    pub fn owner(&self, request_id: Uuid, asked: [u8; 32]) -> Option<TenantId> {
        let first = self.answers.get(&request_id);
        first.filter(|first| first.asked == asked)?.owner.clone()
    }

    /// Decides the next record. A request that is remembered gets its first answer, and changes nothing.
    pub fn apply(&mut self, envelope: &Envelope) -> Result<Outcome, Skip> {
        self.check_log(envelope)?;
        let asked = envelope.command.fingerprint(&envelope.id);
        if let Some(first) = self.answer(envelope.request_id, asked) {
            return Ok(first);
        }
        let owner = |state: &State| state.owner(envelope.command.kind(), &envelope.id);
        let before = owner(&self.state);
        let outcome = Arc::make_mut(&mut self.state).apply(envelope);
        let answer = Answer {
            asked,
            outcome: outcome.clone(),
            owner: before.or_else(|| owner(&self.state)),
        };
        self.remember(envelope.request_id, answer);
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

    fn remember(&mut self, request_id: Uuid, answer: Answer) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
        self.order.push_back(request_id);
        self.answers.insert(request_id, answer);
    }
}

#[cfg(test)]
mod tests;
