//! SHA-256, HMAC-SHA-256, derivation of keys, and comparison that takes the same time wherever the texts differ.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::Key;

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// HMAC-SHA-256 over `parts`, each preceded by its length, so that no two lists of parts give the same message.
pub fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut hmac = keyed(key);
    for part in parts {
        hmac.update(&(part.len() as u64).to_be_bytes());
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

/// The key for one purpose under `master`: HKDF-Expand (RFC 5869) to one block. Extraction is left out, as section
/// 3.3 there allows for keys that are already uniformly random. Another purpose gives an unrelated key.
pub fn derive(master: &Key, purpose: &str) -> Key {
    let mut hmac = keyed(master);
    hmac.update(purpose.as_bytes());
    hmac.update(&[1]);
    Key::from_bytes(hmac.finalize().into_bytes().into())
}

/// Whether both are equal, in a time that depends on their lengths alone.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// HMAC pads a key shorter than its block with zeros: done here, the length needs no check that could fail.
fn keyed(key: &Key) -> Hmac<Sha256> {
    let mut block = [0u8; 64];
    block[..32].copy_from_slice(key.expose());
    let hmac = <Hmac<Sha256> as KeyInit>::new((&block).into());
    block.zeroize();
    hmac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn sha256_of_abc_is_the_standards_example() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), expected);
    }

    /// Computed with Python: `hmac.new(bytes([0x0b] * 32), b"audit\x01", "sha256").hexdigest()`.
    #[test]
    fn derivation_is_one_block_of_hkdf_expand() {
        let key = derive(&Key::from_bytes([0x0b; 32]), "audit");
        assert_eq!(
            hex(key.expose()),
            "25dd303f6eefcb21260cc95019f304c5e2bb01ccf43083f1beb0bc094a376d92"
        );
    }

    #[test]
    fn purposes_give_unrelated_keys() {
        let master = Key::from_bytes([1; 32]);
        assert_ne!(derive(&master, "a").expose(), derive(&master, "b").expose());
        assert_ne!(
            derive(&master, "a").expose(),
            derive(&Key::from_bytes([2; 32]), "a").expose()
        );
    }

    #[test]
    fn parts_cannot_be_shifted_into_one_another() {
        let key = Key::from_bytes([3; 32]);
        assert_ne!(mac(&key, &[b"ab", b"c"]), mac(&key, &[b"a", b"bc"]));
        assert_ne!(mac(&key, &[b"abc"]), mac(&key, &[b"abc", b""]));
    }

    #[test]
    fn same_compares_content_and_length() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"abcd"));
    }
}
