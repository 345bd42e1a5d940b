//! People who come with a token of another system: real keys, served over HTTP, rotated; and everything that is no such
//! token.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};

use crate::support::app::PASSWORD;
use crate::support::{App, Caller, unique, until};

/// A key of the issuer's.
struct Key {
    kid: &'static str,
    pair: KeyPair,
}

impl Key {
    fn rsa(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        Self { kid, pair }
    }

    fn p256(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { kid, pair }
    }

    fn is_rsa(&self) -> bool {
        self.pair.algorithm() == &PKCS_RSA_SHA256
    }

    fn public(&self) -> Value {
        let raw = self.pair.der_bytes();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        if self.is_rsa() {
            let (n, e) = rsa_parts(raw);
            return json!({"kty": "RSA", "kid": self.kid, "use": "sig", "alg": "RS256", "n": text(n), "e": text(e)});
        }
        let (x, y) = raw[1..].split_at(32);
        json!({"kty": "EC", "kid": self.kid, "crv": "P-256", "x": text(x), "y": text(y)})
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        let signature = self.pair.sign(message.as_bytes()).unwrap();
        if self.is_rsa() {
            signature
        } else {
            fixed(&signature)
        }
    }

    fn token(&self, claims: &Value) -> String {
        let alg = if self.is_rsa() { "RS256" } else { "ES256" };
        self.token_with(&json!({"alg": alg, "typ": "JWT", "kid": self.kid}), claims)
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |message| self.sign(message))
    }
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(&message));
    format!("{message}.{signature}")
}

/// The content of a DER element, and what follows it.
fn der(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = match bytes[1] {
        short @ 0..0x80 => (usize::from(short), &bytes[2..]),
        long => {
            let of = usize::from(long & 0x7f);
            let length = bytes[2..2 + of]
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte));
            (length, &bytes[2 + of..])
        }
    };
    rest.split_at(length)
}

/// Modulus and exponent of a PKCS#1 public key.
fn rsa_parts(key: &[u8]) -> (&[u8], &[u8]) {
    let (body, _) = der(key);
    let (n, rest) = der(body);
    let (e, _) = der(rest);
    (n.strip_prefix(&[0]).unwrap_or(n), e)
}

/// An ECDSA signature as JWTs have it: both numbers in 32 bytes each.
fn fixed(signature: &[u8]) -> Vec<u8> {
    let (body, _) = der(signature);
    let (r, rest) = der(body);
    let (s, _) = der(rest);
    let padded = |number: &[u8]| {
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        [vec![0; 32 - number.len()], number.to_vec()].concat()
    };
    [padded(r), padded(s)].concat()
}

/// The issuer, as it is over HTTP.
#[derive(Clone)]
struct Issuer {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
}

