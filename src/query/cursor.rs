//! Where a search goes on: a place in the order of events, sealed against tampering and bound to its question and to who
//! asked it. A search is recorded once, with its first page; so whoever was handed a cursor can't read on in the name of
//! another. A fresh token of the same user goes on.
//!
//! A cursor carries the moment of its first page too. Later pages leave out what Trailhouse took after that moment,
//! so that the pages together show one state, however much arrives meanwhile.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::parse::{Order, Search};
use super::scope::Scope;
use crate::auth::{Principal, PrincipalKind};
use crate::clock::Timestamp;
use crate::crypto::{self, Key};

const VERSION: u8 = 1;
const BODY: usize = 1 + 1 + 8 + 16 + 8;
/// Half a SHA-256: 128 bits that can't be guessed.
const TAG: usize = 16;

/// A place between two events, and the way to read on from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Whether to read against the search's order, towards its first page.
    pub back: bool,
    /// Time of the event at which it stands; that event is not read again.
    pub time: Timestamp,
    /// Id of that event.
    pub event_id: Uuid,
    /// When the first page was read.
    pub as_of: Timestamp,
}

impl Cursor {
    /// As text for a parameter, good for this search by this asker in this scope alone.
    pub fn seal(&self, key: &Key, asker: &Principal, scope: &Scope, search: &Search) -> String {
        let mut bytes = Vec::with_capacity(BODY + TAG);
        bytes.push(VERSION);
        bytes.push(u8::from(self.back));
        bytes.extend_from_slice(&self.time.micros().to_be_bytes());
        bytes.extend_from_slice(self.event_id.as_bytes());
        bytes.extend_from_slice(&self.as_of.micros().to_be_bytes());
        let tag = tag(key, &bytes, asker, scope, search);
        bytes.extend_from_slice(&tag[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` when the text is no cursor that we sealed for this very search, asker and scope.
    pub fn open(text: &str, key: &Key, asker: &Principal, scope: &Scope, search: &Search) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, given) = bytes.split_at_checked(BODY)?;
        if !crypto::same(given, &tag(key, body, asker, scope, search)[..TAG]) {
            return None;
        }
        let (head, rest) = body.split_first_chunk::<2>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (event_id, rest) = rest.split_first_chunk::<16>()?;
        let as_of = rest.first_chunk::<8>()?;
        (head[0] == VERSION).then_some(Self {
            back: head[1] == 1,
            time: Timestamp::from_micros(i64::from_be_bytes(*time)),
            event_id: Uuid::from_bytes(*event_id),
            as_of: Timestamp::from_micros(i64::from_be_bytes(*as_of)),
        })
    }
}

/// Over the place and everything that decides what follows it. The size of a page does not: it may change on the way.
fn tag(key: &Key, body: &[u8], asker: &Principal, scope: &Scope, search: &Search) -> [u8; 32] {
    let order: &[u8] = match search.order {
        Order::Newest => b"newest",
        Order::Oldest => b"oldest",
    };
    let kind: &[u8] = match asker.kind() {
        PrincipalKind::User => b"user",
        PrincipalKind::Key => b"key",
        PrincipalKind::System => b"system",
    };
    let tenant = scope.tenant().as_str().as_bytes();
    let (is_confined, own) = scope.own().map_or((0, ""), |own| (1, own));
    let (is_limited, limit) = scope.limit_text().map_or((0, ""), |limit| (1, limit));
    let filter = search.filter.canonical();
    crypto::mac(
        key,
        &[
            b"cursor",
            body,
            order,
            kind,
            asker.id().as_bytes(),
            tenant,
            &[is_confined],
            own.as_bytes(),
            &[is_limited],
            limit.as_bytes(),
            filter.as_bytes(),
        ],
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::TenantId;
    use crate::query::parse;

    fn search(params: &[(&str, &str)]) -> Search {
        let params: Vec<_> = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        parse(&params).unwrap()
    }

    fn scope(tenant: &str, own: Option<&str>) -> Scope {
        Scope::for_test(&TenantId::parse(tenant).unwrap(), own)
    }

    fn asker(who: &str) -> Principal {
        Principal::system(TenantId::default_tenant(), who)
    }

    const CURSOR: Cursor = Cursor {
        back: true,
        time: Timestamp::from_micros(-5),
        event_id: Uuid::from_u128(7),
        as_of: Timestamp::from_micros(i64::MAX),
    };

    #[test]
    fn a_cursor_serves_its_own_search_whatever_the_page_size() {
        let key = Key::from_bytes([1; 32]);
        let text = CURSOR.seal(
            &key,
            &asker("ann"),
            &scope("a", None),
            &search(&[("user_id", "x"), ("limit", "5")]),
        );
        let again = search(&[("limit", "50"), ("user_id", "x"), ("cursor", &text)]);
        let opened = Cursor::open(&text, &key, &asker("ann"), &scope("a", None), &again);
        assert_eq!(opened, Some(CURSOR));
    }

    #[test]
    fn a_cursor_serves_nobody_and_nothing_else() {
        let key = Key::from_bytes([1; 32]);
        let asked = search(&[("user_id", "x")]);
        let ann = asker("ann");
        let text = CURSOR.seal(&key, &ann, &scope("a", None), &asked);
        let of_bob = Cursor::open(&text, &key, &asker("bob"), &scope("a", None), &asked);
        assert_eq!(of_bob, None, "who sees as much");
        for (key, scope, search) in [
            (Key::from_bytes([2; 32]), scope("a", None), asked.clone()),
            (key.clone(), scope("b", None), asked.clone()),
            (key.clone(), scope("a", Some("x")), asked.clone()),
            (key.clone(), scope("a", Some("")), asked.clone()),
            (key.clone(), scope("a", None).limited("tag=x"), asked.clone()),
            (key.clone(), scope("a", None), search(&[("user_id", "y")])),
            (key.clone(), scope("a", None), search(&[("user_id!", "x")])),
            (
                key.clone(),
                scope("a", None),
                search(&[("user_id", "x"), ("sort", "time")]),
            ),
            (
                key.clone(),
                scope("a", None),
                search(&[("user_id", "x"), ("q", "z")]),
            ),
        ] {
            assert_eq!(Cursor::open(&text, &key, &ann, &scope, &search), None);
        }
    }

    proptest! {
        #[test]
        fn forged_and_broken_cursors_are_refused(place in 0..200usize, bit in 0..6u32, junk in any::<String>()) {
            let key = Key::from_bytes([1; 32]);
            let (ann, scope, asked) = (asker("ann"), scope("a", None), Search::default());
            prop_assert_eq!(Cursor::open(&junk, &key, &ann, &scope, &asked), None);
            let text = CURSOR.seal(&key, &ann, &scope, &asked);
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(Cursor::open(&URL_SAFE_NO_PAD.encode(bytes), &key, &ann, &scope, &asked), None);
            prop_assert_eq!(Cursor::open(&text[..place], &key, &ann, &scope, &asked), None);
        }
    }
}
