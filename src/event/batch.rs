//! Taking a body with many events apart, without looking into them.
//!
//! Only the frame is read here: the brackets of an array, the lines of NDJSON. What is between them is handed out as
//! slices of the body, so one bad event is that item's problem and not its neighbours'.

use super::json::scan::line_and_column;

/// The most events in one body that a client posts. Ten MiB hold fewer events of any sense.
pub const ITEMS_MAX: usize = 100_000;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchForm {
    /// By its content: an array, an object with `logs` or `events`, else one event a line.
    Posted,
    /// One event a line.
    Lines,
    /// As a file: like [`BatchForm::Posted`], also with `Records`, of any number, and with keys beside them.
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
    match frame.peek() {
        Some(b'[') if form != BatchForm::Lines => frame.whole_array(),
        Some(b'{') if form != BatchForm::Lines => match frame.wrapped(form)? {
            Some(items) => Ok(items),
            None => lines(body, frame.max),
        },
        _ => lines(body, frame.max),
    }
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

    /// The list inside an object, or `None` when the object is no wrapper but an event.
    fn wrapped(&mut self, form: BatchForm) -> Result<Option<Vec<&'a [u8]>>, BatchError> {
        let start = self.at;
        let (mut items, mut beside) = (None, None);
        self.at += 1;
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                break;
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                break;
            }
            self.at += 1;
            self.space();
            let lists = matches!(key, b"logs" | b"events") || (form == BatchForm::File && key == b"Records");
            if lists && items.is_none() && self.peek() == Some(b'[') {
                items = Some(self.array()?);
            } else if items.is_none() && form != BatchForm::File {
                break; // An event begins with something else; only a wrapper begins with its list.
            } else {
                beside.get_or_insert(key);
                self.item()?;
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => break,
            }
        }
        let Some(items) = items else {
            self.at = start;
            return Ok(None);
        };
        if self.peek() != Some(b'}') {
            return Err(self.broken("expected `,` or `}`"));
        }
        self.at += 1;
        self.space();
        match (self.peek(), beside.filter(|_| form != BatchForm::File)) {
            (Some(_), _) => Err(self.broken("expected nothing after the object")),
            (None, Some(key)) => Err(BatchError::Beside(String::from_utf8_lossy(key).into_owned())),
            (None, None) => Ok(Some(items)),
        }
    }
}
