//! Password hashes: argon2id with 19 MiB, two passes and one lane, written as PHC strings
//! (`$argon2id$v=19$m=19456,t=2,p=1$…`), so that costs can rise later and old hashes still verify.
//!
//! One hash takes about 20 ms of a core and holds 19 MiB: callers run it off the async threads and bound how many
//! run at once.

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

/// Hashing failed: no memory, or no random source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password could not be hashed")]
pub struct HashError;

/// What keeps `password` from being one; `None` when nothing does. The upper bound keeps hashing cheap.
pub fn problem(password: &SecretString) -> Option<&'static str> {
    let password = password.expose_secret();
    match () {
        () if password.chars().count() < 8 => Some("a password needs at least 8 characters"),
        () if password.len() > 1_024 => Some("a password may have at most 1024 bytes"),
        () if password.contains('\0') => Some("a password can't hold a NUL character"),
        () => None,
    }
}

/// Hashes `password` with a fresh salt into a PHC string.
pub fn hash(password: &SecretString) -> Result<SecretString, HashError> {
    let hash = argon()
        .hash_password(password.expose_secret().as_bytes())
        .map_err(|_| HashError)?;
    Ok(hash.to_string().into())
}

/// Whether `password` gives `hash`, a PHC string, with the costs that stand in it. `false` also when `hash` is none.
pub fn verify(password: &SecretString, hash: &SecretString) -> bool {
    PasswordHash::new(hash.expose_secret()).is_ok_and(|hash| {
        argon()
            .verify_password(password.expose_secret().as_bytes(), &hash)
            .is_ok()
    })
}

/// A hash that no password gives and that costs as much to verify as a real one: compared when the user is unknown,
/// so that the time of an answer does not tell which users exist.
pub fn decoy() -> SecretString {
    let (mut salt, mut output) = ([0u8; 16], [0u8; 32]);
    rand::fill(&mut salt);
    rand::fill(&mut output);
    let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
    format!(
        "$argon2id$v=19$m={},t={},p={}${salt}${output}",
        MEMORY_KIB, PASSES, LANES
    )
    .into()
}

const MEMORY_KIB: u32 = Params::DEFAULT_M_COST;
const PASSES: u32 = Params::DEFAULT_T_COST;
const LANES: u32 = Params::DEFAULT_P_COST;

fn argon() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let hash = hash(&"correct horse".into()).unwrap();
        assert!(
            hash.expose_secret()
                .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
        );
        assert!(verify(&"correct horse".into(), &hash));
        assert!(!verify(&"correct horsf".into(), &hash));
        assert!(!verify(&"correct horse".into(), &"not a hash".into()));
    }

    #[test]
    fn passwords_have_a_length() {
        assert!(problem(&"7 chars".into()).is_some());
        assert!(problem(&"8 chars!".into()).is_none());
        assert!(problem(&"é".repeat(8).into()).is_none());
        assert!(problem(&"x".repeat(1_025).into()).is_some());
    }

    #[test]
    fn a_decoy_is_a_well_formed_hash_and_costs_like_one() {
        let real = hash(&"some password".into()).unwrap();
        let decoy = decoy();
        assert!(PasswordHash::new(decoy.expose_secret()).is_ok());
        assert!(!verify(&"another one".into(), &decoy));
        // What a check costs follows from these alone.
        let cost = |hash: &SecretString| {
            let hash = PasswordHash::new(hash.expose_secret()).unwrap();
            (
                hash.algorithm,
                hash.version,
                hash.params.clone(),
                hash.hash.map(|hash| hash.len()),
            )
        };
        assert_eq!(cost(&real), cost(&decoy));
    }
}
