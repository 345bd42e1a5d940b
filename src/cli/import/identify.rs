//! Ids for events that have none, so that a second import finds the first.
//!
//! The id is `import:SHA-256:n`: the hash of the item's bytes, and which one it is among equal items of its file.
//! Two equal lines are two events, and stay two however often the file is read.

use std::borrow::Cow;
use std::collections::HashMap;

use super::items::Item;
use crate::connectors::aws_cloudtrail;
use crate::crypto::digest::sha256;
use crate::event::json::Value;
use crate::event::json::scan::{Limits, Member, outline};
use crate::event::problem::{EVENT_BYTES_MAX, Problem};
use crate::event::shapes::tells_of_an_event;

/// The names under which an event says its id.
const NAMES: [&str; 2] = ["event_id", "eventId"];

/// What an item is.
#[derive(Debug)]
pub(super) enum Kind<'a> {
    /// An event, with an id.
    Event(Cow<'a, str>),
    /// A record of CloudTrail, which has ids of its own.
    CloudTrail(&'a str),
    /// Something that lies beside CloudTrail's logs.
    Beside(&'static str),
    /// Something that lies beside events, or is a broken one.
    NoEvent(&'static str),
}

const NO_EVENT: &str =
    "no event: it has none of the fields by which one is known, such as event_type, action, time or user_id";
const NO_RECORD: &str = "no record of CloudTrail, although it stands in `Records`";
const NO_LIST: &str = "no event: its `Records` are no list";

/// How often each item without an id came up in a file: some 20 bytes an item, and the only thing about a file that
/// grows with it.
#[derive(Default)]
pub(super) struct Occurrences(HashMap<u64, u32>);

impl Occurrences {
    fn next(&mut self, hash: &[u8; 32]) -> u32 {
        let short = hash
            .iter()
            .take(8)
            .fold(0, |short, byte| short << 8 | u64::from(*byte));
        let count = self.0.entry(short).or_default();
        *count += 1;
        *count - 1
    }
}

/// Tells what an item is; a problem when it can't go into a request.
pub(super) fn identify<'a>(
    Item {
        bytes: item,
        of_records,
    }: Item<'a>,
    seen: &mut Occurrences,
) -> Result<Kind<'a>, Problem> {
    if item.len() > EVENT_BYTES_MAX {
        let detail = format!(
            "the event has {} bytes, {EVENT_BYTES_MAX} are allowed",
            item.len()
        );
        return Err(Problem::new("", detail));
    }
    let text = std::str::from_utf8(item).map_err(|_| Problem::new("", "invalid UTF-8"))?;
    // The frame of a request must hold, whatever is in it.
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| Problem::new("", format!("not JSON: {error}")))?;
    if aws_cloudtrail::recognise(item).is_some() {
        return Ok(Kind::CloudTrail(text));
    }
    if let Some(what) = aws_cloudtrail::beside_logs(item) {
        return Ok(Kind::Beside(what));
    }
    if of_records {
        return Ok(Kind::NoEvent(NO_RECORD));
    }
    let members = match outline(text, Limits::STORED) {
        Ok((Some(members), _)) if !members.is_empty() => members,
        // Not an object, or an empty one: the server says what is wrong with it.
        _ => return Ok(Kind::Event(Cow::Borrowed(text))),
    };
    let has = |fits: fn(&str) -> bool| members.iter().any(|member| fits(&member.key.decode()));
    if has(|key| key == "Records") {
        return Ok(Kind::NoEvent(NO_LIST));
    }
    if !has(|key| key == "specversion" || tells_of_an_event(key)) {
        return Ok(Kind::NoEvent(NO_EVENT));
    }
    Ok(Kind::Event(with_id(text, &members, seen)))
}

