//! From a wish to a revision that counts: look at the event, append a revision, wait until the table holds it, and look
//! again.
//!
//! Revisions are made of what the table holds, which is a little behind the log, so two may be made of the same state.
//! One of them counts, by its rank (`event::revision`). The author of the other sees that as soon as the table holds it,
//! and applies its wish to what counts now. An amendment is not applied again where it would bring back what was redacted
//! meanwhile: its author has not seen that. A redaction outranks every amendment that it did not know of, even one that
//! was searchable already: that one is found in the log ([`overlooked`]), and the redaction is made anew of it.

use axum::http::StatusCode;
use tokio::time::Instant;
use uuid::Uuid;

use super::overlooked::{self, Overlooked};
use super::wish::{Wish, absent, refused, tag};
use crate::event::revision::Revised;
use crate::log::Position;
use crate::query::standing::Stands;
use crate::store::row::{REDACTED_VERSION, version_of};
use crate::web::ApiError;

/// How often a wish is applied anew when others were faster.
const ATTEMPTS: usize = 16;
const REDACTED: &str = "What is to be amended was redacted meanwhile, and is not brought back. Read the event, and decide \
    anew whether to amend it.";

/// A revision that is in the log.
pub(super) struct Appended {
    revised: Revised,
    at: Position,
    /// The redactions that were known when the wish was applied first.
    known: Vec<Uuid>,
}

/// What the table says of a wish.
enum Sight {
    /// The event isn't there, or no more.
    Gone,
    /// The event does not have it: it comes first now, or lost to another one. With what is known of the table's place
    /// when it said so (see [`Entry::made_at`](revision::Entry::made_at)).
    Open(Stands, Option<i64>),
    /// It counts, but passed over this amendment.
    PassedOver { stands: Stands, amendment: Overlooked },
    /// It is part of the event's history.
    Granted(Stands),
}

impl Wish {
    /// Revises the event as it stands, again where others were faster, until this wish is part of its history. `None`
    /// where the table does not hold what was appended before the deadline.
    pub(super) async fn settle(
        &self,
        appended: &mut Option<Appended>,
        deadline: Instant,
    ) -> Result<Option<Stands>, ApiError> {
        for _ in 0..=ATTEMPTS {
            if let Some(own) = appended
                && !self.arrives(own, deadline).await
            {
                return Ok(None);
            }
            let (base, revised) = match self.look().await? {
                // What the caller may see does not hold it any more.
                Sight::Gone => return appended.take().map(|own| Some(own.stands())).ok_or_else(absent),
                Sight::Granted(stands) => return Ok(Some(stands)),
                Sight::PassedOver { stands, amendment } => match self.with(&amendment) {
                    Some(revised) => (*amendment.stands, revised),
                    None => return Ok(Some(stands)),
                },
                Sight::Open(stands, made_at) => {
                    self.expected.check(Some(&tag(&stands)))?;
                    match self.change.made(stands.standing(), made_at, self.deed.clone()) {
                        Ok(Some(revised)) => (stands, revised),
                        Ok(None) => return Ok(Some(stands)),
                        Err(why) => return Err(refused(why, self.change.invalid())),
                    }
                }
            };
            let known = match appended {
                Some(lost) => lost.known.clone(),
                None => redactions(&base),
            };
            if self.change.is_amendment() && revised.history.touches_redacted(&known) {
                return Err(ApiError::new(StatusCode::CONFLICT, "conflict", REDACTED));
            }
            let at = self.state.ingest.revise(&self.principal, &revised).await?;
            *appended = Some(Appended { revised, at, known });
        }
        Err(ApiError::new(
            StatusCode::CONFLICT,
            "conflict",
            "The event keeps being revised by others. Read it, and try again.",
        ))
    }

    /// Reads the event. A redaction asks first how far the table is: what stands in the log from there on may be unknown
    /// to it. Where something was redacted before, nothing is passed over.
    async fn look(&self) -> Result<Sight, ApiError> {
        let made_at = match self.change.is_amendment() {
            true => None,
            false => Some(overlooked::projected(&self.state, self.event_id).await?),
        };
        let queries = &self.state.queries;
        let id = self.event_id.to_string();
        let found = queries
            .standing(&self.principal, Some(self.tenant.as_str()), &id)
            .await?;
        let Some(stands) = found.filter(|stands| stands.event.event_id == self.event_id) else {
            return Ok(Sight::Gone);
        };
        let history = stands.history.as_ref();
        let Some(granted) = history.and_then(|history| history.granting(self.deed.wish)) else {
            let made_at = made_at.filter(|_| stands.version < REDACTED_VERSION);
            return Ok(Sight::Open(stands, made_at));
        };
        if granted.asked() != Some(self.deed.asked) {
            return Err(ApiError::conflict(
                "Idempotency-Key",
                "another request came with this key before: give each one a key of its own",
            ));
        }
        let passed_over = match granted.number == stands.event.revision {
            true => overlooked::amendment(&self.state, &stands.event, granted).await?,
            false => None,
        };
        Ok(match passed_over {
            Some(amendment) => Sight::PassedOver { stands, amendment },
            None => Sight::Granted(stands),
        })
    }

    /// This redaction, made anew of an amendment that it passed over. `None` where there is no room for both: it counts,
    /// and the amendment does not.
    fn with(&self, overlooked: &Overlooked) -> Option<Revised> {
        let standing = overlooked.stands.standing();
        let made = self
            .change
            .made(standing, Some(overlooked.redacted_at), self.deed.clone());
        made.inspect_err(|why| {
            let (id, tenant) = (self.event_id, &self.tenant);
            tracing::warn!(%why, %id, %tenant, "an amendment that a redaction did not know of can't be kept beside it");
        })
        .ok()?
    }

    /// Whether the table holds it before the waiting is over.
    async fn arrives(&self, own: &Appended, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(arrived) = self.state.ingest.progress().wait(own.at, left).await {
            return arrived;
        }
        let queries = &self.state.queries;
        queries
            .wait_for_version(&own.revised.event, own.version(), deadline)
            .await
    }
}

impl Appended {
    fn version(&self) -> u64 {
        version_of(self.revised.history.rank(), self.at.offset.max(0).cast_unsigned())
    }

    fn stands(self) -> Stands {
        Stands {
            version: self.version(),
            event: self.revised.event,
            history: Some(self.revised.history),
        }
    }
}

fn redactions(stands: &Stands) -> Vec<Uuid> {
    let redactions = stands.history.iter().flat_map(|history| history.redactions());
    redactions.map(|redaction| redaction.id).collect()
}