impl Issuer {
    async fn start(keys: &[&Key]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            keys: Arc::default(),
        };
        issuer.serve(keys);
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(Self::discovery))
            .route("/keys", get(Self::jwks))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        issuer
    }

    fn serve(&self, keys: &[&Key]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| key.public()).collect();
    }

    async fn discovery(State(issuer): State<Self>) -> Json<Value> {
        Json(json!({"issuer": issuer.url, "jwks_uri": format!("{}/keys", issuer.url)}))
    }

    async fn jwks(State(issuer): State<Self>) -> Json<Value> {
        // Keys of kinds that nobody here uses stand beside the others.
        let mut keys = issuer.keys.lock().unwrap().clone();
        keys.push(json!({"kty": "OKP", "crv": "Ed25519", "kid": "other", "x": "AAAA"}));
        keys.push(json!({"kty": "from-the-future", "kid": "strange"}));
        Json(json!({"keys": keys}))
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

struct Story {
    app: App,
    issuer: Issuer,
    acme: Caller,
    name: String,
}

impl Story {
    async fn begin(keys: &[&Key]) -> Self {
        let issuer = Issuer::start(keys).await;
        let app = App::start_with(&[
            ("TRAILHOUSE_AUTH__OIDC__ISSUER", &issuer.url),
            ("TRAILHOUSE_AUTH__OIDC__AUDIENCE", "trailhouse"),
        ])
        .await;
        let acme = app.tenant("oidc").await;
        let name = format!("{}@example.org", unique("grace"));
        let user = json!({"name": name, "roles": ["auditor"], "password": null});
        let made = acme.post("/api/v1/users", &user).await.expect(201);
        assert_eq!(made["has_password"], false);
        Self {
            app,
            issuer,
            acme,
            name,
        }
    }

    fn claims(&self) -> Value {
        let (url, name) = (&self.issuer.url, &self.name);
        json!({"iss": url, "aud": ["other", "trailhouse"], "sub": "s-1", "email": name, "email_verified": true,
               "iat": now(), "exp": now() + 300})
    }

    fn with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    fn without(&self, name: &str) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    async fn status(&self, token: &str) -> u16 {
        let caller = self.app.stranger().with(Some(token));
        caller.get("/api/v1/auth/me").await.status.as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_comes_with_a_token_of_the_issuer_and_with_nothing_else() {
    let (rsa, ec, foreign) = (Key::rsa("r1"), Key::p256("e1"), Key::rsa("r1"));
    let story = Story::begin(&[&rsa, &ec]).await;
    for key in [&rsa, &ec] {
        let caller = story.app.stranger().with(Some(&key.token(&story.claims())));
        let me = caller.get("/api/v1/auth/me").await.expect(200);
        assert_eq!(
            (&me["name"], &me["roles"]),
            (&json!(story.name), &json!(["auditor"]))
        );
        assert_eq!(
            me["tenant_id"],
            json!(story.acme.tenant),
            "the fold says where it belongs"
        );
        caller.get("/api/v1/logs").await.expect(200);
        caller.get("/api/v1/users").await.problem(403);
    }
    // Clocks differ, by a minute at most.
    for (claims, status) in [
        (story.with("exp", json!(now() - 30)), 200),
        (story.with("exp", json!(now() - 90)), 401),
        (story.with("nbf", json!(now() + 30)), 200),
        (story.with("nbf", json!(now() + 90)), 401),
        (story.with("iat", json!(now() + 90)), 401),
        (story.with("aud", json!("trailhouse")), 200),
        (story.with("aud", json!("another")), 401),
        (story.with("aud", json!([])), 401),
        (story.with("iss", json!("https://evil.example")), 401),
        (story.with("email", json!("nobody@example.org")), 401),
        (story.with("email", json!(["x"])), 401),
        (story.with("email_verified", json!(false)), 401),
        (story.without("exp"), 401),
        (story.without("aud"), 401),
        (story.without("iss"), 401),
        (story.without("email"), 401),
    ] {
        assert_eq!(story.status(&rsa.token(&claims)).await, status, "{claims}");
    }

    let claims = story.claims();
    let public = serde_json::to_vec(&rsa.public()).unwrap();
    let modulus = rsa.public()["n"].as_str().unwrap().to_owned().into_bytes();
    let hs256 = |secret: Vec<u8>| {
        token(&json!({"alg": "HS256", "kid": "r1"}), &claims, move |message| {
            use hmac::{Hmac, KeyInit, Mac};
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&secret).unwrap();
            mac.update(message.as_bytes());
            mac.finalize().into_bytes().to_vec()
        })
    };
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    for (what, forged) in [
        ("alg none", token(&header("none", "r1"), &claims, |_| Vec::new())),
        ("alg none, signed", rsa.token_with(&header("none", "r1"), &claims)),
        ("HS256 under the public key", hs256(public)),
        ("HS256 under its modulus", hs256(modulus)),
        ("HS256 under the raw key", hs256(rsa.pair.der_bytes().to_vec())),
        (
            "RS384 of an RS256 key",
            rsa.token_with(&header("RS384", "r1"), &claims),
        ),
        (
            "the other kind of key",
            rsa.token_with(&header("ES256", "r1"), &claims),
        ),
        (
            "the name of the other key",
            rsa.token_with(&header("RS256", "e1"), &claims),
        ),
        ("somebody else's key", foreign.token(&claims)),
        (
            "no name of a key",
            rsa.token_with(&json!({"alg": "RS256"}), &claims),
        ),
        ("an unknown key", rsa.token_with(&header("RS256", "r9"), &claims)),
        (
            "no signature",
            token(&header("RS256", "r1"), &claims, |_| Vec::new()),
        ),
    ] {
        assert_eq!(story.status(&forged).await, 401, "{what}");
    }
    let (head, signature) = rsa
        .token(&claims)
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let another = URL_SAFE_NO_PAD.encode(story.with("email", json!("admin")).to_string());
    let swapped = format!("{}.{another}.{signature}", head.split_once('.').unwrap().0);
    assert_eq!(
        story.status(&swapped).await,
        401,
        "claims changed under the signature"
    );
    // Who has no password can't log in with one.
    let login = json!({"username": story.name, "password": PASSWORD});
    story.app.stranger().post("/login", &login).await.problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_by_logout_with_its_user_and_with_its_key() {
    let (old, new) = (Key::rsa("old"), Key::p256("new"));
    let story = Story::begin(&[&old]).await;
    let (one, two) = (
        old.token(&story.claims()),
        old.token(&story.with("sub", json!("s-2"))),
    );
    let caller = story.app.stranger().with(Some(&one));
    caller.get("/api/v1/auth/me").await.expect(200);
    assert_eq!(caller.post("/api/v1/auth/logout", &json!({})).await.status, 204);
    assert_eq!(
        (story.status(&one).await, story.status(&two).await),
        (401, 200),
        "one token is one session"
    );

    // The issuer has a new key: it is asked again, half a minute after it was asked last.
    story.issuer.serve(&[&new]);
    let fresh = new.token(&story.claims());
    until("the new key is known", async || story.status(&fresh).await == 200).await;
    assert_eq!(story.status(&two).await, 401, "the old key is withdrawn");

    let users = story.acme.get("/api/v1/users").await.expect(200);
    let user = &users["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|user| user["name"] == story.name.as_str())
        .unwrap()["id"];
    let path = format!("/api/v1/users/{}", user.as_str().unwrap());
    assert_eq!(
        story
            .acme
            .send(reqwest::Method::DELETE, &path, &[], "")
            .await
            .status,
        204
    );
    assert_eq!(
        story.status(&new.token(&story.claims())).await,
        401,
        "a disabled user is nobody"
    );
}
