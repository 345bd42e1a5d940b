//! The original of an event without what its row says already.
//!
//! What comes from outside is kept twice: taken apart, in the details and fields, to be searched; and as it came, in
//! `raw`, to be proved. Almost every value of the second stands in the first, so `raw` keeps the original with holes:
//! a byte that no JSON text contains stands for a value of the same row. On CloudTrail records this takes 3 bytes a
//! row instead of 93, and it is exact: a hole is made only where the text is byte for byte what will fill it.

use std::borrow::Cow;
use std::ops::Range;

use super::details::push_string;

/// A column that begins so has holes. An original that begins so itself is kept whole behind two of them.
const HOLLOW: u8 = 0;
/// The next leaf of the details.
const LEAF: u8 = 1;
/// Nothing: the next leaf is left out.
const SKIP: u8 = 2;
/// The first of the fields, quoted; the others count on from it.
const FIELD: u8 = 3;
/// Fields that may fill a hole.
pub const FIELDS: usize = 4;
/// Below this a byte may stand for something, so an original that has one is kept whole. (9 is the tabulator.)
const FIRST_PLAIN: u8 = 9;

/// Leaves that are looked at beyond the next one: enough to find the way back where the original has a value in
/// another spelling than the details, few enough to cost nothing.
const AHEAD: usize = 4;

/// What a row holds beside the original.
pub struct Beside<'a> {
    /// Path and value of the details' leaves, in document order.
    pub details: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// One letter a leaf.
    pub types: &'a str,
    /// Texts of fields; empty ones are of no use.
    pub fields: [Cow<'a, str>; FIELDS],
}

impl Beside<'_> {
    /// The original as the column holds it.
    pub fn hollow<'b>(&self, original: &'b [u8]) -> Cow<'b, [u8]> {
        if original.first() == Some(&HOLLOW) {
            return Cow::Owned([&[HOLLOW, HOLLOW], original].concat());
        }
        if original.iter().any(|byte| *byte < FIRST_PLAIN) {
            return Cow::Borrowed(original);
        }
        let (mut hollow, mut copied, mut at, mut leaf) = (vec![HOLLOW], 0, 0, 0);
        while let Some(value) = next_value(original, at) {
            at = value.end;
            let Some((skipped, filling)) = self.hole(&original[value.clone()], leaf) else {
                continue;
            };
            hollow.extend_from_slice(&original[copied..value.start]);
            hollow.extend(std::iter::repeat_n(SKIP, skipped));
            hollow.push(filling);
            leaf += skipped + usize::from(filling == LEAF);
            copied = value.end;
        }
        if copied == 0 {
            return Cow::Borrowed(original);
        }
        hollow.extend_from_slice(&original[copied..]);
        Cow::Owned(hollow)
    }

    /// The original from its column. `None` when it has a hole that this row can't fill.
    pub fn fill<'b>(&self, column: &'b [u8]) -> Option<Cow<'b, [u8]>> {
        let hollow = match column {
            [HOLLOW, HOLLOW, original @ ..] => return Some(Cow::Borrowed(original)),
            [HOLLOW, hollow @ ..] => hollow,
            original => return Some(Cow::Borrowed(original)),
        };
        let (mut filled, mut text, mut leaf) = (Vec::with_capacity(hollow.len() * 2), String::new(), 0);
        for byte in hollow {
            text.clear();
            match *byte {
                LEAF => self.push_leaf(leaf, &mut text)?,
                SKIP => {}
                FIRST_PLAIN.. => filled.push(*byte),
                field => push_string(
                    &mut text,
                    self.fields.get(usize::from(field.checked_sub(FIELD)?))?,
                ),
            }
            leaf += usize::from(matches!(*byte, LEAF | SKIP));
            filled.extend_from_slice(text.as_bytes());
        }
        Some(Cow::Owned(filled))
    }

    /// What can stand for a value where `leaf` is the next one, and how many leaves to leave out before it.
    fn hole(&self, value: &[u8], leaf: usize) -> Option<(usize, u8)> {
        if self.is_leaf(leaf, value) {
            return Some((0, LEAF));
        }
        let is_field = |field: &Cow<'_, str>| !field.is_empty() && is_quoted(field, value);
        if let Some(field) = self.fields.iter().position(is_field) {
            return Some((0, FIELD + field as u8));
        }
        let skipped = (1..=AHEAD).find(|skipped| self.is_leaf(leaf + skipped, value))?;
        Some((skipped, LEAF))
    }

    fn is_leaf(&self, leaf: usize, value: &[u8]) -> bool {
        self.details.get(leaf).is_some_and(|(_, text)| {
            if self.is_json(leaf) {
                text.as_bytes() == value
            } else {
                is_quoted(text, value)
            }
        })
    }

    fn push_leaf(&self, leaf: usize, text: &mut String) -> Option<()> {
        let (_, value) = self.details.get(leaf)?;
        if self.is_json(leaf) {
            text.push_str(value);
        } else {
            push_string(text, value);
        }
        Some(())
    }

    fn is_json(&self, leaf: usize) -> bool {
        self.types.as_bytes().get(leaf) == Some(&b'j')
    }
}

