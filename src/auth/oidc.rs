//! OpenID Connect: tokens that another system gives out to our users.
//!
//! A token says who comes, and nothing more: the user of that name must stand in control state, which alone says what it
//! may do. Which algorithm verifies a token follows from the key that it names ([`keys`]), never from the token.

mod keys;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Validation;
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::AuthError;
use super::principal::{Began, Principal, Session, tenant_is_open};
use crate::clock::{Clock, Timestamp};
use crate::control::State;
use crate::crypto;

use keys::{KeySet, Source};

/// Whose tokens are taken.
#[derive(Clone, Debug, confique::Config)]
pub struct Config {
    /// Who gives tokens out, exactly as their `iss` says it: `https://login.example.org`. Unset: nobody but this
    /// deployment itself.
    pub issuer: Option<String>,
    /// What their `aud` must hold: what this deployment is called there. Needed with `issuer`.
    pub audience: Option<String>,
    /// Where the issuer's keys are. Unset: as its `/.well-known/openid-configuration` says.
    pub jwks_url: Option<String>,
    /// The claim that holds the name of our user.
    #[config(default = "email")]
    pub username_claim: String,
    /// Seconds by which the issuer's clock and ours may differ.
    #[config(default = 60)]
    pub leeway_seconds: u64,
}

impl Config {
    /// A sentence when it can't work.
    pub fn problem(&self) -> Option<String> {
        let Some(issuer) = &self.issuer else {
            let lonely = self.audience.is_some() || self.jwks_url.is_some();
            return lonely
                .then(|| "auth.oidc.issuer is not set, and other settings of auth.oidc are".to_owned());
        };
        if self.audience.as_ref().is_none_or(String::is_empty) {
            return Some(
                "auth.oidc.audience is not set: without it, a token for any other program of the issuer would count here"
                    .to_owned(),
            );
        }
        [Some(issuer), self.jwks_url.as_ref()]
            .into_iter()
            .flatten()
            .find(|url| !keys::may_be_asked(url))
            .map(|url| format!("auth.oidc: {url} must be https (http only on this machine)"))
    }
}

/// Verifies the tokens of one issuer.
pub(super) struct Oidc {
    issuer: String,
    audience: String,
    username_claim: String,
    leeway: Duration,
    source: Source,
    keys: RwLock<Arc<KeySet>>,
    /// One fetch at a time, and when the last began.
    fetching: tokio::sync::Mutex<Option<Duration>>,
    clock: Arc<dyn Clock>,
}

/// How soon after a fetch of the keys the next may begin, whatever names of keys tokens make up.
const FETCH_EVERY: Duration = Duration::from_secs(30);
/// When keys are fetched anew although none is missing, so that one that was withdrawn is gone.
const FETCH_AFTER: Duration = Duration::from_secs(600);

impl Oidc {
    /// `None` where no issuer is set.
    pub(super) fn new(config: &Config, clock: Arc<dyn Clock>) -> Option<Self> {
        let (issuer, audience) = (config.issuer.clone()?, config.audience.clone()?);
        Some(Self {
            source: Source::new(&issuer, config.jwks_url.as_deref()),
            issuer,
            audience,
            username_claim: config.username_claim.clone(),
            leeway: Duration::from_secs(config.leeway_seconds),
            keys: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
            clock,
        })
    }

    /// Whether a credential says to be of this issuer. That it is, is verified later.
    pub(super) fn is_meant(&self, credential: &str) -> bool {
        #[derive(Deserialize)]
        struct Claims {
            iss: Option<String>,
        }
        let mut parts = credential.split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let read = URL_SAFE_NO_PAD.decode(claims).ok();
        let claims = read.and_then(|bytes| serde_json::from_slice::<Claims>(&bytes).ok());
        claims
            .and_then(|claims| claims.iss)
            .is_some_and(|iss| iss == self.issuer)
    }

    /// Fetches the issuer's keys where the one that this token names is not among them, or they have grown old.
    pub(super) async fn prepare(&self, credential: &str) {
        let kid = kid_of(credential);
        let now = self.clock.uptime();
        if !self.is_due(kid.as_deref(), now) {
            return;
        }
        // Who has its key does not wait for news of the others.
        let mut fetching = match self.keys().find(kid.as_deref()) {
            None => self.fetching.lock().await,
            Some(_) => match self.fetching.try_lock() {
                Ok(fetching) => fetching,
                Err(_) => return,
            },
        };
        // Somebody else may have fetched them while this one waited.
        let now = self.clock.uptime();
        let lately = fetching.is_some_and(|began| now.saturating_sub(began) < FETCH_EVERY);
        if lately || !self.is_due(kid.as_deref(), now) {
            return;
        }
        *fetching = Some(now);
        match self.source.fetch(&self.issuer).await {
            Ok(found) => {
                let found = found.fetched_at(now);
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
            }
            Err(error) => tracing::warn!(
                issuer = self.issuer,
                error,
                "the keys of auth.oidc.issuer can't be fetched; those that are known go on counting"
            ),
        }
    }

