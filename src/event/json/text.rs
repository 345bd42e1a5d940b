//! Slices of checked JSON: strings with their escapes, and whole values that can be written compactly.

use std::borrow::Cow;

/// The inside of a JSON string, its escapes as written.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// A slice between two quotes; `escaped` says whether it holds a backslash.
    pub fn new(raw: &'a str, escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// A text that needs no escapes, such as a header's value.
    pub fn plain(raw: &'a str) -> Self {
        Self { raw, escaped: false }
    }

    /// The characters that it stands for. Half a surrogate pair reads as U+FFFD.
    pub fn decode(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut out = String::with_capacity(self.raw.len());
        decode_into(self.raw, &mut out);
        Cow::Owned(out)
    }

    /// The slice itself, escapes as written.
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// Whether it stands for no characters.
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
}

/// The text of an object or an array.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    text: &'a str,
    tidy: bool,
}

impl<'a> Span<'a> {
    /// A slice of checked JSON; `tidy` says that it holds neither blanks nor escapes.
    pub fn new(text: &'a str, tidy: bool) -> Self {
        Self { text, tidy }
    }

    /// The text as it came.
    pub fn text(self) -> &'a str {
        self.text
    }

    /// Adds the compact form: no blanks, no escape that need not be, everything else as written.
    pub fn write_compact(self, out: &mut String) {
        if self.tidy {
            out.push_str(self.text)
        } else {
            compact_into(self.text, out)
        }
    }
}

impl super::Value<'_> {
    /// Adds the compact form.
    pub fn write_compact(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => quote_into(&text.decode(), out),
            Self::Object(span) | Self::Array(span) => span.write_compact(out),
        }
    }

    /// What it is, as a sentence about it says: "a number".
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Object(_) => "an object",
            Self::Array(_) => "an array",
        }
    }
}

fn compact_into(text: &str, out: &mut String) {
    out.reserve(text.len());
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        match bytes[i] {
            b' ' | b'\n' | b'\r' | b'\t' => i += 1,
            b'"' => {
                let mut escaped = false;
                i += 1;
                while i < bytes.len() && bytes[i] != b'"' {
                    escaped |= bytes[i] == b'\\';
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
                i = (i + 1).min(bytes.len());
                if escaped {
                    quote_into(&Text::new(&text[start + 1..i - 1], true).decode(), out);
                } else {
                    out.push_str(&text[start..i]);
                }
            }
            _ => {
                while i < bytes.len() && !matches!(bytes[i], b' ' | b'\n' | b'\r' | b'\t' | b'"') {
                    i += 1;
                }
                out.push_str(&text[start..i]);
            }
        }
    }
}

/// Adds `text` as a JSON string with no more escapes than JSON asks for.
pub fn quote_into(text: &str, out: &mut String) {
    out.push('"');
    let mut from = 0;
    for (i, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0C => "\\f",
            0x00..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[from..i]);
        from = i + 1;
        if short.is_empty() {
            out.push_str("\\u00");
            out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            out.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[from..]);
    out.push('"');
}

fn decode_into(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        let (c, used) = match escape.as_bytes().get(1) {
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'u') => unicode(escape),
            Some(&plain) => (char::from(plain), 2),
            None => ('\u{fffd}', 1),
        };
        out.push(c);
        rest = escape.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// The character of a `\uXXXX`, or of a pair of them, at the beginning of `escape`, and its length in bytes.
fn unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| {
        escape
            .get(at + 2..at + 6)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
    };
    match unit(0) {
        Some(high @ 0xD800..=0xDBFF) => match unit(6) {
            Some(low @ 0xDC00..=0xDFFF) if escape[6..].starts_with("\\u") => {
                let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                (char::from_u32(code).unwrap_or('\u{fffd}'), 12)
            }
            _ => ('\u{fffd}', 6),
        },
        Some(code) => (char::from_u32(code).unwrap_or('\u{fffd}'), 6),
        None => ('\u{fffd}', 6),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compact(text: &str) -> String {
        let mut out = String::new();
        compact_into(text, &mut out);
        out
    }

    #[test]
    fn numbers_stay_as_written_and_needless_escapes_go() {
        assert_eq!(
            compact(
                "{ \"a\" : [1.0, 1, 123456789012345678901234567890, -0 , 1E+2],\n\"\\u00fc\\/\" : \"\\ud83d\\ude00\\n\\\"\" }"
            ),
            "{\"a\":[1.0,1,123456789012345678901234567890,-0,1E+2],\"ü/\":\"😀\\n\\\"\"}"
        );
    }

    proptest! {
        #[test]
        fn a_quoted_text_reads_back(text in any::<String>()) {
            let mut quoted = String::new();
            quote_into(&text, &mut quoted);
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.clone());
            let inner = &quoted[1..quoted.len() - 1];
            let decoded = Text::new(inner, inner.contains('\\')).decode();
            prop_assert_eq!(decoded.as_ref(), text.as_str());
        }

        #[test]
        fn compact_keeps_the_value(text in any::<String>(), number in any::<i64>()) {
            let value = serde_json::json!({ "k": [text, number, { "deep": text }], "n": null });
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(compact(&pretty), serde_json::to_string(&value).unwrap());
        }
    }
}