/// Whether a value is this text as we would quote it.
fn is_quoted(text: &str, value: &[u8]) -> bool {
    // Most differ in length already, and are not worth quoting.
    if value.len() < text.len() + 2 || value.len() != text.len() + 2 && !value.contains(&b'\\') {
        return false;
    }
    let mut quoted = String::with_capacity(value.len());
    push_string(&mut quoted, text);
    quoted.as_bytes() == value
}

/// Where the next value without leaves of its own stands in a JSON text; keys are none. On anything but JSON it finds
/// something or other, which does no harm.
fn next_value(text: &[u8], mut at: usize) -> Option<Range<usize>> {
    let length = |from: usize, holds: fn(&u8) -> bool| text[from..].iter().take_while(|b| holds(b)).count();
    loop {
        match *text.get(at)? {
            b'"' => {
                let end = string_end(text, at)?;
                let after = end + length(end, u8::is_ascii_whitespace);
                if text.get(after) != Some(&b':') {
                    return Some(at..end);
                }
                at = after;
            }
            b'{' | b'[' if matches!(text.get(at + 1), Some(b'}' | b']')) => return Some(at..at + 2),
            first if is_literal(&first) => return Some(at..at + length(at, is_literal)),
            _ => at += 1,
        }
    }
}

fn is_literal(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(byte)
}

/// Behind the closing quote of the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::details::{Flat, flatten};

    fn beside<'a>(flat: &'a Flat<'a>, fields: [&'a str; FIELDS]) -> Beside<'a> {
        Beside {
            details: &flat.entries,
            types: &flat.types,
            fields: fields.map(Cow::Borrowed),
        }
    }

    /// What the column holds, after it was seen to give the original back.
    fn column(original: &[u8], details: &str, fields: [&str; FIELDS]) -> Vec<u8> {
        let flat = flatten(details).unwrap();
        let beside = beside(&flat, fields);
        let hollow = beside.hollow(original).into_owned();
        assert_eq!(beside.fill(&hollow).as_deref(), Some(original));
        hollow
    }

    #[test]
    fn what_the_row_holds_is_left_out() {
        let original = br#"{"id": "i1","a":{"b":[1.50,"x",{}],"n":null},"ip":"10.0.0.1","c":true}"#;
        let details = r#"{"a":{"b":[1.50,"x",{}],"n":null},"c":true}"#;
        assert_eq!(
            column(original, details, ["i1", "", "", "10.0.0.1"]),
            b"\0{\"id\": \x03,\"a\":{\"b\":[\x01,\x01,\x01],\"n\":\x01},\"ip\":\x06,\"c\":\x01}"
        );
    }

    #[test]
    fn another_spelling_stays_and_what_follows_is_found_again() {
        let original = br#"{"a":"\u0078/","b":"y","d":"z","e":2}"#;
        let details = r#"{"a":"x/","b":"y","c":"gone","d":"z","e":2}"#;
        assert_eq!(
            column(original, details, [""; FIELDS]),
            b"\0{\"a\":\"\\u0078/\",\"b\":\x02\x01,\"d\":\x02\x01,\"e\":\x01}"
        );
    }

    #[test]
    fn what_is_no_json_stays_whole() {
        for original in [
            &b""[..],
            b"\0",
            b"\0\0x",
            b"\x01\"x\"",
            b"no \x02 text",
            b"\"open",
            b"x\\",
        ] {
            column(original, r#"{"a":"x"}"#, ["x"; FIELDS]);
        }
    }

    #[test]
    fn a_hole_that_the_row_can_not_fill_is_seen() {
        let flat = flatten(r#"{"a":1}"#).unwrap();
        for column in [&b"\0\x01\x01"[..], b"\0\x07", b"\0\x08", b"\0x\0"] {
            assert_eq!(beside(&flat, [""; FIELDS]).fill(column), None, "{column:?}");
        }
    }

    proptest! {
        #[test]
        fn every_original_comes_back(
            original in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                r#"[{}\[\],:a1 "\\]{0,40}"#.prop_map(String::into_bytes),
            ],
            leaves in prop::collection::vec("[a1\"\\\\]{0,3}", 0..6),
            fields in prop::array::uniform4("[a1\"\\\\]{0,2}"),
        ) {
            let details = serde_json::to_string(&leaves.iter().enumerate().collect::<std::collections::BTreeMap<_, _>>()).unwrap();
            column(&original, &details, [&fields[0], &fields[1], &fields[2], &fields[3]]);
        }

        #[test]
        fn no_column_panics(column in prop::collection::vec(0..12u8, 0..12)) {
            let flat = flatten(r#"{"a":1,"b":"x"}"#).unwrap();
            let _ = beside(&flat, ["f", "", "", ""]).fill(&[&[HOLLOW], &column[..]].concat());
        }
    }
}
