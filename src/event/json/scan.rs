//! One pass over JSON text: is it JSON, is it within the limits, and where does each member stand?
//!
//! The scanner builds no tree. It walks the text once, checks all of it, and hands out the members of the outermost
//! object as slices; what is inside a member stays text until somebody wants it. Faults that leave the rest readable
//! (a NUL, half a surrogate pair, a key that stands twice) are collected, so that one answer can name them all.

use xxhash_rust::xxh3::xxh3_64;

use super::text::{Span, Text};

/// How much JSON an event may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Keys in all objects together.
    pub keys: usize,
    /// Objects and arrays inside one another, the outermost included.
    pub depth: usize,
    /// Whether a key may stand only once in its object.
    pub unique: bool,
}

impl Limits {
    /// What a client may send.
    pub const EVENT: Self = Self {
        keys: 1_000,
        depth: 32,
        unique: true,
    };
    /// What an outside record may hold, which was bounded by its size; and what was checked before.
    pub const STORED: Self = Self {
        keys: usize::MAX,
        depth: 128,
        unique: false,
    };
}

/// A JSON value, its text checked but not yet taken apart.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as written.
    Number(&'a str),
    /// A string, its escapes as written.
    Text(Text<'a>),
    /// An object, braces included.
    Object(Span<'a>),
    /// An array, brackets included.
    Array(Span<'a>),
}

/// One member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its key.
    pub key: Text<'a>,
    /// Its value.
    pub value: Value<'a>,
}

/// What is wrong, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Offset of the byte.
    pub at: usize,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What can be wrong with JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Not JSON: what was expected.
    Syntax(&'static str),
    /// Nested deeper than [`Limits::depth`].
    TooDeep,
    /// More keys than [`Limits::keys`].
    TooManyKeys,
    /// `\u0000`, which no store of ours can keep.
    Nul,
    /// Half of a surrogate pair, which is no character.
    Surrogate,
    /// A key that its object has already.
    Twice,
}

/// Checks a whole text and gives the members of its outermost object, or `None` when it is no object. The faults
/// are those that did not stop the walk.
pub fn outline<'a>(text: &'a str, limits: Limits) -> Result<(Option<Vec<Member<'a>>>, Vec<Fault>), Fault> {
    let mut scan = Scan::new(text, limits);
    scan.space();
    let members = if scan.peek() == Some(b'{') {
        let mut members = Vec::with_capacity(24);
        scan.object(|scan, key| {
            let value = scan.value()?;
            members.push(Member { key, value });
            Ok(())
        })?;
        Some(members)
    } else {
        scan.value()?;
        None
    };
    scan.end()?;
    Ok((members, scan.faults))
}

/// Checks a whole text and gives its value.
pub fn whole<'a>(text: &'a str, limits: Limits) -> Result<(Value<'a>, Vec<Fault>), Fault> {
    let mut scan = Scan::new(text, limits);
    scan.space();
    let value = scan.value()?;
    scan.end()?;
    Ok((value, scan.faults))
}

/// The members of an object that was checked before; empty when the span is no object.
pub fn members<'a>(span: Span<'a>) -> Vec<Member<'a>> {
    let mut members = Vec::new();
    each_member(span, |member| members.push(member));
    members
}

/// Visits the members of an object that was checked before.
pub fn each_member<'a>(span: Span<'a>, mut visit: impl FnMut(Member<'a>)) {
    let mut scan = Scan::new(span.text(), Limits::STORED);
    if scan.peek() == Some(b'{') {
        // A fault can't be: the span was cut out of checked text.
        let _ = scan.object(|scan, key| {
            let value = scan.value()?;
            visit(Member { key, value });
            Ok(())
        });
    }
}