    fn is_due(&self, kid: Option<&str>, now: Duration) -> bool {
        let keys = self.keys();
        keys.find(kid).is_none() || keys.age(now) >= FETCH_AFTER
    }

    fn keys(&self) -> Arc<KeySet> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The user whom a genuine token of this issuer names, if both count.
    pub(super) fn resolve(
        &self,
        credential: &str,
        state: &State,
        now: Timestamp,
    ) -> Result<Principal, AuthError> {
        let keys = self.keys();
        if keys.is_empty() {
            return Err(AuthError::NoKeys);
        }
        let key = keys
            .find(kid_of(credential).as_deref())
            .ok_or(AuthError::Invalid)?;
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        // Times are checked below, on our clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let token = jsonwebtoken::decode::<Map<String, Value>>(credential, &key.key, &validation);
        let claims = token.map_err(|_| AuthError::Invalid)?.claims;
        let session = self.session(credential, &claims, now)?;
        let user = self.name(&claims).and_then(|name| state.user_named(name));
        let user = user.ok_or(AuthError::Invalid)?;
        session.check(user, now)?;
        match tenant_is_open(state, &user.tenant) {
            true => Ok(Principal::of_user(user, session)),
            false => Err(AuthError::Invalid),
        }
    }

    /// What the token says of its times. There is no session of ours behind it: it is one by itself, which can be ended.
    fn session(
        &self,
        credential: &str,
        claims: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Session, AuthError> {
        let until = seconds(claims, "exp")
            .ok_or(AuthError::Invalid)?
            .plus(self.leeway);
        let issued = seconds(claims, "iat").unwrap_or_default();
        let from = seconds(claims, "nbf").unwrap_or(issued).max(issued);
        if from > now.plus(self.leeway) {
            return Err(AuthError::Invalid);
        }
        if now >= until {
            return Err(AuthError::Expired);
        }
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &crypto::sha256(credential.as_bytes()));
        Ok(Session {
            id,
            until,
            began: Began::At(issued),
        })
    }

    /// An address that the issuer has not verified could be anybody's.
    fn name<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a str> {
        let unverified = claims
            .get("email_verified")
            .is_some_and(|verified| !(verified == &Value::Bool(true) || verified.as_str() == Some("true")));
        if self.username_claim == "email" && unverified {
            return None;
        }
        claims.get(&self.username_claim)?.as_str()
    }
}

/// Which key a token names.
fn kid_of(credential: &str) -> Option<String> {
    jsonwebtoken::decode_header(credential).ok()?.kid
}

/// A date in a token: whole or broken seconds since 1970.
fn seconds(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    let seconds = claims
        .get(name)?
        .as_f64()
        .filter(|seconds| (0.0..=1e11).contains(seconds))?;
    Some(Timestamp::from_millis((seconds * 1_000.0) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_said_at_the_start() {
        let config = |issuer: Option<&str>, audience: Option<&str>, jwks: Option<&str>| Config {
            issuer: issuer.map(Into::into),
            audience: audience.map(Into::into),
            jwks_url: jwks.map(Into::into),
            username_claim: "email".into(),
            leeway_seconds: 60,
        };
        let problem = |config: Config| config.problem().unwrap_or_default();
        assert_eq!(config(None, None, None).problem(), None);
        let right = config(Some("https://id.example.org"), Some("trailhouse"), None);
        assert_eq!(right.problem(), None);
        let here = config(
            Some("http://127.0.0.1:9"),
            Some("x"),
            Some("http://localhost:9/jwks"),
        );
        assert_eq!(here.problem(), None);
        assert!(problem(config(None, Some("x"), None)).contains("issuer is not set"));
        assert!(problem(config(Some("https://a"), None, None)).contains("audience"));
        assert!(problem(config(Some("http://a.example"), Some("x"), None)).contains("https"));
        assert!(problem(config(Some("https://a"), Some("x"), Some("http://b.example"))).contains("https"));
    }
}
