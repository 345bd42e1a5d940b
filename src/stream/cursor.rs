//! Where a stream goes on: an offset for each partition, sealed, and good for its own question alone.
//!
//! It is encrypted and not only signed: offsets would tell how much all tenants together write.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::crypto::{self, Key, Repeatable};
use crate::query::Scope;
use crate::query::filter::Filter;

/// The next offset of each partition.
pub type Place = Vec<i64>;

/// Bytes of an offset: enough for 280 trillion records.
const OFFSET: usize = 6;

/// Seals the cursors of one question.
pub struct Cursors(Repeatable);

impl Cursors {
    /// For this filter in this scope, in the log of that name.
    pub fn new(key: &Key, log_id: Uuid, scope: &Scope, filter: &Filter) -> Self {
        let (is_confined, own) = scope.own().map_or((0, ""), |own| (1, own));
        let (is_limited, limit) = scope.limit_text().map_or((0, ""), |limit| (1, limit));
        let filter = filter.canonical();
        let key = crypto::mac(
            key,
            &[
                b"stream 1",
                log_id.as_bytes(),
                scope.tenant().as_str().as_bytes(),
                &[is_confined],
                own.as_bytes(),
                &[is_limited],
                limit.as_bytes(),
                filter.as_bytes(),
            ],
        );
        Self(Repeatable::new(&Key::from_bytes(key)))
    }

    /// As text for a parameter, or for `Last-Event-ID`.
    pub fn seal(&self, place: &[i64]) -> String {
        let mut plain = Vec::with_capacity(place.len() * OFFSET);
        for offset in place {
            plain.extend_from_slice(&offset.max(&0).to_be_bytes()[8 - OFFSET..]);
        }
        // Only what is larger than any memory can't be sealed.
        URL_SAFE_NO_PAD.encode(self.0.seal(&plain).unwrap_or_default())
    }

    /// `None` when the text is no cursor that was sealed for this very question, or for so many partitions.
    pub fn open(&self, text: &str, partitions: usize) -> Option<Place> {
        let plain = self.0.unseal(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (offsets, rest) = plain.as_chunks::<OFFSET>();
        let whole = |bytes: &[u8; OFFSET]| {
            bytes
                .iter()
                .fold(0, |offset, byte| offset << 8 | i64::from(*byte))
        };
        (rest.is_empty() && offsets.len() == partitions).then(|| offsets.iter().map(whole).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::TenantId;
    use crate::query::parse;

    fn cursors(key: u8, log: u128, tenant: &str, own: Option<&str>, user: &str) -> Cursors {
        let scope = Scope::for_test(&TenantId::parse(tenant).unwrap(), own);
        let filter = parse(&[("user_id".to_owned(), user.to_owned())]).unwrap().filter;
        Cursors::new(&Key::from_bytes([key; 32]), Uuid::from_u128(log), &scope, &filter)
    }

    #[test]
    fn a_cursor_serves_nobody_and_nothing_else() {
        let text = cursors(1, 1, "a", None, "x").seal(&[7, 8]);
        assert_eq!(cursors(1, 1, "a", None, "x").open(&text, 2), Some(vec![7, 8]));
        for other in [
            cursors(2, 1, "a", None, "x"),
            cursors(1, 2, "a", None, "x"),
            cursors(1, 1, "b", None, "x"),
            cursors(1, 1, "a", Some("x"), "x"),
            cursors(1, 1, "a", Some(""), "x"),
            cursors(1, 1, "a", None, "y"),
        ] {
            assert_eq!(other.open(&text, 2), None);
        }
        assert_eq!(cursors(1, 1, "a", None, "x").open(&text, 3), None);
    }

    proptest! {
        #[test]
        fn places_come_back_and_what_is_forged_is_refused(
            place in prop::collection::vec(0i64..(1 << 48), 0..6), at in any::<prop::sample::Index>(), bit in 0..6u32, junk in any::<String>(),
        ) {
            let cursors = cursors(1, 1, "a", None, "x");
            let text = cursors.seal(&place);
            prop_assert_eq!(cursors.open(&text, place.len()), Some(place.clone()));
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(cursors.open(&URL_SAFE_NO_PAD.encode(bytes), place.len()), None);
            prop_assert_eq!(cursors.open(&junk, place.len()), None);
        }
    }
}
