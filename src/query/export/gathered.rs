//! The events of one stretch in the form that the file wants, but for what begins, joins and ends it.

use std::io;

use super::ask::Format;
use super::cell;
use super::table::Cells;
use crate::clock::Timestamp;
use crate::query::fields::{Column, Fields};
use crate::query::show;
use crate::query::show::details::Parts;
use crate::store::EventRow;
use crate::store::held::Place;
use crate::store::row::StrangeRow;

/// What stands between the events of a JSON array.
pub(super) const BETWEEN: &[u8] = b",\n";

/// Events on their way from a stretch to the file.
pub(super) struct Gathered {
    body: Body,
    events: u64,
    last: Option<Place>,
    is_last: bool,
}

/// What they are by now.
pub(super) enum Body {
    /// Text, to be written as it is.
    Text(Vec<u8>),
    /// Cells by column.
    Table(Cells),
}

impl Gathered {
    pub(super) fn new(format: Format, fields: &Fields) -> Self {
        let body = match format {
            Format::Parquet => Body::Table(Cells::new(fields)),
            Format::Json | Format::Ndjson | Format::Csv => Body::Text(Vec::new()),
        };
        Self {
            body,
            events: 0,
            last: None,
            is_last: false,
        }
    }

    /// Takes a row in.
    pub(super) fn push(
        &mut self,
        row: &EventRow<'_>,
        format: Format,
        fields: &Fields,
    ) -> Result<(), StrangeRow> {
        match &mut self.body {
            Body::Table(cells) => cells.push(row)?,
            Body::Text(text) => match format {
                Format::Csv => {
                    show::check(row)?;
                    push_record(row, fields, text);
                }
                Format::Json | Format::Ndjson | Format::Parquet => {
                    if format == Format::Json && !text.is_empty() {
                        text.extend_from_slice(BETWEEN);
                    }
                    show::push_json(row, fields, text)?;
                    if format == Format::Ndjson {
                        text.push(b'\n');
                    }
                }
            },
        }
        self.events += 1;
        self.last = Some((Timestamp::from_micros(row.time), row.event_id));
        Ok(())
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.len(),
            Body::Table(cells) => cells.bytes(),
        }
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Where the last event stands.
    pub(super) fn last(&self) -> Option<Place> {
        self.last
    }

    pub(super) fn reached(&self) -> Option<Timestamp> {
        self.last.map(|(time, _)| time)
    }

    /// No stretch comes after it.
    pub(super) fn ends(&mut self) {
        self.is_last = true;
    }

    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }

    pub(super) fn into_body(self) -> Body {
        self.body
    }
}

/// A line of CSV (RFC 4180). A cell that a spreadsheet would take for a formula gets an apostrophe in front.
fn push_record(row: &EventRow<'_>, fields: &Fields, out: &mut Vec<u8>) {
    let (mut cell, parts) = (Vec::new(), Parts::of(row, fields.paths()));
    for (index, column) in fields.columns().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        cell.clear();
        cell::push(row, column, &parts, &mut cell);
        push_cell(&cell, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The first line.
pub(super) fn header(columns: &[Column]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_cell(cell::name(column).as_bytes(), &mut out);
    }
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

fn push_cell(cell: &[u8], out: &mut Vec<u8>) {
    let is_formula = matches!(cell.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'));
    if !cell
        .iter()
        .any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n'))
    {
        if is_formula {
            out.push(b'\'');
        }
        return out.extend_from_slice(cell);
    }
    out.push(b'"');
    if is_formula {
        out.push(b'\'');
    }
    for byte in cell {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+49", "'+49"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\r=1", "\"'\r=1\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            push_cell(cell.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }

    proptest! {
        /// As another reader sees it.
        #[test]
        fn every_cell_comes_back(cells in prop::collection::vec("[a-c,\"\r\n;' é=]{0,6}", 2..5)) {
            let mut out = Vec::new();
            for (index, cell) in cells.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_cell(cell.as_bytes(), &mut out);
            }
            out.extend_from_slice(b"\r\n");
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(out.as_slice());
            let record = reader.records().next();
            if cells.iter().any(|cell| !cell.is_empty()) {
                let read: Vec<String> = record.unwrap().unwrap().iter().map(str::to_owned).collect();
                let safe: Vec<String> = cells.iter().map(|cell| {
                    if cell.starts_with(['=', '\r']) { format!("'{cell}") } else { cell.clone() }
                }).collect();
                prop_assert_eq!(read, safe);
            }
        }
    }
}
