//! Types that hold secrets. Their `Debug` shows nothing, they have no `Display`, and they are wiped when dropped.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

pub use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// 32 secret bytes: a master key, or a key [derived](super::derive) from one for a single purpose.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

impl Key {
    /// Takes the bytes as they are: they must come from a random source or a derivation, never from a password.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh key from the system's random source.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes);
        Self(bytes)
    }

    /// The bytes, for the primitives that need them.
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let key = Key::from_bytes([7; 32]);
        assert!(!format!("{key:?}").contains('7'));
        let text = SecretString::from("hunter2");
        assert!(!format!("{text:?}").contains("hunter2"));
    }

    #[test]
    fn random_keys_differ() {
        assert_ne!(Key::random().expose(), Key::random().expose());
    }
}
