//! Open-ended JSON as columns: an object becomes a list of (path, value), one entry a leaf, and comes back as it was.
//!
//! A path is `a.b[0].c`; the characters `\ . [ ] =` inside a key are written with a backslash before them. A value is
//! the text of a string, or the JSON text of anything else that has no leaves below it: numbers as they were written,
//! `true`, `false`, `null`, `[]`, `{}`. Beside the list stands one letter a leaf, `s` for a string and `j` for other
//! JSON, so that `"5"` and `5` stay apart although both are found under `5`.
//!
//! Search sees the same leaves as `path=value`, with the array indexes left out ([`item`]).

use std::borrow::Cow;

/// Deepest nesting that is taken apart. Events are held to 32 levels where they come in; this one only keeps the
/// recursion finite for text that came another way.
const MAX_DEPTH: usize = 128;

/// The letters of an object without any leaf, where "no object at all" has no letters.
const EMPTY_OBJECT: &str = "-";

/// The leaves of one JSON object, in document order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flat<'a> {
    /// (path, value) pairs; borrowed from the text wherever it holds them as they are.
    pub entries: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// One letter an entry: `s` or `j`; `-` for `{}`.
    pub types: String,
}

/// Takes a JSON object in compact text apart. `None` when the text is no JSON object without spaces between its
/// tokens, or is nested more than 128 levels deep.
pub fn flatten(json: &str) -> Option<Flat<'_>> {
    let mut scanner = Scanner {
        text: json,
        at: 0,
        path: String::new(),
        flat: Flat::default(),
    };
    scanner.flat.entries.reserve(8);
    scanner.expect(b'{')?;
    scanner.object(0)?;
    if scanner.at != json.len() {
        return None;
    }
    if scanner.flat.entries.is_empty() {
        scanner.flat.types.push_str(EMPTY_OBJECT);
    }
    Some(scanner.flat)
}

/// Puts leaves together again: the compact text of the object, or `None` where there was none.
pub fn rebuild<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>, types: &str) -> Option<String> {
    let mut writer = Writer::default();
    let mut letters = types.bytes();
    for (path, value) in entries {
        writer.leaf(segments(path), value, letters.next() == Some(b'j'));
    }
    match types {
        "" if writer.open.is_empty() => None,
        _ => Some(writer.finish()),
    }
}

/// What search calls a leaf: its path without indexes, `=`, its value. The same text that the column `detail_items`
/// computes in SQL.
pub fn item(path: &str, value: &str) -> String {
    format!("{}={value}", without_indexes(path))
}

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

/// Walks the text once, left to right, with the path of where it is.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    path: String,
    flat: Flat<'a>,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// The members of an object whose brace was read.
    fn object(&mut self, depth: usize) -> Option<()> {
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            let base = self.path.len();
            if depth > 0 {
                self.path.push('.');
            }
            self.path.push_str(&escape_key(&key));
            // Most leaves stand at the top under a plain name: those borrow it.
            let whole = match key {
                Cow::Borrowed(key) if depth == 0 && self.path.len() == key.len() => Some(key),
                _ => None,
            };
            self.value(depth + 1, whole)?;
            self.path.truncate(base);
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// The elements of an array whose bracket was read; never an empty one.
    fn array(&mut self, depth: usize) -> Option<()> {
        let base = self.path.len();
        let mut index = 0usize;
        loop {
            use std::fmt::Write;
            write!(self.path, "[{index}]").ok()?;
            self.value(depth + 1, None)?;
            self.path.truncate(base);
            index += 1;
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    fn value(&mut self, depth: usize, whole: Option<&'a str>) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        match rest {
            [b'"', ..] => {
                let text = self.string()?;
                self.leaf(whole, text, 's');
            }
            [b'{', b'}', ..] | [b'[', b']', ..] => {
                let text = self.text.get(self.at..self.at + 2)?;
                self.at += 2;
                self.leaf(whole, Cow::Borrowed(text), 'j');
            }
            [b'{' | b'[', ..] if depth > MAX_DEPTH => return None,
            [b'{', ..] => {
                self.at += 1;
                self.object(depth)?;
            }
            [b'[', ..] => {
                self.at += 1;
                self.array(depth)?;
            }
            _ => {
                let length = rest
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
                    .count();
                let text = self
                    .text
                    .get(self.at..self.at + length)
                    .filter(|text| !text.is_empty())?;
                self.at += length;
                self.leaf(whole, Cow::Borrowed(text), 'j');
            }
        }
        Some(())
    }

    fn leaf(&mut self, whole: Option<&'a str>, value: Cow<'a, str>, letter: char) {
        let path = whole.map_or_else(|| Cow::Owned(self.path.clone()), Cow::Borrowed);
        self.flat.entries.push((path, value));
        self.flat.types.push(letter);
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// A string with its quotes; borrowed when nothing in it is escaped.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                }
                _ => {}
            }
        }
        if escaped {
            return serde_json::from_str(self.text.get(start..self.at)?)
                .ok()
                .map(Cow::Owned);
        }
        self.text.get(start + 1..self.at - 1).map(Cow::Borrowed)
    }
}

