//! Taking a body with many events apart, without looking into them.
//!
//! Only the frame is read here: the brackets of an array, the lines of NDJSON. What is between them is handed out as
//! slices of the body, so one bad event is that item's problem and not its neighbours'.

use super::json::pointer::line_and_column;

/// The most events in one body that a client posts. Ten MiB hold fewer events of any sense.
pub const ITEMS_MAX: usize = 100_000;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchForm {
    /// By its content: an array, an object with `logs` or `events`, else one event a line.
    Posted,
    /// One event a line.
    Lines,
    /// As a file: like [`BatchForm::Posted`], also with `Records` (CloudTrail) or `Events` (LookupEvents), of any number,
    /// and with keys beside them.
    File,
}

/// Why a body can't be taken apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The frame is broken.
    #[error("not a batch: {expected}, at line {line}, column {column}")]
    Broken {
        /// What was expected.
        expected: &'static str,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// More events than one body may hold.
    #[error("more than {ITEMS_MAX} events in one body")]
    TooMany,
    /// The wrapping object has something else beside the list, which would be lost.
    #[error("the key `{0}` beside the list of events is not known")]
    Beside(String),
}

/// The items of a body, in order. Blank lines are no items.
pub fn split(body: &[u8], form: BatchForm) -> Result<Vec<&[u8]>, BatchError> {
    take_apart(body, form).map(|(items, _)| items)
}

/// The items of a file, as [`BatchForm::File`] says, and the key of the list that they stood in, where there was one.
pub fn split_file(body: &[u8]) -> Result<Apart<'_>, BatchError> {
    take_apart(body, BatchForm::File)
}

/// Items, and the key of the list that they stood in.
pub type Apart<'a> = (Vec<&'a [u8]>, Option<&'a [u8]>);

fn take_apart(body: &[u8], form: BatchForm) -> Result<Apart<'_>, BatchError> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let mut frame = Frame {
        body,
        at: 0,
        max: if form == BatchForm::File {
            usize::MAX
        } else {
            ITEMS_MAX
        },
    };
    frame.space();
    let items = match frame.peek() {
        Some(b'[') if form != BatchForm::Lines => frame.whole_array(),
        Some(b'{') if form != BatchForm::Lines => match frame.first_object(form)? {
            First::Wrapper(list) => return Ok((list.items, Some(list.key))),
            First::Only => Ok(vec![body.trim_ascii()]),
            First::OfMany => lines(body, frame.max),
        },
        _ => lines(body, frame.max),
    };
    Ok((items?, None))
}

/// The list of events in an object.
struct List<'a> {
    key: &'a [u8],
    items: Vec<&'a [u8]>,
}

/// What the object at the beginning of a body is.
enum First<'a> {
    /// It holds the list of events.
    Wrapper(List<'a>),
    /// It is the only event, perhaps over several lines.
    Only,
    /// It is the first event of several, or broken: its line will tell.
    OfMany,
}

fn lines(body: &[u8], max: usize) -> Result<Vec<&[u8]>, BatchError> {
    let lines = body
        .split(|&b| b == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty());
    let items: Vec<_> = lines.take(max.saturating_add(1)).collect();
    if items.len() > max {
        Err(BatchError::TooMany)
    } else {
        Ok(items)
    }
}

struct Frame<'a> {
    body: &'a [u8],
    at: usize,
    max: usize,
}

