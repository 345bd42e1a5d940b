//! What goes through the door, and what comes back for it.

use uuid::Uuid;

use crate::event::draft::{Accepted, Intake, Problem, Refusal};
use crate::log::{LogError, Position};
use crate::schemas::Busy;

/// Where a batch comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// `http`, `kafka`, `aws_cloudtrail`, …
    pub kind: &'static str,
    /// The configured source, where there is one.
    pub id: Option<&'a str>,
}

/// One item of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// What it is.
    pub form: Form<'a>,
    /// The `Idempotency-Key`: serves as the client's id when the item has none.
    pub client_id: Option<&'a str>,
    /// Where it stands, when reading it again must give the same id: `topic/partition/offset`.
    pub place: Option<&'a str>,
}

/// A connector's pure function from a record to an event.
pub type Mapping = fn(&[u8], &Intake<'_>) -> Result<Accepted, Refusal>;

/// What an item is.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// A JSON object in any of the accepted shapes.
    Event(&'a [u8]),
    /// A CloudEvent whose attributes are in headers.
    CloudEvent {
        /// All headers.
        headers: &'a [(&'a str, &'a [u8])],
        /// Of the data.
        content_type: Option<&'a str>,
        /// The data.
        body: &'a [u8],
    },
    /// A record of an outside system, and the connector's mapping of it.
    Mapped {
        /// As the outside system gave it out.
        record: &'a [u8],
        /// Makes an event of it.
        map: Mapping,
    },
}

impl<'a> Form<'a> {
    /// The bytes as they came.
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Event(body) | Self::CloudEvent { body, .. } | Self::Mapped { record: body, .. } => body,
        }
    }
}

/// For an event that was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Its id.
    pub event_id: Uuid,
    /// What was kept, but perhaps not as meant.
    pub warnings: Vec<Problem>,
    /// It was held already: nothing was appended.
    pub duplicate: bool,
    /// Where it stands in the log; `None` for a duplicate.
    pub position: Option<Position>,
}

impl Receipt {
    pub(super) fn pending(accepted: Accepted) -> Self {
        Self {
            event_id: accepted.event.event_id,
            warnings: accepted.warnings,
            duplicate: false,
            position: None,
        }
    }

    pub(super) fn held(accepted: Accepted) -> Self {
        Self {
            duplicate: true,
            ..Self::pending(accepted)
        }
    }
}

/// Why an item was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ItemError {
    /// It is no event of this tenant.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its id belongs to an event with other content.
    #[error("event {event_id} is held with other content")]
    Conflict {
        /// The id in question.
        event_id: Uuid,
    },
    /// The log did not confirm it: whether it is there is unknown, send it again under the same id.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It could not be held to the schema of its type now. Nothing was taken.
    #[error(transparent)]
    Busy(#[from] Busy),
}
