//! The path of a leaf: keys between dots, indexes in brackets.

use std::borrow::Cow;

/// A path without its array indexes: `a[0].b` is `a.b`, so that a search need not know the position.
pub fn without_indexes(path: &str) -> Cow<'_, str> {
    if !path.contains('[') {
        return Cow::Borrowed(path);
    }
    let mut plain = String::with_capacity(path.len());
    let mut first = true;
    for segment in segments(path) {
        if let Segment::Key(key) = segment {
            if !first {
                plain.push('.');
            }
            plain.push_str(key);
        }
        first = false;
    }
    Cow::Owned(plain)
}

/// A key as it stands in a path.
pub fn escape_key(key: &str) -> Cow<'_, str> {
    if !key.bytes().any(is_special) {
        return Cow::Borrowed(key);
    }
    let mut escaped = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if u8::try_from(c).is_ok_and(is_special) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    Cow::Owned(escaped)
}

const fn is_special(byte: u8) -> bool {
    matches!(byte, b'\\' | b'.' | b'[' | b']' | b'=')
}

/// The key that stands so in a path.
pub(super) fn unescape_key(key: &str) -> Cow<'_, str> {
    if !key.contains('\\') {
        return Cow::Borrowed(key);
    }
    let mut plain = String::with_capacity(key.len());
    let mut chars = key.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// One step of a path: a key as it is escaped there, or an index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    Key(&'a str),
    Index(&'a str),
}

impl Segment<'_> {
    pub(super) fn is_key(self) -> bool {
        matches!(self, Self::Key(_))
    }
}

/// Splits a path. It begins with a key always, an empty one where the text begins with `[` or `.`.
pub(super) fn segments(path: &str) -> Vec<Segment<'_>> {
    let bytes = path.as_bytes();
    let mut found = Vec::with_capacity(4);
    let mut at = 0;
    loop {
        let start = at;
        while at < bytes.len() && bytes[at] != b'.' && bytes[at] != b'[' {
            at += if bytes[at] == b'\\' { 2 } else { 1 };
        }
        at = at.min(bytes.len());
        found.push(Segment::Key(path.get(start..at).unwrap_or_default()));
        while at < bytes.len() && bytes[at] == b'[' {
            let end = bytes[at..]
                .iter()
                .position(|&b| b == b']')
                .map_or(bytes.len(), |length| at + length);
            found.push(Segment::Index(path.get(at + 1..end).unwrap_or_default()));
            at = (end + 1).min(bytes.len());
        }
        if at >= bytes.len() {
            return found;
        }
        if bytes[at] == b'.' {
            at += 1;
        }
    }
}