/// The elements of an array that was checked before; empty when the span is no array.
pub fn elements<'a>(span: Span<'a>) -> Vec<Value<'a>> {
    let mut scan = Scan::new(span.text(), Limits::STORED);
    let mut elements = Vec::new();
    let _ = scan.array(|scan| {
        elements.push(scan.value()?);
        Ok(())
    });
    elements
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    limits: Limits,
    depth: usize,
    keys: usize,
    /// Hashes of the keys of all open objects, innermost last.
    names: Vec<u64>,
    /// Blanks or escapes were met: the text is not in its compact form.
    untidy: bool,
    faults: Vec<Fault>,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str, limits: Limits) -> Self {
        Self {
            text,
            at: 0,
            limits,
            depth: 0,
            keys: 0,
            names: Vec::new(),
            untidy: false,
            faults: Vec::new(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self, kind: FaultKind) -> Fault {
        Fault { at: self.at, kind }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
            self.untidy = true;
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault(FaultKind::Syntax("expected nothing after the value"))),
        }
    }

    fn value(&mut self) -> Result<Value<'a>, Fault> {
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

    fn object(
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
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.fault(FaultKind::Syntax("expected `:`")));
            }
            self.at += 1;
            self.space();
            each(self, key)?;
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

    fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
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
            self.faults.push(self.fault(FaultKind::Twice));
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
            0 => self.faults.push(Fault {
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
                    self.faults.push(Fault {
                        at: here,
                        kind: FaultKind::Surrogate,
                    });
                }
            }
            0xDC00..=0xDFFF => self.faults.push(Fault {
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

/// The JSON pointer of the value in which byte `at` stands, for text that is JSON up to there.
pub fn pointer_at(text: &str, at: usize) -> String {
    enum Step<'a> {
        Key(Option<Text<'a>>, bool),
        Index(usize),
    }
    let bytes = text.as_bytes();
    let mut steps: Vec<Step> = Vec::new();
    let mut i = 0;
    while i < at.min(bytes.len()) {
        match bytes[i] {
            b'{' => steps.push(Step::Key(None, true)),
            b'[' => steps.push(Step::Index(0)),
            b'}' | b']' => drop(steps.pop()),
            b':' => {
                if let Some(Step::Key(_, naming)) = steps.last_mut() {
                    *naming = false;
                }
            }
            b',' => match steps.last_mut() {
                Some(Step::Key(key, naming)) => (*key, *naming) = (None, true),
                Some(Step::Index(index)) => *index += 1,
                None => {}
            },
            b'"' => {
                let start = i + 1;
                i = start;
                while i < bytes.len() && bytes[i] != b'"' {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
                if let (Some(Step::Key(key, true)), true) = (steps.last_mut(), i < at)
                    && let Some(name) = text.get(start..i)
                {
                    *key = Some(Text::new(name, name.contains('\\')));
                }
            }
            _ => {}
        }
        i += 1;
    }
    let mut pointer = String::new();
    for step in &steps {
        match step {
            Step::Key(Some(key), _) => push_step(&mut pointer, &key.decode()),
            Step::Key(None, _) => {}
            Step::Index(index) => push_step(&mut pointer, &index.to_string()),
        }
    }
    pointer
}

/// Adds one step to a JSON pointer (RFC 6901).
pub fn push_step(pointer: &mut String, step: &str) {
    pointer.push('/');
    for c in step.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(c),
        }
    }
}

/// Line and column of a byte, both from 1; the column counts characters.
pub fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    (
        line,
        String::from_utf8_lossy(&before[line_start..]).chars().count() + 1,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faults(text: &str) -> Vec<(String, FaultKind)> {
        let (_, faults) = outline(text, Limits::EVENT).unwrap();
        faults
            .into_iter()
            .map(|fault| (pointer_at(text, fault.at), fault.kind))
            .collect()
    }

    #[test]
    fn faults_that_leave_the_rest_readable_are_all_named() {
        let text =
            r#"{"a": {"b/c": ["x", "\u0000"]}, "d": "\ud800!", "e": 1, "\u0065": 2, "f": {"g": 1, "g": 2}}"#;
        assert_eq!(
            faults(text),
            [
                ("/a/b~1c/1".into(), FaultKind::Nul),
                ("/d".into(), FaultKind::Surrogate),
                ("/e".into(), FaultKind::Twice),
                ("/f/g".into(), FaultKind::Twice),
            ]
        );
        assert_eq!(
            faults(r#"{"pair": "\ud83d\ude00", "same": {"same": {"same": 1}}}"#),
            []
        );
    }

    #[test]
    fn the_same_key_in_two_objects_is_no_fault() {
        assert_eq!(
            faults(r#"{"a": [{"x": 1}, {"x": 2}], "b": {"x": {"x": 3}}, "x": 4}"#),
            []
        );
    }

    #[test]
    fn depth_counts_the_outermost_and_keys_count_everywhere() {
        let nested =
            |depth: usize| format!("{}{}", r#"{"a":"#.repeat(depth - 1) + "{}", "}".repeat(depth - 1));
        assert!(outline(&nested(32), Limits::EVENT).is_ok());
        assert_eq!(
            outline(&nested(33), Limits::EVENT).unwrap_err().kind,
            FaultKind::TooDeep
        );
        let wide = |keys: usize| {
            let members: Vec<_> = (0..keys - 1).map(|i| format!(r#""k{i}":1"#)).collect();
            format!(r#"{{"details":{{{}}}}}"#, members.join(","))
        };
        assert!(outline(&wide(1_000), Limits::EVENT).is_ok());
        assert_eq!(
            outline(&wide(1_001), Limits::EVENT).unwrap_err().kind,
            FaultKind::TooManyKeys
        );
    }

    #[test]
    fn syntax_is_judged_where_it_breaks() {
        for (text, at) in [
            ("{", 1),
            (r#"{"a":tru}"#, 5),
            (r#"{"a":01}"#, 6),
            ("{\"a\":\"\n\"}", 6),
            ("[1,]", 3),
            ("{} x", 3),
        ] {
            assert_eq!(
                outline(text, Limits::EVENT).map(drop).unwrap_err().at,
                at,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_what_is_json(text in r#"[\[\]{},:"\\u0-9a-f.eE+\- \nntrl]{0,24}"#) {
            let ours = whole(&text, Limits { unique: false, ..Limits::EVENT });
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // What serde_json refuses and we don't: lone surrogates, which we report as faults; and numbers beyond f64.
            match (&ours, &theirs) {
                (Err(_), Ok(_)) => prop_assert!(false, "refused: {text}"),
                (Ok((_, faults)), Err(error)) => {
                    prop_assert!(!faults.is_empty() || error.to_string().contains("out of range"), "taken: {text}: {error}");
                }
                _ => {}
            }
        }
    }
}
