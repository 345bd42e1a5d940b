//! Cryptographic primitives: bytes in, bytes out. What is sealed, signed or hashed, and under which key, is decided
//! by the callers; where master keys come from is the [keyring](crate::keyring)'s business.
//!
//! - [`digest`]: SHA-256, HMAC, key derivation and comparison in constant time.
//! - [`seal`]: authenticated encryption (AES-256-GCM-SIV).
//! - [`password`]: argon2id hashes, and a decoy that costs the same.
//! - [`token`]: random texts for keys, passwords and ids.
//! - [`secret`]: types that hold secrets and do not print them.

pub mod digest;
pub mod password;
pub mod seal;
pub mod secret;
pub mod token;

pub use digest::{derive, mac, same, sha256};
pub use seal::{Repeatable, SealError, seal, unseal};
pub use secret::{ExposeSecret, Key, SecretSlice, SecretString};
