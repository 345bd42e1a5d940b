//! The walk itself: JSON's grammar, byte by byte, and the limits.

use xxhash_rust::xxh3::xxh3_64;

use super::scan::{Fault, FaultKind, Limits, Value};
use super::text::{Span, Text};

/// The most faults that are collected: each costs its sender's reader a line, and us a search for its pointer.
const FAULTS_MAX: usize = 32;

/// A walk over JSON text, checking all of it on its way.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    limits: Limits,
    depth: usize,
    keys: usize,
    /// Bytes of the keys that lead to where it is.
    path: usize,
    /// Bytes of the paths of all keys and elements so far.
    paths: usize,
    /// Hashes of the keys of all open objects, innermost last.
    names: Vec<u64>,
    /// Blanks or escapes were met: the text is not in its compact form.
    untidy: bool,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str, limits: Limits) -> Self {
        Self {
            text,
            at: 0,
            limits,
            depth: 0,
            keys: 0,
            path: 0,
            paths: 0,
            names: Vec::new(),
            untidy: false,
            faults: Vec::new(),
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self, kind: FaultKind) -> Fault {
        Fault { at: self.at, kind }
    }

    /// Collects a fault that leaves the rest readable.
    fn note(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    pub(super) fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
            self.untidy = true;
        }
    }

    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault(FaultKind::Syntax("expected nothing after the value"))),
        }
    }

    pub(super) fn value(&mut self) -> Result<Value<'a>, Fault> {
        let outside = std::mem::replace(&mut self.untidy, false);
        let start = self.at;
        let value = match self.peek() {
            Some(b'"') => Value::Text(self.string()?),
            Some(b'{') => {
                self.object(|scan, _| scan.pass())?;
                Value::Object(Span::new(&self.text[start..self.at], !self.untidy))
            }
            Some(b'[') => {
                self.array(Self::pass)?;
                Value::Array(Span::new(&self.text[start..self.at], !self.untidy))
            }
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            _ => return Err(self.fault(FaultKind::Syntax("expected a value"))),
        };
        self.untidy |= outside;
        Ok(value)
    }

    /// Walks over a value without handing it out.
    fn pass(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(|scan, _| scan.pass()),
            Some(b'[') => self.array(Self::pass),
            _ => self.value().map(drop),
        }
    }

    fn open(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.fault(FaultKind::TooDeep));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    pub(super) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, Text<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open()?;
        let base = self.names.len();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.fault(FaultKind::Syntax("expected a key in double quotes")));
            }
            let key = self.string()?;
            self.count(key, base)?;
            let above = self.path;
            self.path += key.raw().len() + 1;
            self.spread()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.fault(FaultKind::Syntax("expected `:`")));
            }
            self.at += 1;
            self.space();
            each(self, key)?;
            self.path = above;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.fault(FaultKind::Syntax("expected `,` or `}`"))),
            }
            self.space();
        }
        self.at += 1;
        self.depth -= 1;
        self.names.truncate(base);
        Ok(())
    }

    pub(super) fn array(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.peek() != Some(b'[') {
            return Err(self.fault(FaultKind::Syntax("expected `[`")));
        }
        self.open()?;
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            self.spread()?;
            each(self)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.fault(FaultKind::Syntax("expected `,` or `]`"))),
            }
            self.space();
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// One more stands at the present path.
    fn spread(&mut self) -> Result<(), Fault> {
        self.paths = self.paths.saturating_add(self.path);
        match self.paths > self.limits.paths {
            true => Err(self.fault(FaultKind::TooSpread)),
            false => Ok(()),
        }
    }

    fn count(&mut self, key: Text<'a>, base: usize) -> Result<(), Fault> {
        self.keys += 1;
        if self.keys > self.limits.keys {
            return Err(self.fault(FaultKind::TooManyKeys));
        }
        if !self.limits.unique {
            return Ok(());
        }
        let name = xxh3_64(key.decode().as_bytes());
        if self.names[base..].contains(&name) {
            self.note(self.fault(FaultKind::Twice));
        }
        self.names.push(name);
        Ok(())
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>, Fault> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.fault(FaultKind::Syntax("expected `true`, `false` or `null`")))
        }
    }

    fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            Err(self.fault(FaultKind::Syntax("expected a digit")))
        } else {
            Ok(())
        }
    }

    fn string(&mut self) -> Result<Text<'a>, Fault> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0x20..) => self.at += 1,
                Some(_) => {
                    return Err(self.fault(FaultKind::Syntax(
                        "a control character in a string must be escaped",
                    )));
                }
                None => return Err(self.fault(FaultKind::Syntax("the string does not end"))),
            }
        }
        self.untidy |= escaped;
        let text = Text::new(&self.text[start..self.at], escaped);
        self.at += 1;
        Ok(text)
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => self.unicode_escape(),
            _ => Err(self.fault(FaultKind::Syntax("no such escape in a string"))),
        }
    }

    fn unicode_escape(&mut self) -> Result<(), Fault> {
        let unit = self.unit(self.at)?;
        let here = self.at;
        self.at += 6;
        match unit {
            0 => self.note(Fault {
                at: here,
                kind: FaultKind::Nul,
            }),
            0xD800..=0xDBFF => {
                let low = self.text.as_bytes()[self.at..]
                    .starts_with(b"\\u")
                    .then(|| self.unit(self.at))
                    .transpose()?;
                if matches!(low, Some(0xDC00..=0xDFFF)) {
                    self.at += 6;
                } else {
                    self.note(Fault {
                        at: here,
                        kind: FaultKind::Surrogate,
                    });
                }
            }
            0xDC00..=0xDFFF => self.note(Fault {
                at: here,
                kind: FaultKind::Surrogate,
            }),
            _ => {}
        }
        Ok(())
    }

    /// The number in the `\uXXXX` that begins at `at`.
    fn unit(&self, at: usize) -> Result<u32, Fault> {
        let hex = self
            .text
            .as_bytes()
            .get(at + 2..at + 6)
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        hex.and_then(|hex| u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())
            .ok_or(Fault {
                at,
                kind: FaultKind::Syntax("expected four hex digits after `\\u`"),
            })
    }
}
