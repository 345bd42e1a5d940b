//! Putting an object together again, leaf after leaf.

use super::path::{Segment, unescape_key};

/// Writes leaf after leaf, opening and closing what lies between two of them.
#[derive(Default)]
pub(super) struct Writer<'a> {
    text: String,
    /// The path of the last leaf; level `i` says what kind of container is open there.
    open: Vec<Segment<'a>>,
}

impl<'a> Writer<'a> {
    /// Nothing was written yet.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn leaf(&mut self, path: Vec<Segment<'a>>, value: &str, json: bool) {
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

    pub(super) fn finish(mut self) -> String {
        if self.open.is_empty() {
            self.text.push('{');
            self.text.push('}');
        }
        self.close(0);
        self.text
    }
}

/// Writes a JSON string as serde_json would.
pub(in crate::store) fn push_string(text: &mut String, value: &str) {
    if value.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        // Serialising a str into memory has no way to fail.
        text.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
}
