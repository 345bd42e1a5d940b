//! What became of a command, for readers of the topic beside the fold.

use super::command::{Command, Envelope};
use super::state::Outcome;
use super::{Control, record};
use crate::event::TenantId;
use crate::log;

/// A command and what became of it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The command.
    pub envelope: Envelope,
    /// How it was decided; `None` where the fold no longer remembers it.
    pub outcome: Option<Outcome>,
    /// Whose the thing was that it is about, as far as the fold remembers that.
    pub owner: Option<TenantId>,
}

impl Control {
    /// The command in a record of the control topic and how the own fold has decided it, once it has come that far:
    /// `None` for what counts for nothing.
    pub async fn verdict(&self, record: &log::Record) -> Option<Verdict> {
        let mut view = self.watch();
        let _ = view.wait_for(|view| view.position > record.offset).await;
        let envelope = record::read(&record.into(), &self.keyring).ok()?;
        let begins = matches!(envelope.command, Command::Bootstrap { .. });
        if !begins && envelope.log_id != self.log_id() {
            return None;
        }
        let asked = envelope.command.fingerprint(&envelope.id);
        let fold = self.follower.fold();
        let (outcome, owner) = (
            fold.answer(envelope.request_id, asked),
            fold.owner(envelope.request_id, asked),
        );
        drop(fold);
        Some(Verdict {
            envelope,
            outcome,
            owner,
        })
    }
}
