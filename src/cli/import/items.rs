//! From a file's bytes to its items.
//!
//! One event a line is read line by line, however long the file. An array, a wrapper such as `{"Records": […]}` and
//! an object over several lines only make sense whole, so these are held in memory, up to [`WHOLE_MAX`].

use std::io::{self, BufRead, Read};

use serde::de::IgnoredAny;

use crate::event::batch::{BatchError, split_file};

/// The most that is held of one file, unpacked: some ten times the largest file that CloudTrail writes.
const WHOLE_MAX: usize = 512 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a file's items are not, or not all, there.
#[derive(Debug, thiserror::Error)]
pub(super) enum ItemsError {
    /// It never held any.
    #[error("{0}")]
    NoEvents(&'static str),
    /// Its frame is broken.
    #[error(transparent)]
    Broken(#[from] BatchError),
    /// It would have to be held whole.
    #[error(
        "it has more than {} MiB and its first line is no whole event: split it, or write one event a line",
        WHOLE_MAX >> 20
    )]
    TooLarge,
    /// It can't be read at all.
    #[error("it can't be read: {0}")]
    Open(io::Error),
    /// It can't be read to its end.
    #[error("it can't be read to its end: {0}")]
    Read(#[from] io::Error),
    /// Nobody takes items any more.
    #[error("the import ended")]
    Ended,
}

/// A file's item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    /// Its bytes.
    pub(super) bytes: &'a [u8],
    /// It stood in a list `Records`, which is CloudTrail's.
    pub(super) of_records: bool,
}

/// Is handed every item; `false` from it ends the reading.
type Take<'a> = dyn FnMut(Item<'_>) -> bool + 'a;

/// Hands every item to `take`, in order.
pub(super) fn each(reader: &mut dyn BufRead, take: &mut Take<'_>) -> Result<(), ItemsError> {
    let Some(mut first) = next_line(reader)? else {
        return Err(ItemsError::NoEvents("it is empty"));
    };
    if first.starts_with(BYTE_ORDER_MARK) {
        first.drain(..BYTE_ORDER_MARK.len());
    }
    let text = first.trim_ascii();
    let one_a_line = match text.first() {
        Some(b'{') => serde_json::from_slice::<IgnoredAny>(text).is_ok(),
        Some(b'[') => false,
        _ => return Err(ItemsError::NoEvents("it is no JSON")),
    };
    match next_line(reader)? {
        None => whole(&first, take),
        Some(second) if one_a_line => {
            line_of_many(&first, take)?;
            let mut next = Some(second);
            while let Some(line) = next {
                line_of_many(&line, take)?;
                next = next_line(reader)?;
            }
            Ok(())
        }
        Some(second) => {
            let mut body = first;
            body.extend_from_slice(&second);
            let room = WHOLE_MAX.saturating_sub(body.len());
            if reader.take(room as u64 + 1).read_to_end(&mut body)? > room {
                return Err(ItemsError::TooLarge);
            }
            whole(&body, take)
        }
    }
}

fn whole(body: &[u8], take: &mut Take<'_>) -> Result<(), ItemsError> {
    let (items, list) = split_file(body)?;
    if items.is_empty() {
        return Err(ItemsError::NoEvents("its list of events is empty"));
    }
    hand_out(&items, list, take)
}

/// A line is an item; where log files of CloudTrail were strung together, it is a whole one.
fn line_of_many(line: &[u8], take: &mut Take<'_>) -> Result<(), ItemsError> {
    let line = line.trim_ascii();
    match line.starts_with(b"{\"Records\"").then(|| split_file(line)) {
        Some(Ok((items, list))) => hand_out(&items, list, take),
        _ => hand_out(&[line], None, take),
    }
}

fn hand_out(items: &[&[u8]], list: Option<&[u8]>, take: &mut Take<'_>) -> Result<(), ItemsError> {
    let of_records = list == Some(b"Records".as_slice());
    let all = items.iter().all(|bytes| take(Item { bytes, of_records }));
    all.then_some(()).ok_or(ItemsError::Ended)
}

/// The next line that is not blank, as it stands.
fn next_line(reader: &mut dyn BufRead) -> Result<Option<Vec<u8>>, ItemsError> {
    loop {
        let mut line = Vec::new();
        match reader.take(WHOLE_MAX as u64 + 1).read_until(b'\n', &mut line)? {
            0 => return Ok(None),
            bytes if bytes > WHOLE_MAX => return Err(ItemsError::TooLarge),
            _ if line.trim_ascii().is_empty() => {}
            _ => return Ok(Some(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(body: &str) -> Result<Vec<String>, String> {
        let mut items = Vec::new();
        let mut take = |item: Item<'_>| {
            assert_eq!(item.of_records, body.contains("Records"), "{body}");
            items.push(String::from_utf8(item.bytes.to_vec()).unwrap());
            true
        };
        match each(&mut body.as_bytes(), &mut take) {
            Ok(()) => Ok(items),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn lists_wrappers_and_lines_give_their_items_untouched() {
        let expected = Ok(vec![r#"{"a": 1}"#.to_owned(), r#"{"b" :[2]}"#.to_owned()]);
        for body in [
            "{\"a\": 1}\r\n\n  {\"b\" :[2]}",
            "\u{feff}{\"a\": 1}\n{\"b\" :[2]}\n",
            "[{\"a\": 1},{\"b\" :[2]}]",
            "[\n  {\"a\": 1},\n  {\"b\" :[2]}\n]\n",
            "{\"Records\": [{\"a\": 1},{\"b\" :[2]}]}",
            "{\n\"Records\": [\n{\"a\": 1},\n{\"b\" :[2]}]\n}",
            "{\"Events\": [{\"a\": 1},{\"b\" :[2]}],\"NextToken\":\"x\"}\n",
            "{\"Records\":[{\"a\": 1}]}\n{\"Records\":[{\"b\" :[2]}]}\n",
        ] {
            assert_eq!(items(body), expected, "{body}");
        }
    }

    #[test]
    fn one_object_is_one_item_and_a_bad_line_is_its_own() {
        let pretty = "{\n  \"action\": \"VIEW\"\n}";
        assert_eq!(items(pretty).unwrap(), [pretty]);
        assert_eq!(items("{\"a\":1}\n{\"b\n7\n").unwrap(), ["{\"a\":1}", "{\"b", "7"]);
        assert_eq!(items("{\"a\n{\"b\":1}\n").unwrap(), ["{\"a", "{\"b\":1}"]);
    }

    #[test]
    fn what_holds_no_events_says_why() {
        for (body, why) in [
            ("", "it is empty"),
            (" \n\n", "it is empty"),
            ("# Source", "it is no JSON"),
            ("[]", "its list of events is empty"),
            ("{\"Records\":[]}", "its list of events is empty"),
        ] {
            assert_eq!(items(body).unwrap_err(), why, "{body}");
        }
        assert!(
            items("[{\"a\":1},\n")
                .unwrap_err()
                .starts_with("not a batch: expected")
        );
    }
}
