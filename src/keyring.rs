//! The keyring: the master keys of a deployment, and the keys derived from them.
//!
//! Every secret that Trailhouse stores and every record that it must be able to trust hangs on a master key, which
//! comes from a file in the data directory ([`file`]) or from the environment, and never goes anywhere else. Nobody
//! uses a master key itself: [`Keyring::derive`] gives an unrelated key for each purpose. One key is active, for
//! whatever is written now; the others are kept so that what was written under them still opens.

pub mod file;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::crypto::{self, ExposeSecret, Key, SealError, SecretSlice, SecretString};

pub use file::{FILE, activate, add, find, make, rotate};

/// The environment variable that holds master keys instead of the file.
pub const ENVIRONMENT: &str = "TRAILHOUSE_MASTER_KEY";

/// The master keys. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<[Master]>,
}

/// One master key. Its name follows from its bytes, so that the same key has the same name in a file, in the
/// environment and on every instance.
#[derive(Clone)]
struct Master {
    id: Arc<str>,
    key: Key,
}

/// Why there is no keyring.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file can't be read or written.
    #[error("the key file {path} can't be used: {cause}")]
    File {
        /// Where it is.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// There is no file.
    #[error(
        "the key file {path} is not there: the first `trailhouse serve` makes it; if there was one, restore it from its backup"
    )]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// Others may read the file.
    #[error("the key file {path} can be read by others (mode {mode:03o}): run `chmod 600 {path}`")]
    Permissions {
        /// Where it is.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds other keys.
    #[error("the key file {path} holds no key {id}: `trailhouse doctor` lists those it holds")]
    NoSuchKey {
        /// Where it is.
        path: String,
        /// The id that was asked for.
        id: String,
    },
    /// The file or the variable holds something else than keys.
    #[error("{place} does not hold master keys: {reason}")]
    Malformed {
        /// The file's path or the variable's name.
        place: String,
        /// What is wrong; never the key.
        reason: String,
    },
}

impl Keyring {
    /// Reads keys as the environment gives them: base64 of 32 bytes each, separated by commas, the active one first.
    /// `openssl rand -base64 32` makes one.
    pub fn from_text(text: &SecretString) -> Result<Self, KeyringError> {
        let malformed = |reason: &str| KeyringError::Malformed {
            place: ENVIRONMENT.into(),
            reason: reason.into(),
        };
        let keys = text.expose_secret().split(',').map(str::trim).map(decode_key);
        let keys: Option<Vec<Key>> = keys.collect();
        let keys =
            keys.ok_or_else(|| malformed("expected base64 of 32 bytes, as `openssl rand -base64 32` gives"))?;
        Self::new(keys).ok_or_else(|| malformed("the same key stands there twice"))
    }

    /// A keyring of `keys`, the active one first. `None` when there is none, or one twice.
    fn new(keys: Vec<Key>) -> Option<Self> {
        let keys: Arc<[Master]> = keys.into_iter().map(Master::new).collect();
        let twice = (1..keys.len()).any(|i| keys[..i].iter().any(|earlier| earlier.id == keys[i].id));
        (!keys.is_empty() && !twice).then_some(Self { keys })
    }

    /// A keyring with one fresh key, for tests and for programs that keep nothing.
    pub fn ephemeral() -> Self {
        Self {
            keys: Arc::new([Master::new(Key::random())]),
        }
    }

    /// The name of the key that everything new is written under.
    pub fn active(&self) -> &str {
        // There is always a first key: `new` makes no empty keyring.
        self.keys.first().map_or("", |master| &master.id)
    }

    /// The names of all keys, the active one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|master| &*master.id)
    }

    /// The key for one purpose under the master key of that name; `None` when this keyring does not hold it.
    /// Purposes are fixed texts such as `control mac`; changing one makes everything under it unreadable.
    pub fn derive(&self, purpose: &str, id: &str) -> Option<Key> {
        let master = self.keys.iter().find(|master| &*master.id == id)?;
        Some(crypto::derive(&master.key, &format!("trailhouse {purpose}")))
    }

    /// Encrypts under the active key. It opens only for the same purpose and in the same `context`: say there whose
    /// secret it is, so that it can't be moved to somebody else.
    pub fn seal(&self, purpose: &str, context: &[u8], plain: &[u8]) -> Result<Sealed, SealError> {
        let key_id = self.active();
        let key = self.derive(purpose, key_id).ok_or(SealError)?;
        Ok(Sealed {
            key_id: key_id.into(),
            bytes: crypto::seal(&key, context, plain)?.into(),
        })
    }

    /// Opens what [`Keyring::seal`] gave.
    pub fn unseal(
        &self,
        purpose: &str,
        context: &[u8],
        sealed: &Sealed,
    ) -> Result<SecretSlice<u8>, SealError> {
        let key = self.derive(purpose, &sealed.key_id).ok_or(SealError)?;
        crypto::unseal(&key, context, &sealed.bytes)
    }
}

