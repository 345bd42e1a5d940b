//! One pass over JSON text: is it JSON, is it within the limits, and where does each member stand?
//!
//! The scanner builds no tree. It walks the text once, checks all of it, and hands out the members of the outermost
//! object as slices; what is inside a member stays text until somebody wants it. Faults that leave the rest readable
//! (a NUL, half a surrogate pair, a key that stands twice) are collected, so that one answer can name them all.

use super::text::{Span, Text};
use super::walk::Scan;

/// How much JSON an event may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Keys in all objects together.
    pub keys: usize,
    /// Bytes of the paths of all keys and elements: a table holds each leaf under its whole path, so that a long name over
    /// a long list takes as much as both multiplied.
    pub paths: usize,
    /// Objects and arrays inside one another, the outermost included.
    pub depth: usize,
    /// Whether a key may stand only once in its object.
    pub unique: bool,
}

impl Limits {
    /// What a client may send.
    pub const EVENT: Self = Self {
        keys: 1_000,
        paths: 8 << 20,
        depth: 32,
        unique: true,
    };
    /// What an outside record may hold, which was bounded by its size; and what was checked before.
    pub const STORED: Self = Self {
        keys: usize::MAX,
        paths: usize::MAX,
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
    /// Longer paths than [`Limits::paths`].
    TooSpread,
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pointer::pointer_at;
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
    fn a_long_name_stands_over_no_long_list() {
        let named = |name: usize, elements: usize| {
            let list = vec!["1"; elements].join(",");
            format!(r#"{{"details":{{"{}":[{list}]}}}}"#, "k".repeat(name))
        };
        for (name, elements) in [(20, 120_000), (1_000, 8_000), (100_000, 80)] {
            assert!(outline(&named(name, elements), Limits::EVENT).is_ok(), "{name}");
        }
        for (name, elements) in [(1_000, 9_000), (100_000, 70_000)] {
            let refused = outline(&named(name, elements), Limits::EVENT).unwrap_err();
            assert_eq!(refused.kind, FaultKind::TooSpread, "{name}");
        }
        let nested = format!(
            r#"{{"{}":[{}]}}"#,
            "k".repeat(100_000),
            vec![r#"{"a":1}"#; 50].join(",")
        );
        assert_eq!(
            outline(&nested, Limits::EVENT).unwrap_err().kind,
            FaultKind::TooSpread
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
