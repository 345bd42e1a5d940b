//! API keys: `thk_<id>_<secret>`, of 16 hexadecimal digits and 43 letters and digits. Control state holds the SHA-256 of the whole text:
//! the secret has 256 random bits, so there is nothing to guess and a slow hash would buy nothing. A check is one
//! SHA-256 and two look-ups, well under a microsecond, so nothing needs to be cached and a revoked key is gone at
//! once.

use uuid::Uuid;

use super::AuthError;
use super::principal::{Principal, tenant_is_open};
use crate::clock::Timestamp;
use crate::control::{ApiKey, State};
use crate::crypto::{self, ExposeSecret, SecretString};

const PREFIX: &str = "thk_";

/// A fresh key: its id, its text to be shown once, and what is stored of it.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) id: String,
    pub(super) text: SecretString,
    pub(super) sha256: [u8; 32],
}

/// Makes a key. The id follows from the request, so that a repeated request is about the same key.
pub(super) fn fresh(request_id: Uuid) -> Fresh {
    let digest = crypto::sha256(request_id.as_bytes());
    let id: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("{PREFIX}{id}_{}", crypto::token::secret().expose_secret());
    Fresh {
        id,
        sha256: crypto::sha256(text.as_bytes()),
        text: text.into(),
    }
}

/// Whether a credential is to be read as an API key.
pub(super) fn looks_like(credential: &str) -> bool {
    credential.starts_with(PREFIX)
}

/// Whose key it is, if it counts at `now`.
pub(super) fn resolve(credential: &str, state: &State, now: Timestamp) -> Result<Principal, AuthError> {
    let id = credential
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('_'))
        .map(|(id, _)| id);
    let key = id.and_then(|id| state.key(id)).ok_or(AuthError::Invalid)?;
    let genuine = crypto::same(&crypto::sha256(credential.as_bytes()), &key.sha256);
    if !genuine || !tenant_is_open(state, &key.tenant) {
        return Err(AuthError::Invalid);
    }
    check(key, now)?;
    Ok(Principal::of_key(key))
}

/// That a key counts at `now`, as far as it alone tells.
pub(super) fn check(key: &ApiKey, now: Timestamp) -> Result<(), AuthError> {
    match (key.revoked_at, key.expires_at) {
        (Some(_), _) => Err(AuthError::Invalid),
        (None, Some(end)) if end <= now => Err(AuthError::Expired),
        (None, _) => Ok(()),
    }
}
