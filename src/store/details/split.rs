//! Taking an object apart: one walk over its text, left to right.

use std::borrow::Cow;

use super::Flat;
use super::path::escape_key;

/// Deepest nesting that is taken apart. Events are held to 32 levels where they come in; this one only keeps the
/// recursion finite for text that came another way.
const MAX_DEPTH: usize = 128;

/// The leaves of an object in compact text; `None` where the text is none.
pub(super) fn leaves(json: &str) -> Option<Flat<'_>> {
    let mut scanner = Scanner {
        text: json,
        at: 0,
        path: String::new(),
        flat: Flat::default(),
    };
    scanner.flat.entries.reserve(8);
    scanner.expect(b'{')?;
    scanner.object(0)?;
    (scanner.at == json.len()).then_some(scanner.flat)
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
