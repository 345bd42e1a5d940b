//! Tokens: JWTs signed with HS256 under keys derived from the master keys, one for each use.
//!
//! The header's `kid` names a master key, and nothing else of it is believed: which algorithm and which key verify a
//! token is pinned here. A token says who, when, and which epoch of the user; never a role or a tenant.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::principal::{Began, Session};
use crate::clock::Timestamp;
use crate::control::User;
use crate::crypto::{self, SecretString};
use crate::keyring::Keyring;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The log whose users these are.
    pub iss: String,
    /// The user's id.
    pub sub: String,
    /// Names this token.
    pub jti: Uuid,
    /// The session: shared by the tokens of one login, and what they are refreshed to.
    pub sid: Uuid,
    /// The user's epoch when it was given out; another one now, and it counts no more.
    pub epoch: u64,
    /// When it was given out, in seconds since 1970.
    pub iat: i64,
    /// When it stops counting, in seconds since 1970.
    pub exp: i64,
}

impl Claims {
    pub(super) fn session(&self) -> Session {
        Session {
            id: self.sid,
            until: Timestamp::from_millis(self.exp.saturating_mul(1_000)),
            began: Began::InEpoch(self.epoch),
        }
    }
}

/// What a token is for. Each use has keys of its own, so that one never passes for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// Sent with requests.
    Access,
    /// Changed for a new pair.
    Refresh,
}

impl Use {
    const fn purpose(self) -> &'static str {
        match self {
            Self::Access => "token access",
            Self::Refresh => "token refresh",
        }
    }
}

/// Why a token does not count, or there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    Invalid,
    Expired,
    Signing,
}

/// Signs and verifies tokens of one deployment.
pub(super) struct Signer {
    active: String,
    issuer: String,
    keys: HashMap<(Use, String), (EncodingKey, DecodingKey)>,
    validation: Validation,
    /// What genuine tokens say, by use and SHA-256. Only what never changes is remembered: whether they count is
    /// asked each time.
    genuine: RwLock<Genuine>,
}

type Genuine = HashMap<(Use, [u8; 32]), Arc<Claims>>;

/// Remembered tokens; when there are so many, all are forgotten and verified anew. A check of a remembered token
/// takes a tenth of the time of a verification.
const GENUINE_MAX: usize = 10_000;

impl Signer {
    /// With the keys of `keyring`, for the users of one log: a token of another deployment that happens to have the
    /// same master key is not ours.
    pub(super) fn new(keyring: &Keyring, log_id: Uuid) -> Self {
        let mut keys = HashMap::new();
        for (usage, id) in [Use::Access, Use::Refresh]
            .into_iter()
            .flat_map(|u| keyring.ids().map(move |id| (u, id)))
        {
            if let Some(key) = keyring.derive(usage.purpose(), id) {
                let pair = (
                    EncodingKey::from_secret(key.expose()),
                    DecodingKey::from_secret(key.expose()),
                );
                keys.insert((usage, id.to_owned()), pair);
            }
        }
        let issuer = format!("trailhouse:{log_id}");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&issuer]);
        validation.set_required_spec_claims(&["iss", "sub", "exp"]);
        // Expiry is checked below, on our clock.
        validation.validate_exp = false;
        Self {
            active: keyring.active().to_owned(),
            issuer,
            keys,
            validation,
            genuine: RwLock::default(),
        }
    }

    /// A token for `user`, in one of its sessions, that counts for `lifetime` from `now`.
    pub(super) fn sign(
        &self,
        user: &User,
        (usage, sid): (Use, Uuid),
        jti: Uuid,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<SecretString, TokenError> {
        let (key, _) = self
            .keys
            .get(&(usage, self.active.clone()))
            .ok_or(TokenError::Signing)?;
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: user.id.to_string(),
            jti,
            sid,
            epoch: user.epoch,
            iat: seconds(now),
            exp: seconds(now.plus(lifetime)),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.active.clone());
        jsonwebtoken::encode(&header, &claims, key)
            .map(Into::into)
            .map_err(|_| TokenError::Signing)
    }

    /// What a genuine token of that use says, if it counts at `now`.
    pub(super) fn verify(&self, token: &str, usage: Use, now: Timestamp) -> Result<Arc<Claims>, TokenError> {
        let name = (usage, crypto::sha256(token.as_bytes()));
        let known = self
            .genuine
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&name)
            .cloned();
        let claims = match known {
            Some(claims) => claims,
            None => self.remember(name, self.read(token, usage)?),
        };
        if seconds(now) < claims.exp {
            Ok(claims)
        } else {
            Err(TokenError::Expired)
        }
    }

    fn read(&self, token: &str, usage: Use) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let kid = header.kid.ok_or(TokenError::Invalid)?;
        let (_, key) = self.keys.get(&(usage, kid)).ok_or(TokenError::Invalid)?;
        let data = jsonwebtoken::decode(token, key, &self.validation).map_err(|_| TokenError::Invalid)?;
        Ok(data.claims)
    }

    fn remember(&self, name: (Use, [u8; 32]), claims: Claims) -> Arc<Claims> {
        let claims = Arc::new(claims);
        let mut genuine = self.genuine.write().unwrap_or_else(PoisonError::into_inner);
        if genuine.len() >= GENUINE_MAX {
            genuine.clear();
        }
        genuine.insert(name, claims.clone());
        claims
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1_000)
}
