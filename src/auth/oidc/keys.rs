//! The issuer's keys (RFC 7517): where they are, and what of them we use.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A set of keys is a few KiB.
const ANSWER_MAX: usize = 256 * 1024;
/// How long the issuer may take to answer.
const WITHIN: Duration = Duration::from_secs(5);
/// The shortest RSA modulus that counts.
const RSA_BITS_MIN: usize = 2_048;

/// Keys by name.
#[derive(Default)]
pub(super) struct KeySet {
    keys: Vec<(Option<String>, Key)>,
    fetched_at: Duration,
}

/// A key, and the one algorithm it verifies.
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

impl KeySet {
    /// What of a JWKS can be used: RSA keys of a fair length for RS256, keys on P-256 for ES256.
    fn of(set: &JwkSet) -> Self {
        let usable = |jwk: &Jwk| Some((jwk.common.key_id.clone(), key(jwk)?));
        Self {
            keys: set.keys.iter().filter_map(usable).collect(),
            fetched_at: Duration::ZERO,
        }
    }

    pub(super) fn fetched_at(self, fetched_at: Duration) -> Self {
        Self { fetched_at, ..self }
    }

    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.fetched_at)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key of that name. A token that names none can mean one key only where there is one.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match (kid, self.keys.as_slice()) {
            (None, [(_, only)]) => Some(only),
            (None, _) => None,
            (Some(kid), keys) => keys
                .iter()
                .find(|(name, _)| name.as_deref() == Some(kid))
                .map(|(_, key)| key),
        }
    }
}

fn key(jwk: &Jwk) -> Option<Key> {
    let signs = !matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature);
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if rsa_bits(&rsa.n)? >= RSA_BITS_MIN => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        _ => return None,
    };
    // Where the set says for which algorithm the key is, it must be ours.
    let other = jwk
        .common
        .key_algorithm
        .filter(|named| named.to_string() != format!("{algorithm:?}"));
    if !signs || other.is_some() {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { algorithm, key })
}

fn rsa_bits(modulus: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(modulus).ok()?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    Some(bytes.len() * 8 - bytes.first()?.leading_zeros() as usize)
}

/// Where the keys come from.
pub(super) struct Source {
    client: Option<reqwest::Client>,
    jwks_url: Option<String>,
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Source {
    pub(super) fn new(issuer: &str, jwks_url: Option<&str>) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(WITHIN)
            .timeout(WITHIN)
            .build();
        if let Err(error) = &client {
            tracing::error!(%error, issuer, "nobody can be asked for keys");
        }
        Self {
            client: client.ok(),
            jwks_url: jwks_url.map(Into::into),
        }
    }

    /// The keys as they are now, or in a few words why not.
    pub(super) async fn fetch(&self, issuer: &str) -> Result<KeySet, String> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover(issuer).await?,
        };
        let set: JwkSet = self.get(&url).await?;
        let keys = KeySet::of(&set);
        match keys.is_empty() {
            true => Err("there is no key for RS256 or ES256 among them".to_owned()),
            false => Ok(keys),
        }
    }

    async fn discover(&self, issuer: &str) -> Result<String, String> {
        let url = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let found: Discovered = self.get(&url).await?;
        if found.issuer != issuer {
            return Err("what is found there names another issuer".to_owned());
        }
        match may_be_asked(&found.jwks_uri) {
            true => Ok(found.jwks_uri),
            false => Err("its jwks_uri is not https".to_owned()),
        }
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let client = self.client.as_ref().ok_or("there is no HTTP client")?;
        let said = |error: reqwest::Error| error.without_url().to_string();
        let answer = client.get(url).send().await.map_err(said)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(format!("the answer is {}", answer.status()));
        }
        let (mut body, mut stream) = (Vec::new(), answer.bytes_stream());
        while let Some(part) = stream.next().await {
            body.extend_from_slice(&part.map_err(said)?);
            if body.len() > ANSWER_MAX {
                return Err(format!("the answer is longer than {ANSWER_MAX} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("the answer is not what it should be: {error}"))
    }
}

/// Encrypted, or on this machine.
pub(super) fn may_be_asked(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => !host.is_empty(),
        "http" => is_here,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn usable(jwk: Value) -> Vec<(Option<String>, Algorithm)> {
        let set: JwkSet = serde_json::from_value(json!({"keys": [jwk]})).unwrap();
        let keys = KeySet::of(&set).keys;
        keys.into_iter().map(|(kid, key)| (kid, key.algorithm)).collect()
    }

    #[test]
    fn a_key_is_for_the_one_algorithm_of_its_kind() {
        let modulus = |bytes: usize| URL_SAFE_NO_PAD.encode([&[0x80][..], &vec![1; bytes - 1]].concat());
        let rsa = |bytes| json!({"kty": "RSA", "kid": "r", "n": modulus(bytes), "e": "AQAB"});
        let ec = |crv: &str, bytes: usize| {
            let point = URL_SAFE_NO_PAD.encode(vec![1; bytes]);
            json!({"kty": "EC", "kid": "e", "crv": crv, "x": point, "y": point})
        };
        assert_eq!(usable(rsa(256)), [(Some("r".to_owned()), Algorithm::RS256)]);
        assert_eq!(
            usable(ec("P-256", 32)),
            [(Some("e".to_owned()), Algorithm::ES256)]
        );
        assert!(usable(rsa(128)).is_empty(), "1024 bits");
        assert!(usable(ec("P-384", 48)).is_empty());
        assert!(usable(json!({"kty": "oct", "kid": "o", "k": "c2VjcmV0"})).is_empty());
        let with = |name: &str, value: &str| {
            let mut jwk = rsa(256);
            jwk[name] = value.into();
            usable(jwk)
        };
        assert_eq!(with("use", "sig").len(), 1);
        assert_eq!(with("alg", "RS256").len(), 1);
        for (name, value) in [
            ("use", "enc"),
            ("alg", "HS256"),
            ("alg", "RS512"),
            ("alg", "PS256"),
        ] {
            assert!(with(name, value).is_empty(), "{name} {value}");
        }
    }

    #[test]
    fn only_encrypted_places_or_this_machine_are_asked() {
        for (url, may) in [
            ("https://id.example.org/jwks", true),
            ("http://127.0.0.1:1/jwks", true),
            ("http://[::1]:1/jwks", true),
            ("http://localhost/jwks", true),
            ("http://id.example.org/jwks", false),
            ("http://127.0.0.1.example.org/", false),
            ("file:///etc/passwd", false),
            ("nothing", false),
        ] {
            assert_eq!(may_be_asked(url), may, "{url}");
        }
    }
}
