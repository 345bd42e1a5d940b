//! Control state: tenants, users, API keys, and what tenants keep (saved searches, schemas of event types, exports), as
//! every instance knows it.
//!
//! It is event-sourced. A change is a [`Command`] in an [`Envelope`] ([`command`]), appended to `audit.control` under
//! a MAC ([`record`]). Every instance folds that topic from its beginning ([`follow`], [`fold`]) with the same pure
//! rules ([`state`]), so all decide alike, and whether a command counted is known as soon as one's own fold has
//! passed it. Nothing else is stored anywhere.
//!
//! The first valid record names the log: [`Deployment::log_id`]. Several instances that start at once may each write
//! one; the first in the log counts and all use it.

pub mod command;
pub mod entity;
pub mod first;
pub mod fold;
pub mod follow;
pub mod journal;
pub mod record;
pub mod role;
pub mod state;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::crypto::{SealError, SecretSlice};
use crate::event::draft::Problem;
use crate::keyring::{Keyring, Sealed};

pub use command::check as rules;
pub use command::{By, Command, Envelope, Kind, LimitsPatch, Patch};
pub use entity::{
    ApiKey, Deployment, EventSchema, Export, ExportState, Limits, Owned, SavedSearch, Tenant, User,
    parse_schema_id, schema_id,
};
pub use follow::{Freshness, Skipped};
pub use journal::{Journal, JournalError};
pub use role::{Permission, Reads, Role, Roles};
pub use state::{Outcome, Refusal, State};
pub use verdict::Verdict;

use follow::{Behind, Follower};

/// How long a submitted command may take to come back through the fold.
const SUBMIT_WITHIN: Duration = Duration::from_secs(10);

/// The handle on control state. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    follower: Arc<Follower>,
    journal: Arc<dyn Journal>,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
}

/// A change that somebody wants.
#[derive(Clone, Debug)]
pub struct Change {
    /// Names the wish: submitted again with the same id, it gets the first answer, and another wish of this id is
    /// refused. Where a client names it, derive
    /// this from the client's name *and* the client.
    pub request_id: Uuid,
    /// The version of the entity that the sender has seen; 0: it must not exist.
    pub expected_version: u64,
    /// Who wants it.
    pub by: By,
    /// The entity's id.
    pub id: String,
    /// What is wanted.
    pub command: Command,
}

/// Why it is not known, or can't be, how a command was decided.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The log can't be reached, or the answer did not come in time. The command may count all the same: submit it
    /// again with the same request id to learn the answer. 503.
    #[error("control state can't be changed now: {0}")]
    Unavailable(String),
    /// The command makes no sense, whatever the state. 422.
    #[error("the command is not valid")]
    Invalid(Vec<Problem>),
    /// The beginning of the topic is gone.
    #[error(
        "the control topic begins at offset {low}: its beginning was deleted. Set its retention.ms to -1, and restore it"
    )]
    Truncated {
        /// The lowest offset there is.
        low: i64,
    },
    /// The topic holds records, and none of them is ours.
    #[error(
        "none of the {records} records in the control topic was written under a master key of this instance ({keys}): \
         restore the key file that belongs to this log"
    )]
    WrongKeys {
        /// How many there are.
        records: i64,
        /// The names of the keys this instance has.
        keys: String,
    },
}

impl From<Behind> for ControlError {
    fn from(error: Behind) -> Self {
        match error {
            Behind::Journal(error) => error.into(),
            Behind::Truncated(low) => Self::Truncated { low },
        }
    }
}

impl From<JournalError> for ControlError {
    fn from(error: JournalError) -> Self {
        Self::Unavailable(error.0)
    }
}

impl Control {
    /// Folds what the topic holds, begins the log if it is empty (`partitions` of `audit.events` are recorded then),
    /// and follows it until `stop`.
    pub async fn start(
        journal: Arc<dyn Journal>,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
        partitions: u32,
        stop: CancellationToken,
    ) -> Result<Self, ControlError> {
        let follower = Arc::new(Follower::new(journal.clone(), keyring.clone(), clock.clone()));
        let following = stop.child_token();
        // Ends the tasks when the start fails or is given up.
        let guard = following.clone().drop_guard();
        let (reader, reading) = (follower.clone(), following.clone());
        tokio::spawn(async move { reader.follow(reading).await });
        let control = Self {
            follower: follower.clone(),
            journal,
            keyring,
            clock,
        };
        control.begin(partitions).await?;
        tokio::spawn(async move { follower.keep_fresh(following).await });
        guard.disarm();
        Ok(control)
    }

