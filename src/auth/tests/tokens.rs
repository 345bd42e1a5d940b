//! Tokens: what they say, who takes them, and what is none.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::control::Permission;

/// A token of any header and claims, signed by `sign`.
fn forge(header: Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn hs256(key: &[u8], message: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn a_login_gives_a_token_that_every_form_of_the_header_takes() {
    let fixture = begun().await;
    let tokens = fixture.login("Admin", PASSWORD.into()).await.unwrap();
    assert_eq!((tokens.token_type, tokens.expires_in), ("Bearer", 60));
    let token = tokens.token.expose_secret();
    for header in [
        format!("Bearer {token}"),
        format!("bearer  {token} "),
        token.to_owned(),
    ] {
        let principal = fixture.asks(&header).unwrap();
        assert_eq!(
            (principal.who(), principal.kind()),
            ("admin", PrincipalKind::User)
        );
        assert_eq!(*principal.tenant(), TenantId::default_tenant());
        assert!(principal.is_operator() && principal.can(Permission::Tenants));
    }
    assert!(!format!("{tokens:?}").contains(token), "tokens do not print");
}

#[tokio::test]
async fn a_token_says_nothing_of_roles_or_tenants() {
    let fixture = begun().await;
    let claims = claims_of(&fixture.token("admin").await);
    let mut names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["epoch", "exp", "iat", "iss", "jti", "sid", "sub"]);
}

#[tokio::test]
async fn what_is_no_credential_is_refused_alike() {
    let fixture = begun().await;
    assert_eq!(fixture.auth.authenticate(None), Err(AuthError::Missing));
    assert_eq!(fixture.asks(""), Err(AuthError::Missing));
    assert_eq!(fixture.asks("Bearer "), Err(AuthError::Invalid));
    let long = "x".repeat(10_000);
    for header in [
        "x",
        "a.b.c",
        "Basic YWRtaW46YWRtaW4=",
        "thk_",
        "thk_a",
        "thk_a_b",
        "Bearer \u{e9}.é.é",
        &long,
    ] {
        assert_eq!(fixture.asks(header), Err(AuthError::Invalid), "{header}");
    }
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let fixture = begun().await;
    let token = fixture.token("admin").await;
    let (claims, kid) = (claims_of(&token), fixture.keyring.active());
    let key = fixture.keyring.derive("token access", kid).unwrap();
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    let right = |message: &[u8]| hs256(key.expose(), message);
    assert!(
        fixture.asks(&forge(header("HS256"), &claims, right)).is_ok(),
        "the forger knows the format"
    );

    let refresh = fixture.keyring.derive("token refresh", kid).unwrap();
    let mut another = claims.clone();
    another["sub"] = json!("somebody");
    let mut elsewhere = claims.clone();
    elsewhere["iss"] = json!("trailhouse:00000000-0000-0000-0000-000000000000");
    let mut endless = claims.clone();
    endless.as_object_mut().unwrap().remove("exp");
    for (what, forged) in [
        ("alg none", forge(header("none"), &claims, |_| Vec::new())),
        ("alg none, signed", forge(header("none"), &claims, right)),
        ("alg HS512 under our key", forge(header("HS512"), &claims, right)),
        ("alg RS256", forge(header("RS256"), &claims, right)),
        ("no kid", forge(json!({"alg": "HS256"}), &claims, right)),
        (
            "unknown kid",
            forge(json!({"alg": "HS256", "kid": "k"}), &claims, right),
        ),
        (
            "key of the other use",
            forge(header("HS256"), &claims, |m| hs256(refresh.expose(), m)),
        ),
        (
            "guessed key",
            forge(header("HS256"), &claims, |m| hs256(b"secret", m)),
        ),
        ("empty key", forge(header("HS256"), &claims, |m| hs256(b"", m))),
        ("no signature", forge(header("HS256"), &claims, |_| Vec::new())),
        ("unknown user", forge(header("HS256"), &another, right)),
        ("another deployment", forge(header("HS256"), &elsewhere, right)),
        ("no expiry", forge(header("HS256"), &endless, right)),
    ] {
        assert_eq!(fixture.asks(&forged), Err(AuthError::Invalid), "{what}");
    }
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let swapped = format!(
        "{header}.{}.{signature}",
        URL_SAFE_NO_PAD.encode(another.to_string())
    );
    assert_eq!(
        fixture.asks(&swapped),
        Err(AuthError::Invalid),
        "claims changed under the signature"
    );
}

#[tokio::test]
async fn tokens_expire_and_refresh_tokens_give_new_ones() {
    let fixture = begun().await;
    let tokens = fixture.login("admin", PASSWORD.into()).await.unwrap();
    let (access, refresh) = (tokens.token.expose_secret(), tokens.refresh_token.expose_secret());
    assert_eq!(
        fixture.asks(refresh),
        Err(AuthError::Invalid),
        "a refresh token opens nothing"
    );
    assert_eq!(
        fixture.auth.refresh(&tokens.token).err(),
        Some(AuthError::Invalid),
        "nor does an access token refresh"
    );
    fixture.clock.advance(Duration::from_secs(59));
    assert!(fixture.asks(access).is_ok());
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.asks(access), Err(AuthError::Expired));
    let next = fixture.auth.refresh(&tokens.refresh_token).unwrap();
    assert!(fixture.asks(next.token.expose_secret()).is_ok());
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(
        fixture.auth.refresh(&next.refresh_token).err(),
        Some(AuthError::Expired)
    );
}