/// One step of a path: a key as it is escaped there, or an index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment<'a> {
    Key(&'a str),
    Index(&'a str),
}

impl Segment<'_> {
    fn is_key(self) -> bool {
        matches!(self, Self::Key(_))
    }
}

/// Splits a path. It begins with a key always, an empty one where the text begins with `[` or `.`.
fn segments(path: &str) -> Vec<Segment<'_>> {
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

/// Writes leaf after leaf, opening and closing what lies between two of them.
#[derive(Default)]
struct Writer<'a> {
    text: String,
    /// The path of the last leaf; level `i` says what kind of container is open there.
    open: Vec<Segment<'a>>,
}

impl<'a> Writer<'a> {
    fn leaf(&mut self, path: Vec<Segment<'a>>, value: &str, json: bool) {
        let shared = self.shared(&path);
        if self.open.is_empty() {
            self.text.push('{');
        } else {
            self.close(shared + 1);
            self.text.push(',');
        }
        for (level, segment) in path.iter().enumerate().skip(shared) {
            if level > shared {
                self.text.push(if segment.is_key() { '{' } else { '[' });
            }
            if let Segment::Key(key) = segment {
                push_string(&mut self.text, &unescape_key(key));
                self.text.push(':');
            }
        }
        if json {
            self.text.push_str(value);
        } else {
            push_string(&mut self.text, value);
        }
        self.open = path;
    }

    /// How many steps lead to the innermost container that holds both the last leaf and this one.
    fn shared(&self, path: &[Segment<'a>]) -> usize {
        let most = self.open.len().min(path.len()).saturating_sub(1);
        let equal = self
            .open
            .iter()
            .zip(path)
            .take(most)
            .take_while(|(a, b)| a == b)
            .count();
        match (self.open.get(equal), path.get(equal)) {
            (Some(a), Some(b)) if a.is_key() != b.is_key() => equal.saturating_sub(1),
            _ => equal,
        }
    }

    fn close(&mut self, level: usize) {
        for segment in self.open.iter().skip(level).rev() {
            self.text.push(if segment.is_key() { '}' } else { ']' });
        }
    }

    fn finish(mut self) -> String {
        if self.open.is_empty() {
            self.text.push('{');
            self.text.push('}');
        }
        self.close(0);
        self.text
    }
}

fn unescape_key(key: &str) -> Cow<'_, str> {
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

/// Writes a JSON string as serde_json would.
pub(super) fn push_string(text: &mut String, value: &str) {
    if value.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        // Serialising a str into memory has no way to fail.
        text.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn there_and_back(json: &str) -> Option<String> {
        let flat = flatten(json).expect("valid");
        rebuild(
            flat.entries
                .iter()
                .map(|(path, value)| (path.as_ref(), value.as_ref())),
            &flat.types,
        )
    }

    fn paths(json: &str) -> Vec<String> {
        flatten(json)
            .unwrap()
            .entries
            .iter()
            .map(|(path, value)| format!("{path}={value}"))
            .collect()
    }

    #[test]
    fn leaves_are_named_by_their_path() {
        let json = r#"{"a":{"b":[{"c":1.50},"x"],"d":{}},"k.e=y":null,"":[[],[true]]}"#;
        assert_eq!(
            paths(json),
            [
                "a.b[0].c=1.50",
                "a.b[1]=x",
                "a.d={}",
                r"k\.e\=y=null",
                "[0]=[]",
                "[1][0]=true"
            ]
        );
        assert_eq!(flatten(json).unwrap().types, "jsjjjj");
        assert_eq!(there_and_back(json).as_deref(), Some(json));
    }

    #[test]
    fn nothing_and_the_empty_object_stay_apart() {
        assert_eq!(there_and_back("{}").as_deref(), Some("{}"));
        assert_eq!(rebuild([], ""), None);
    }

    #[test]
    fn numbers_stay_as_they_were_written() {
        let json = r#"{"n":123456789012345678901234567890,"f":1.10,"e":-1E+400}"#;
        assert_eq!(there_and_back(json).as_deref(), Some(json));
    }

    #[test]
    fn text_that_is_no_object_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1}x",
            "{\"a\":[1}",
            "{\"\\",
            "{\"a\":\"\\",
        ] {
            assert_eq!(flatten(text), None, "{text}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(flatten(&deep), None);
    }

    #[test]
    fn search_leaves_indexes_out() {
        assert_eq!(item("a[0].b[1][2]", "x"), "a.b=x");
        assert_eq!(item(r"a\[0\].b", "x"), r"a\[0\].b=x");
        assert_eq!(item("[0].b", "x"), ".b=x");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let key = prop_oneof!["[a-c]{0,2}", r"[.\[\]=\\a0]{0,4}", any::<String>()];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let tree = leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key.clone(), inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        });
        prop::collection::vec((any::<String>(), tree), 0..5)
            .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn every_object_comes_back_as_it_was(value in any_json()) {
            let json = value.to_string();
            prop_assert_eq!(there_and_back(&json), Some(json));
        }

        #[test]
        fn nothing_that_is_read_panics(text in any::<String>(), path in any::<String>(), types in "[sj-]{0,3}") {
            let _ = flatten(&text);
            let _ = rebuild([(path.as_str(), text.as_str()), (path.as_str(), "1")], &types);
            let _ = without_indexes(&path);
        }
    }
}