    async fn begin(&self, partitions: u32) -> Result<(), ControlError> {
        let records = self.follower.catch_up().await?;
        if self.state().deployment().is_some() {
            return Ok(());
        }
        if records > 0 {
            return Err(self.wrong_keys(records));
        }
        let log_id = self.clock.fresh_id();
        let command = Command::Bootstrap { log_id, partitions };
        let change = Change {
            request_id: log_id,
            expected_version: 0,
            by: By::system(),
            id: "this".into(),
            command,
        };
        // Refused when another instance was faster: then that one's record counts.
        self.submit(change).await.map(|_| ())
    }

    fn wrong_keys(&self, records: i64) -> ControlError {
        ControlError::WrongKeys {
            records,
            keys: self.keyring.ids().collect::<Vec<_>>().join(", "),
        }
    }

    /// The state as folded so far.
    pub fn state(&self) -> Arc<State> {
        self.follower.view().state
    }

    /// Notified whenever the state may have changed.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<follow::View> {
        self.follower.watch()
    }

    /// Names the log that this is the control state of.
    pub fn log_id(&self) -> Uuid {
        self.state()
            .deployment()
            .map_or(Uuid::nil(), |deployment| deployment.log_id)
    }

    /// How current the state is.
    pub fn freshness(&self) -> Freshness {
        self.follower.freshness()
    }

    /// Folds what stands in the log by now, and is fresh then.
    #[cfg(test)]
    pub(crate) async fn catch_up(&self) -> Result<(), ControlError> {
        Ok(self.follower.catch_up().await.map(|_| ())?)
    }

    /// What was skipped so far: forged, foreign or unreadable records.
    pub fn skipped(&self) -> Skipped {
        self.follower.skipped().clone()
    }

    /// Appends a command and waits until the own fold has decided it.
    pub async fn submit(&self, change: Change) -> Result<Outcome, ControlError> {
        let problems = change.command.problems(&change.id);
        if !problems.is_empty() {
            return Err(ControlError::Invalid(problems));
        }
        let (request_id, asked) = (change.request_id, change.command.fingerprint(&change.id));
        if let Some(first) = self.follower.fold().answer(request_id, asked) {
            return Ok(first);
        }
        let envelope = self.envelope(change);
        // What has no room is not written: the log would keep, and every start fold, however often somebody tries.
        if let Some(refusal) = self.state().has_no_room(&envelope) {
            return Ok(Outcome::Refused(refusal));
        }
        let record = record::write(&envelope, &self.keyring).map_err(ControlError::Unavailable)?;
        tokio::time::timeout(SUBMIT_WITHIN, self.append(record, request_id, asked))
            .await
            .map_err(|_| ControlError::Unavailable("the answer did not come in time".into()))?
    }

    async fn append(
        &self,
        record: record::Record,
        request_id: Uuid,
        asked: [u8; 32],
    ) -> Result<Outcome, ControlError> {
        let mut view = self.follower.watch();
        let offset = self.journal.append(&record).await?;
        let passed = view.wait_for(|view| view.position > offset).await.map(|_| ());
        passed.map_err(|_| ControlError::Unavailable("stopping".into()))?;
        let answer = self.follower.fold().answer(request_id, asked);
        answer.ok_or_else(|| ControlError::Unavailable("the command was skipped by the fold".into()))
    }

    fn envelope(&self, change: Change) -> Envelope {
        let begins = matches!(change.command, Command::Bootstrap { .. });
        Envelope {
            request_id: change.request_id,
            log_id: if begins { Uuid::nil() } else { self.log_id() },
            expected_version: change.expected_version,
            by: change.by,
            at: self.clock.now(),
            id: change.id,
            command: change.command,
        }
    }

    /// Seals a secret into a command: it opens only as the secret of that entity as of `version`, the version that
    /// the command makes.
    pub fn seal(&self, kind: Kind, id: &str, version: u64, secret: &[u8]) -> Result<Sealed, SealError> {
        self.keyring.seal(SEAL_PURPOSE, &place(kind, id, version), secret)
    }

    /// Opens what [`Control::seal`] gave.
    pub fn unseal(
        &self,
        kind: Kind,
        id: &str,
        version: u64,
        sealed: &Sealed,
    ) -> Result<SecretSlice<u8>, SealError> {
        self.keyring
            .unseal(SEAL_PURPOSE, &place(kind, id, version), sealed)
    }
}

const SEAL_PURPOSE: &str = "control secrets";

fn place(kind: Kind, id: &str, version: u64) -> Vec<u8> {
    format!("{kind}/{id}/{version}").into_bytes()
}

#[cfg(test)]
mod tests;
