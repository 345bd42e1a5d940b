//! Ids: which ones are kept, and how the others are derived.
//!
//! Derived ids are UUIDs of version 5 in three namespaces that never meet: what clients call their events, what
//! connectors and the import read from an outside system, and places in an inbox. The parts of a name are separated
//! by NUL, which no part can hold, so two different lists of parts never make the same name.

use uuid::{Uuid, Variant};

use crate::clock::Timestamp;
use crate::event::TenantId;

/// Ids that clients give.
const CLIENTS: Uuid = Uuid::from_u128(0x6f1c_2f0a_8b0e_5d0b_9a57_1f0d_6f5e_0001);
/// Ids that outside systems give; no client can write one.
const SOURCES: Uuid = Uuid::from_u128(0x6f1c_2f0a_8b0e_5d0b_9a57_1f0d_6f5e_0002);
/// Places in a topic, for records without an id of their own.
const PLACES: Uuid = Uuid::from_u128(0x6f1c_2f0a_8b0e_5d0b_9a57_1f0d_6f5e_0003);

/// The longest id that a client may give, in bytes.
pub const CLIENT_ID_MAX: usize = 256;

/// Where an event's id came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdOrigin {
    /// The client's UUIDv4.
    Client,
    /// The client's UUIDv7.
    ClientV7,
    /// Derived from the id that the client or the source gave.
    Derived,
    /// Derived from the record's place, because it had no id.
    Placed,
    /// Made just now: nobody can have sent it before.
    Minted,
}

/// A client's UUID that is kept as it is: version 4 or 7, hyphenated or 32 hex digits, in any case.
pub fn kept(text: &str) -> Option<(Uuid, IdOrigin)> {
    let uuid = uuid(text)?;
    match uuid.get_version_num() {
        4 => Some((uuid, IdOrigin::Client)),
        7 => Some((uuid, IdOrigin::ClientV7)),
        _ => None,
    }
}

/// Reads a UUID of any version: hyphenated, or 32 hex digits. Braces and `urn:uuid:` make it an ordinary text.
pub fn uuid(text: &str) -> Option<Uuid> {
    let uuid = matches!(text.len(), 32 | 36).then(|| Uuid::try_parse(text).ok())??;
    (uuid.get_variant() == Variant::RFC4122).then_some(uuid)
}

/// The id of an event that a client calls `id` within `namespace` (a CloudEvents `source`, the id of the source it
/// came through, or nothing).
pub fn of_client(tenant: &TenantId, namespace: &str, id: &str) -> Uuid {
    derive(&CLIENTS, [tenant.as_str(), namespace, id])
}

/// The id of an event that an outside system of this kind calls `native_id`, whichever way it came in.
pub fn of_source(tenant: &TenantId, kind: &str, native_id: &str) -> Uuid {
    derive(&SOURCES, [tenant.as_str(), kind, native_id])
}

/// The id of a record that has none, from the place where it stands.
pub fn of_place(tenant: &TenantId, place: &str) -> Uuid {
    derive(&PLACES, [tenant.as_str(), "", place])
}

/// The moment in a UUIDv7, to the millisecond.
pub fn moment(id: Uuid) -> Option<Timestamp> {
    (id.get_version_num() == 7).then(|| Timestamp::from_millis((id.as_u128() >> 80) as i64))
}

fn derive(namespace: &Uuid, parts: [&str; 3]) -> Uuid {
    let mut name = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            name.push(0);
        }
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(namespace, &name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn versions_4_and_7_are_kept_in_both_forms() {
        let v4 = "8F14E45F-CEEA-467F-9A36-DCD2A5B1C0DE";
        assert_eq!(kept(v4), Some((Uuid::try_parse(v4).unwrap(), IdOrigin::Client)));
        assert_eq!(kept(&v4.replace('-', "")), kept(v4));
        assert_eq!(
            kept("01920000-0000-7000-8000-000000000000").unwrap().1,
            IdOrigin::ClientV7
        );
        for other in [
            "{8f14e45f-ceea-467f-9a36-dcd2a5b1c0de}",
            "urn:uuid:8f14e45f-ceea-467f-9a36-dcd2a5b1c0de",
            "8f14e45f-ceea-167f-9a36-dcd2a5b1c0de",
            "8f14e45f-ceea-467f-1a36-dcd2a5b1c0de",
            "00000000-0000-0000-0000-000000000000",
            "evt_17",
        ] {
            assert_eq!(kept(other), None, "{other}");
        }
    }

    #[test]
    fn the_moment_of_a_version_7() {
        let id = Uuid::try_parse("018bcfe5-6800-7000-8000-000000000000").unwrap();
        assert_eq!(moment(id), Some(Timestamp::from_millis(1_700_000_000_000)));
        assert_eq!(moment(Uuid::nil()), None);
    }

    #[test]
    fn derived_ids_never_change() {
        // These values are in logs: a change here would make every retry a new event.
        assert_eq!(
            of_client(&tenant("default"), "", "evt_17").to_string(),
            "530b1ccc-4656-5120-a76b-2353fc81211e"
        );
        assert_eq!(
            of_source(&tenant("default"), "aws_cloudtrail", "x").to_string(),
            "d26326ad-cd9e-541c-b1cc-9fbed1b282e1"
        );
        assert_eq!(
            of_place(&tenant("default"), "audit.inbox/0/17").to_string(),
            "87abc707-0733-5b44-9266-60f725c81522"
        );
    }

    proptest! {
        #[test]
        fn different_parts_make_different_ids(a in "[a-z0-9]{1,3}", b in "[a-b/:.]{0,3}", c in "[a-b/:.]{0,3}",
                                              d in "[a-z0-9]{1,3}", e in "[a-b/:.]{0,3}", f in "[a-b/:.]{0,3}") {
            let same = (&a, &b, &c) == (&d, &e, &f);
            prop_assert_eq!(of_client(&tenant(&a), &b, &c) == of_client(&tenant(&d), &e, &f), same);
            prop_assert_ne!(of_client(&tenant(&a), &b, &c), of_source(&tenant(&d), &e, &f));
        }
    }
}
