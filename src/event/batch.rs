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
    /// There is nothing in it, not even an empty list.
    #[error("the body is empty: send a JSON array, {{\"logs\": […]}}, or one event a line")]
    Empty,
    /// More events than one body may hold.
    #[error("more than {ITEMS_MAX} events in one body")]
    TooMany,
    /// The wrapping object has something else beside the list, which would be lost.
    #[error("the key `{0}` beside the list of events is not known")]
    Beside(String),
}

/// The items of a body, in order. Blank lines are no items.
pub fn split(body: &[u8], form: BatchForm) -> Result<Vec<&[u8]>, BatchError> {
    let (items, _) = take_apart(body, form)?;
    match items.is_empty() && !body.contains(&b'[') {
        true => Err(BatchError::Empty),
        false => Ok(items),
    }
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
mod tests;