fn with_id<'a>(item: &'a str, members: &[Member<'a>], seen: &mut Occurrences) -> Cow<'a, str> {
    let value = |key: &str| {
        members
            .iter()
            .find(|member| member.key.decode() == key)
            .map(|member| member.value)
    };
    let given = |key: &str| match value(key) {
        None | Some(Value::Null) => false,
        Some(Value::Text(text)) => !text.decode().is_empty(),
        Some(_) => true,
    };
    // A CloudEvent has its id by definition.
    if NAMES.into_iter().any(given) || value("specversion").is_some() {
        return Cow::Borrowed(item);
    }
    // A name may stand only once, also where it says nothing.
    let free = NAMES.into_iter().find(|name| value(name).is_none());
    match (free, item.split_once('{')) {
        (Some(name), Some((_, rest))) => {
            let hash = sha256(item.as_bytes());
            let n = seen.next(&hash);
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            Cow::Owned(format!(r#"{{"{name}":"import:{hex}:{n}",{rest}"#))
        }
        _ => Cow::Borrowed(item),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(bytes: &[u8]) -> Item<'_> {
        Item {
            bytes,
            of_records: false,
        }
    }

    fn event(text: &str, seen: &mut Occurrences) -> String {
        match identify(item(text.as_bytes()), seen) {
            Ok(Kind::Event(text)) => text.into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_object_is_an_event_by_a_field_of_its_own() {
        let seen = &mut Occurrences::default();
        for (text, of_records, expected) in [
            (
                r#"{"name":"x","version":"1","scripts":{"action":"y"}}"#,
                false,
                NO_EVENT,
            ),
            (
                r#"{"kind":"Pod","metadata":{"name":"x"},"tags":[]}"#,
                false,
                NO_EVENT,
            ),
            (r#"{"Records":{"a":1},"eventTime":"x"}"#, false, NO_LIST),
            (
                r#"{"eventName":"x","eventTime":"2026-01-01T00:00:00Z"}"#,
                true,
                NO_RECORD,
            ),
        ] {
            let bytes = text.as_bytes();
            match identify(Item { bytes, of_records }, seen) {
                Ok(Kind::NoEvent(why)) => assert_eq!(why, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in [
            r#"{"action":"x"}"#,
            r#"{"actor":{}}"#,
            r#"{"eventTime":"x"}"#,
            r#"{"message":"x"}"#,
            r#"{"specversion":"1.0"}"#,
        ] {
            assert!(event(text, seen).contains(&text[1..]), "{text}");
        }
    }

    #[test]
    fn what_has_an_id_stays_as_it_is() {
        let seen = &mut Occurrences::default();
        for item in [
            r#"{"event_id":"x"}"#,
            r#"{"a":{"event_id":1},"eventId":"x"}"#,
            r#"{"\u0065vent_id":"x","eventId":""}"#,
            r#"{"specversion":"1.0","id":"7"}"#,
            "{}",
            "7",
            r#"["x"]"#,
        ] {
            assert_eq!(event(item, seen), item);
        }
    }

    #[test]
    fn equal_items_get_ids_by_their_number_and_each_file_counts_anew() {
        let item = r#"{ "action":"VIEW","event_id":null,"details":{"event_id":"no"}}"#;
        let of_a_file = || {
            let seen = &mut Occurrences::default();
            [
                event(item, seen),
                event(r#"{"action":"EDIT"}"#, seen),
                event(item, seen),
            ]
        };
        let [first, other, second] = of_a_file();
        assert!(
            first.starts_with(r#"{"eventId":"import:"#) && first.contains(r#":0", "action":"VIEW","#),
            "{first}"
        );
        assert_eq!(first.replace(":0\",", ":1\","), second);
        assert!(other.ends_with(r#":0","action":"EDIT"}"#), "{other}");
        assert_eq!(of_a_file(), [first, other, second]);
    }

    #[test]
    fn what_would_break_a_request_is_told_here() {
        let seen = &mut Occurrences::default();
        for bytes in [
            &b"{\"a\":"[..],
            b"nonsense",
            b"{\"a\":\"\xff\"}",
            b"{} {}",
            &vec![b'['; EVENT_BYTES_MAX + 1],
        ] {
            assert!(
                identify(item(bytes), seen).is_err(),
                "{}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(20)])
            );
        }
    }
}
