//! Tenants, users and keys: whether this instance can read them all.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Finding;
use crate::clock::SystemClock;
use crate::control::{Control, Deployment};
use crate::keyring::Keyring;
use crate::log::{Log, topics};

/// What control state says of the log, where there is one, and what was found.
pub(super) async fn look(log: &Log, keyring: Keyring) -> (Option<Deployment>, Finding) {
    let check = "control state";
    let again = "look again when the log answers";
    match log.bounds(topics::CONTROL, 0).await {
        Err(error) => return (None, Finding::warning(check, error.to_string(), again)),
        // Opening an empty one would begin it.
        Ok((low, end)) if low == end => {
            return (
                None,
                Finding::warning(
                    check,
                    "empty",
                    "the first `trailhouse serve` makes tenant and user",
                ),
            );
        }
        Ok(_) => {}
    }
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let control = match Control::start(Arc::new(log.clone()), keyring, Arc::new(SystemClock), 0, stop).await {
        Ok(control) => control,
        Err(error) => {
            let remedy = "bring back the key file that this log was written with";
            return (None, Finding::problem(check, error.to_string(), remedy));
        }
    };
    let (state, skipped) = (control.state(), control.skipped());
    let (tenants, users) = (state.tenants().count(), state.users().count());
    let detail = format!(
        "log {}: {tenants} tenants, {users} users, {} keys",
        control.log_id(),
        state.keys().count()
    );
    let finding = match (skipped.count, skipped.unknown_keys.is_empty()) {
        (0, _) => Finding::ok(check, detail),
        (count, false) => {
            let keys: Vec<_> = skipped.unknown_keys.into_iter().collect();
            Finding::problem(
                check,
                format!(
                    "{detail}; {count} records name unknown master keys ({})",
                    keys.join(", ")
                ),
                "another instance has keys that this one lacks: copy its key file; if there is none, somebody forges commands",
            )
        }
        (count, true) => Finding::warning(
            check,
            format!("{detail}; {count} records carry no valid signature and count for nothing"),
            "who may write to audit.control? docs/kafka.md has the permissions",
        ),
    };
    (state.deployment().copied(), finding)
}
