//! What became of a command, for readers of the topic beside the fold.

use super::command::{Command, Envelope};
use super::state::Outcome;
use super::{Control, record};
use crate::log;

impl Control {
    /// The command in a record of the control topic and how the own fold has decided it, once it has come that far:
    /// `None` for what counts for nothing. The outcome is `None` where the fold no longer remembers it.
    pub async fn verdict(&self, record: &log::Record) -> Option<(Envelope, Option<Outcome>)> {
        let mut view = self.watch();
        let _ = view.wait_for(|view| view.position > record.offset).await;
        let envelope = record::read(&record.into(), &self.keyring).ok()?;
        let begins = matches!(envelope.command, Command::Bootstrap { .. });
        if !begins && envelope.log_id != self.log_id() {
            return None;
        }
        let asked = envelope.command.fingerprint(&envelope.id);
        let outcome = self.follower.fold().answer(envelope.request_id, asked);
        Some((envelope, outcome))
    }
}
