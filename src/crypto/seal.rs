//! Authenticated encryption with AES-256-GCM-SIV. A nonce used twice by accident reveals no more than that two
//! plaintexts were equal, which is why this mode was chosen over plain GCM for keys that live long.

use aes_gcm_siv::aead::Aead;
use aes_gcm_siv::aead::Payload;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit};
use secrecy::SecretSlice;

use super::Key;

const NONCE: usize = 12;

/// Why something could not be sealed or unsealed. Which of key, context or bytes was wrong can't be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open with this key in this place")]
pub struct SealError;

/// Encrypts `plain` so that it opens only with `key` and the same `context` (which is authenticated, not stored).
/// Gives the random nonce followed by the ciphertext and its tag: 28 bytes more than `plain`.
pub fn seal(key: &Key, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0u8; NONCE];
    rand::fill(&mut nonce);
    let payload = Payload {
        msg: plain,
        aad: context,
    };
    let sealed = cipher(key)
        .encrypt((&nonce).into(), payload)
        .map_err(|_| SealError)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// Opens what [`seal`] gave.
pub fn unseal(key: &Key, context: &[u8], sealed: &[u8]) -> Result<SecretSlice<u8>, SealError> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(SealError)?;
    let payload = Payload {
        msg: sealed,
        aad: context,
    };
    let plain = cipher(key)
        .decrypt(nonce.into(), payload)
        .map_err(|_| SealError)?;
    Ok(plain.into())
}

/// Encrypts places and the like, many times under one key: equal texts give equal bytes, which is all that they tell.
/// (With this mode a nonce that never changes costs no more than that.) The key must be of this use alone.
pub struct Repeatable(Aes256GcmSiv);

impl Repeatable {
    /// Under a key that is used for nothing else.
    pub fn new(key: &Key) -> Self {
        Self(cipher(key))
    }

    /// 16 bytes more than `plain`.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.encrypt((&[0; NONCE]).into(), plain).map_err(|_| SealError)
    }

    /// Opens what [`Repeatable::seal`] gave.
    pub fn unseal(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0
            .decrypt((&[0; NONCE]).into(), sealed)
            .map_err(|_| SealError)
    }
}

fn cipher(key: &Key) -> Aes256GcmSiv {
    Aes256GcmSiv::new(key.expose().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    proptest! {
        #[test]
        fn what_was_sealed_opens(plain in proptest::collection::vec(any::<u8>(), 0..200), context: Vec<u8>) {
            let key = Key::random();
            let sealed = seal(&key, &context, &plain).unwrap();
            let opened = unseal(&key, &context, &sealed).unwrap();
            prop_assert_eq!(opened.expose_secret(), plain.as_slice());
        }

        #[test]
        fn one_flipped_bit_closes_it(bit in 0usize..(8 * (NONCE + 5 + 16))) {
            let key = Key::random();
            let mut sealed = seal(&key, b"user/1", b"plain").unwrap();
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(unseal(&key, b"user/1", &sealed).err(), Some(SealError));
        }
    }

    #[test]
    fn another_key_another_context_and_too_few_bytes_are_refused() {
        let key = Key::random();
        let sealed = seal(&key, b"user/1/3", b"plain").unwrap();
        assert!(unseal(&Key::random(), b"user/1/3", &sealed).is_err());
        assert!(unseal(&key, b"user/2/3", &sealed).is_err());
        assert!(unseal(&key, b"user/1/3", &sealed[..NONCE + 3]).is_err());
        assert!(unseal(&key, b"user/1/3", b"").is_err());
    }
}
