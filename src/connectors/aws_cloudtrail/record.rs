//! A record as CloudTrail wrote it, read by name.

use std::borrow::Cow;

use crate::event::json::scan::{self, Limits, Value};
use crate::event::json::text::quote_into;

/// The longest text that goes into a field; the rest is in `raw`.
pub const TEXT_MAX: usize = 1_024;

/// An object of the record, taken apart one level.
pub struct Record<'a> {
    text: &'a str,
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Record<'a> {
    /// Reads an object; `None` when the text is something else.
    pub fn read(text: &'a str) -> Option<Self> {
        let (members, _) = scan::outline(text, Limits::STORED).ok()?;
        let members = members?
            .into_iter()
            .map(|member| (member.key.decode(), member.value))
            .collect();
        Some(Self { text, members })
    }

    /// Its JSON text.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Its members, in their order.
    pub fn members(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        &self.members
    }

    /// A member; null counts as absent.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let value = self
            .members
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| *value);
        value.filter(|value| !matches!(value, Value::Null))
    }

    /// Whether a member is there.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A member that is a string and not empty, whole.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::Text(text) if !text.is_empty() => Some(text.decode().into_owned()),
            _ => None,
        }
    }

    /// A member that is a string, fit for a field.
    pub fn short(&self, key: &str) -> Option<String> {
        self.text(key).map(|text| fit(&text, TEXT_MAX))
    }

    /// A member that is `true` or `false`, also as a string.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(flag) => Some(flag),
            Value::Text(text) => text.decode().parse().ok(),
            _ => None,
        }
    }

    /// A member that is an object.
    pub fn object(&self, key: &str) -> Option<Record<'a>> {
        match self.get(key)? {
            Value::Object(span) => Self::read(span.text()),
            _ => None,
        }
    }

    /// The objects in a member that is an array of them.
    pub fn objects(&self, key: &str) -> Vec<Record<'a>> {
        let Some(Value::Array(span)) = self.get(key) else {
            return Vec::new();
        };
        let elements = scan::elements(span).into_iter();
        elements
            .filter_map(|element| match element {
                Value::Object(span) => Self::read(span.text()),
                _ => None,
            })
            .collect()
    }

    /// `eventVersion` as its two numbers: 1.10 is later than 1.9.
    pub fn version(&self) -> Option<(u32, u32)> {
        let text = self.text("eventVersion")?;
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    }

    /// The service of `eventSource`: `iam` of `iam.amazonaws.com`.
    pub fn service(&self) -> Option<String> {
        let source = self.text("eventSource")?;
        Some(
            source
                .strip_suffix(".amazonaws.com")
                .unwrap_or(&source)
                .to_owned(),
        )
    }

    /// The record with its keys in order at every level and no blanks: the same for the same record, whoever printed it.
    pub fn canonical(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        if let Ok((value, _)) = scan::whole(self.text, Limits::STORED) {
            write_canonical(&value, &mut out);
        }
        out
    }
}

fn write_canonical(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Object(span) => {
            let mut members: Vec<_> = scan::members(*span)
                .into_iter()
                .map(|member| (member.key.decode(), member.value))
                .collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            out.push('{');
            for (i, (key, value)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                quote_into(key, out);
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(span) => {
            out.push('[');
            for (i, element) in scan::elements(*span).iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(element, out);
            }
            out.push(']');
        }
        other => other.write_compact(out),
    }
}

/// Adds a value; `quoted`: an object or array as the string of its text.
pub fn write(value: &Value<'_>, quoted: bool, out: &mut String) {
    match value {
        Value::Object(span) | Value::Array(span) if quoted => quote_into(span.text(), out),
        Value::Text(text) => quote_into(&text.decode().replace('\0', "\u{fffd}"), out),
        other => other.write_compact(out),
    }
}

/// A text without NUL and with at most `max` bytes.
pub fn fit(text: &str, max: usize) -> String {
    let mut text = text.replace('\0', "\u{fffd}");
    if text.len() > max {
        let end = (0..=max)
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or_default();
        text.truncate(end);
    }
    text
}
