//! From gathered events to the bytes of the file: what begins, joins and ends it, and packing.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::GzEncoder;

use super::ask::{Compression, Export, Format};
use super::gathered::{BETWEEN, Body, Gathered, header};
use super::table::Table;

/// Fast, and most of what there is to win: the file is made while somebody waits for it.
const GZIP_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 3;

/// A file that is being written.
pub(super) struct Writer {
    format: Format,
    table: Option<Table>,
    /// What stands before the first event.
    begin: Vec<u8>,
    has_events: bool,
    packer: Packer,
}

enum Packer {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Writer {
    pub(super) fn new(export: &Export) -> io::Result<Self> {
        Ok(Self {
            format: export.format,
            table: match export.format {
                Format::Parquet => Some(Table::new(&export.fields)?),
                Format::Json | Format::Ndjson | Format::Csv => None,
            },
            begin: match export.format {
                Format::Json => b"[\n".to_vec(),
                Format::Csv => header(export.fields.columns())?,
                Format::Ndjson | Format::Parquet => Vec::new(),
            },
            has_events: false,
            packer: Packer::new(export.compression)?,
        })
    }

    /// Writes events, and with the last of them the end of the file; gives what is ready.
    pub(super) fn take(&mut self, events: Gathered, is_last: bool) -> io::Result<Bytes> {
        let begin = std::mem::take(&mut self.begin);
        self.packer.write(begin)?;
        match (events.into_body(), &mut self.table) {
            (Body::Table(cells), Some(table)) => {
                table.take(cells)?;
                self.packer.write(table.ready()?)?;
            }
            (Body::Text(text), _) if !text.is_empty() => {
                if self.has_events && self.format == Format::Json {
                    self.packer.write(BETWEEN.to_vec())?;
                }
                self.has_events = true;
                self.packer.write(text)?;
            }
            _ => {}
        }
        if is_last {
            self.end()?;
        }
        self.packer.ready(is_last)
    }

    fn end(&mut self) -> io::Result<()> {
        match (&mut self.table, self.format, self.has_events) {
            (Some(table), ..) => {
                table.finish()?;
                self.packer.write(table.ready()?)
            }
            (None, Format::Json, true) => self.packer.write(b"\n]\n".to_vec()),
            (None, Format::Json, false) => self.packer.write(b"]\n".to_vec()),
            _ => Ok(()),
        }
    }
}

impl Packer {
    fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(Vec::new()),
            Compression::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    fn write(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        match self {
            Self::None(out) if out.is_empty() => *out = bytes,
            Self::None(out) => out.append(&mut bytes),
            Self::Gzip(encoder) => encoder.write_all(&bytes)?,
            Self::Zstd(encoder) => encoder.write_all(&bytes)?,
        }
        Ok(())
    }

    /// What is ready; with the end of the stream where it is the last.
    fn ready(&mut self, is_last: bool) -> io::Result<Bytes> {
        Ok(Bytes::from(match self {
            Self::None(out) => std::mem::take(out),
            Self::Gzip(encoder) => {
                if is_last {
                    encoder.try_finish()?;
                }
                std::mem::take(encoder.get_mut())
            }
            Self::Zstd(encoder) => {
                if is_last {
                    encoder.do_finish()?;
                }
                std::mem::take(encoder.get_mut())
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::event::Event;
    use crate::query::fields::Fields;
    use crate::query::params::pairs;
    use crate::store::EventRow;

    /// The file of so many stretches of so many events.
    fn file(query: &str, stretches: &[usize]) -> Vec<u8> {
        let export = Export::parse(&pairs(query).unwrap()).unwrap();
        let (mut writer, mut file, mut id) = (Writer::new(&export).unwrap(), Vec::new(), 0);
        for (index, events) in stretches.iter().enumerate() {
            let mut gathered = Gathered::new(export.format, &export.fields);
            for _ in 0..*events {
                id += 1;
                let event = Event::sample(id);
                let row = EventRow::from_event(&event, uuid::Uuid::nil(), 0, 0);
                gathered.push(&row, export.format, &export.fields).unwrap();
            }
            file.extend(writer.take(gathered, index + 1 == stretches.len()).unwrap());
        }
        file
    }

    #[test]
    fn stretches_join_to_one_document() {
        for stretches in [&[0][..], &[1], &[2, 0, 3], &[0, 0], &[0, 2, 0]] {
            let events = stretches.iter().sum::<usize>();
            let json: Vec<serde_json::Value> =
                serde_json::from_slice(&file("format=json", stretches)).unwrap();
            assert_eq!(json.len(), events, "{stretches:?}");
            let lines = String::from_utf8(file("format=ndjson", stretches)).unwrap();
            assert_eq!(lines.lines().count(), events);
            assert!(lines.is_empty() || lines.ends_with('\n'));
            let table = file("format=csv", stretches);
            let mut reader = csv::Reader::from_reader(table.as_slice());
            assert_eq!(reader.headers().unwrap().len(), Fields::all().columns().len());
            assert_eq!(reader.records().map(Result::unwrap).count(), events);
        }
    }

    #[test]
    fn a_packed_file_unpacks_to_the_same() {
        let plain = file("format=ndjson", &[300, 1, 500]);
        let mut gzip = Vec::new();
        let packed = file("format=ndjson&compression=gzip", &[300, 1, 500]);
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_end(&mut gzip)
            .unwrap();
        assert!(gzip == plain && packed.len() < plain.len() / 4);
        let zstd = file("format=ndjson&compression=zstd", &[300, 1, 500]);
        assert!(zstd::decode_all(zstd.as_slice()).unwrap() == plain);
    }
}