impl Master {
    fn new(key: Key) -> Self {
        let name = crypto::mac(&key, &[b"trailhouse key id"]);
        Self {
            id: URL_SAFE_NO_PAD.encode(&name[..6]).into(),
            key,
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring")
            .field(&self.ids().collect::<Vec<_>>())
            .finish()
    }
}

/// Something encrypted under a master key, as text `<key id>.<base64url>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    key_id: Arc<str>,
    bytes: Arc<[u8]>,
}

impl Sealed {
    fn parse(text: &str) -> Option<Self> {
        let (key_id, bytes) = text.split_once('.')?;
        Some(Self {
            key_id: key_id.into(),
            bytes: URL_SAFE_NO_PAD.decode(bytes).ok()?.into(),
        })
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, {} bytes)", self.key_id, self.bytes.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!(
            "{}.{}",
            self.key_id,
            URL_SAFE_NO_PAD.encode(&self.bytes)
        ))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected <key id>.<base64url>"))
    }
}

/// Base64 of exactly 32 bytes.
fn decode_key(text: &str) -> Option<Key> {
    let bytes: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
    Some(Key::from_bytes(bytes))
}

fn encode_key(key: &Key) -> String {
    STANDARD.encode(key.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        bytes
            .iter()
            .map(|byte| encode_key(&Key::from_bytes([*byte; 32])))
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn the_first_key_is_active_and_the_others_still_open() {
        let old = Keyring::from_text(&text(&[1]).into()).unwrap();
        let sealed = old.seal("test", b"user/1", b"plain").unwrap();
        let rotated = Keyring::from_text(&text(&[2, 1]).into()).unwrap();
        assert_ne!(rotated.active(), old.active());
        assert_eq!(rotated.ids().nth(1), Some(old.active()));
        assert_eq!(
            rotated
                .unseal("test", b"user/1", &sealed)
                .unwrap()
                .expose_secret(),
            b"plain"
        );
        let newer = rotated.seal("test", b"user/1", b"plain").unwrap();
        assert!(old.unseal("test", b"user/1", &newer).is_err());
    }

    #[test]
    fn a_sealed_text_survives_json_and_opens_nowhere_else() {
        let keyring = Keyring::ephemeral();
        let sealed = keyring.seal("password", b"user/1", b"plain").unwrap();
        let json = serde_json::to_string(&sealed).unwrap();
        let back: Sealed = serde_json::from_str(&json).unwrap();
        assert_eq!(back, sealed);
        assert!(keyring.unseal("password", b"user/1", &back).is_ok());
        assert!(keyring.unseal("password", b"user/2", &back).is_err());
        assert!(keyring.unseal("webhook", b"user/1", &back).is_err());
        assert!(serde_json::from_str::<Sealed>("\"no dot\"").is_err());
    }

    #[test]
    fn what_is_no_key_is_named_without_showing_it() {
        for wrong in [
            "",
            "short",
            "c2hvcnQ=",
            "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
        ] {
            let error = Keyring::from_text(&wrong.into()).unwrap_err().to_string();
            assert!(
                error.contains(ENVIRONMENT) && (wrong.is_empty() || !error.contains(wrong)),
                "{error}"
            );
        }
        assert!(
            Keyring::from_text(&text(&[1, 1]).into())
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
    }

    #[test]
    fn a_keyring_prints_names_only() {
        let keyring = Keyring::from_text(&text(&[1]).into()).unwrap();
        let shown = format!("{keyring:?}");
        assert!(
            shown.contains(keyring.active()) && !shown.contains(&text(&[1])),
            "{shown}"
        );
    }
}