impl<'a> Frame<'a> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn broken(&self, expected: &'static str) -> BatchError {
        let (line, column) = line_and_column(self.body, self.at);
        BatchError::Broken {
            expected,
            line,
            column,
        }
    }

    fn whole_array(&mut self) -> Result<Vec<&'a [u8]>, BatchError> {
        let items = self.array()?;
        self.space();
        match self.peek() {
            None => Ok(items),
            Some(_) => Err(self.broken("expected nothing after the array")),
        }
    }

    fn array(&mut self) -> Result<Vec<&'a [u8]>, BatchError> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(items);
        }
        loop {
            self.space();
            items.push(self.item()?);
            if items.len() > self.max {
                return Err(BatchError::TooMany);
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.broken("expected `,` or `]`")),
            }
        }
        self.at += 1;
        Ok(items)
    }

    /// Everything up to the comma or bracket that ends the item, blanks at its end left off.
    fn item(&mut self) -> Result<&'a [u8], BatchError> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match self.peek() {
                None => return Err(self.broken("expected `]`, the body ends")),
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']' | b',') if depth == 0 => break,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
            }
            self.at += 1;
        }
        let item = self.body[start..self.at].trim_ascii_end();
        if item.is_empty() {
            Err(self.broken("expected a value"))
        } else {
            Ok(item)
        }
    }

    fn string(&mut self) -> Result<&'a [u8], BatchError> {
        let start = self.at + 1;
        self.at = start;
        loop {
            match self.peek() {
                None => return Err(self.broken("the string does not end")),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(&self.body[start..self.at - 1])
    }

    fn first_object(&mut self, form: BatchForm) -> Result<First<'a>, BatchError> {
        let (mut list, mut beside) = (None, None);
        self.at += 1;
        loop {
            self.space();
            if self.peek() == Some(b'}') {
                break;
            }
            match self.member(form, &mut list, &mut beside) {
                Ok(true) => self.at += 1,
                Ok(false) => break,
                // Broken before any list was seen: more likely one bad line of many than a bad wrapper.
                Err(_) if list.is_none() => return Ok(First::OfMany),
                Err(error) => return Err(error),
            }
        }
        self.at += 1;
        self.space();
        match (list.flatten(), self.peek(), beside) {
            (_, Some(_), _) => Ok(First::OfMany),
            (None, None, _) => Ok(First::Only),
            (Some(_), None, Some(key)) if form != BatchForm::File => {
                Err(BatchError::Beside(String::from_utf8_lossy(key).into_owned()))
            }
            (Some(list), None, _) => Ok(First::Wrapper(list)),
        }
    }

    /// One member of the first object; whether another follows. `list` is set as soon as one begins.
    fn member(
        &mut self,
        form: BatchForm,
        list: &mut Option<Option<List<'a>>>,
        beside: &mut Option<&'a [u8]>,
    ) -> Result<bool, BatchError> {
        if self.peek() != Some(b'"') {
            return Err(self.broken("expected a key"));
        }
        let key = self.string()?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.broken("expected `:`"));
        }
        self.at += 1;
        self.space();
        let lists = matches!(key, b"logs" | b"events")
            || (form == BatchForm::File && matches!(key, b"Records" | b"Events"));
        if lists && list.is_none() && self.peek() == Some(b'[') {
            *list = Some(None);
            let items = self.array()?;
            *list = Some(Some(List { key, items }));
        } else {
            beside.get_or_insert(key);
            self.item()?;
        }
        self.space();
        match self.peek() {
            Some(b',') => Ok(true),
            Some(b'}') => Ok(false),
            _ => Err(self.broken("expected `,` or `}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn items(body: &str, form: BatchForm) -> Vec<&str> {
        split(body.as_bytes(), form)
            .unwrap()
            .into_iter()
            .map(|item| std::str::from_utf8(item).unwrap())
            .collect()
    }

    #[test]
    fn an_array_a_wrapper_and_lines_give_the_same_items() {
        let expected = [r#"{"a":"],[}\\\""}"#, r#"{"b":[1,{"c":2}]}"#, "tru", "7"];
        let list = expected.join(" ,\n ");
        for body in [
            format!(" [ {list} ] "),
            format!(r#"{{"logs": [{list}]}}"#),
            format!(r#"{{"events":[{list}] }}"#),
        ] {
            assert_eq!(items(&body, BatchForm::Posted), expected, "{body}");
        }
        for key in ["Records", "Events", "logs"] {
            let body = format!(r#"{{"x":1,"{key}":[{list}]}}"#);
            assert_eq!(split_file(body.as_bytes()).unwrap().1, Some(key.as_bytes()));
        }
        assert_eq!(split_file(b"[{}]").unwrap().1, None);
        let lines = format!("\u{feff}{}\r\n\n  \n", expected.join("\r\n"));
        assert_eq!(items(&lines, BatchForm::Posted), expected);
        assert_eq!(items(&lines, BatchForm::Lines), expected);
        assert_eq!(
            items(&format!(r#"{{"Records":[{list}]}}"#), BatchForm::File),
            expected
        );
        assert_eq!(
            items(
                &format!(r#"{{"NextToken":"x","Events":[{list}]}}"#),
                BatchForm::File
            ),
            expected
        );
    }

    #[test]
    fn one_bad_line_or_item_is_not_its_neighbours() {
        assert_eq!(
            items("{\"a\":\n{\"b\":1}\nnonsense\n", BatchForm::Posted),
            ["{\"a\":", "{\"b\":1}", "nonsense"]
        );
        assert_eq!(
            items(r#"[{"a":nonsense}, {"b" 1}, {"c":1}]"#, BatchForm::Posted),
            [r#"{"a":nonsense}"#, r#"{"b" 1}"#, r#"{"c":1}"#]
        );
        assert_eq!(
            split(b"[\"\xff\",1]", BatchForm::Posted).unwrap(),
            [&b"\"\xff\""[..], b"1"]
        );
    }

    #[test]
    fn one_object_is_one_event_also_over_several_lines() {
        let pretty = "{\n  \"action\": \"VIEW\"\n}";
        assert_eq!(items(pretty, BatchForm::Posted), [pretty]);
        assert_eq!(items(r#"{"events":3}"#, BatchForm::Posted), [r#"{"events":3}"#]);
        assert_eq!(items("{}", BatchForm::Posted), ["{}"]);
        assert_eq!(items("[]", BatchForm::Posted), [""; 0]);
        assert_eq!(items(" \n ", BatchForm::Posted), [""; 0]);
    }

    #[test]
    fn a_broken_frame_says_where() {
        for (body, line, column) in [
            ("[1,\n2", 2, 2),
            ("[1,]", 1, 4),
            ("[1 2]", 1, 6),
            ("[1] 2", 1, 5),
            (r#"["a]"#, 1, 5),
            ("{\"logs\":[1,\n", 2, 1),
        ] {
            match split(body.as_bytes(), BatchForm::Posted) {
                Err(BatchError::Broken {
                    line: l, column: c, ..
                }) => assert_eq!((l, c), (line, column), "{body}"),
                other => assert!(body == "[1 2]" && other.is_ok(), "{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn nothing_beside_the_list_is_lost() {
        let body = br#"{"logs":[{}],"tenant_id":"acme"}"#;
        assert_eq!(
            split(body, BatchForm::Posted),
            Err(BatchError::Beside("tenant_id".into()))
        );
    }

    #[test]
    fn the_number_of_items_is_bounded() {
        let body = format!("[{}1]", "1,".repeat(ITEMS_MAX));
        assert_eq!(
            split(body.as_bytes(), BatchForm::Posted),
            Err(BatchError::TooMany)
        );
        assert_eq!(
            split("1\n".repeat(ITEMS_MAX + 1).as_bytes(), BatchForm::Lines),
            Err(BatchError::TooMany)
        );
        assert!(split(body.as_bytes(), BatchForm::File).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_serde_writes_comes_apart(texts in proptest::collection::vec(any::<String>(), 0..8)) {
            let values: Vec<_> = texts.iter().map(|text| serde_json::json!({ "t": text, "deep": [{ "x": text }] })).collect();
            let body = serde_json::to_vec(&values).unwrap();
            let read: Vec<serde_json::Value> = split(&body, BatchForm::Posted).unwrap().into_iter()
                .map(|item| serde_json::from_slice(item).unwrap()).collect();
            prop_assert_eq!(read, values);
        }

        #[test]
        fn never_panics(body in proptest::collection::vec(prop_oneof![
            Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b','), Just(b'"'), Just(b'\\'), Just(b':'), Just(b'\n'), any::<u8>()
        ], 0..40)) {
            for form in [BatchForm::Posted, BatchForm::Lines, BatchForm::File] {
                let _ = split(&body, form);
            }
        }
    }
}
