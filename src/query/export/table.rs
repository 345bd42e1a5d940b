//! The events of a stretch by column, and how they become a row group of Parquet.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type};

use super::cell;
use crate::query::fields::{Column, Fields, Named};
use crate::query::paths::Paths;
use crate::query::show;
use crate::query::show::details::Parts;
use crate::store::EventRow;
use crate::store::row::StrangeRow;

/// The cells of some rows.
pub(super) struct Cells {
    columns: Vec<(Column, Values)>,
    paths: Paths,
    bytes: usize,
    rows: usize,
}

enum Values {
    /// Microseconds since 1970.
    Moments(Vec<i64>),
    /// Texts behind one another, where each ends, and for every row whether it has one.
    Texts {
        text: Vec<u8>,
        ends: Vec<usize>,
        has: Vec<i16>,
    },
}

impl Cells {
    pub(super) fn new(fields: &Fields) -> Self {
        let values = |column: &Column| match column {
            Column::Named(Named::Time | Named::ReceivedAt) => Values::Moments(Vec::new()),
            _ => Values::Texts {
                text: Vec::new(),
                ends: Vec::new(),
                has: Vec::new(),
            },
        };
        Self {
            columns: fields
                .columns()
                .iter()
                .map(|column| (column.clone(), values(column)))
                .collect(),
            paths: fields.paths().clone(),
            bytes: 0,
            rows: 0,
        }
    }

    pub(super) fn push(&mut self, row: &EventRow<'_>) -> Result<(), StrangeRow> {
        show::check(row)?;
        let parts = Parts::of(row, &self.paths);
        for (column, values) in &mut self.columns {
            match values {
                Values::Moments(moments) => {
                    let is_time = *column == Column::Named(Named::Time);
                    moments.push(if is_time { row.time } else { row.received_at });
                    self.bytes += 8;
                }
                Values::Texts { text, ends, has } => {
                    let before = text.len();
                    let is_there = cell::push(row, column, &parts, text);
                    has.push(i16::from(is_there));
                    if is_there {
                        ends.push(text.len());
                    }
                    self.bytes += text.len() - before + 10;
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A Parquet file that is being written; what is ready is taken out of it.
pub(super) struct Table {
    writer: SerializedFileWriter<Vec<u8>>,
}

impl Table {
    pub(super) fn new(fields: &Fields) -> io::Result<Self> {
        let schema = schema(fields).map_err(fault)?;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("trailhouse ", env!("CARGO_PKG_VERSION")).to_owned())
            // What a reader skips row groups by. More of it would grow with the file in memory.
            .set_statistics_enabled(EnabledStatistics::None)
            .set_offset_index_disabled(true);
        for name in ["time", "received_at"] {
            let path = ColumnPath::from(vec![name.to_owned()]);
            properties = properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk);
        }
        let writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()));
        Ok(Self {
            writer: writer.map_err(fault)?,
        })
    }

    /// Adds a row group.
    pub(super) fn take(&mut self, cells: Cells) -> io::Result<()> {
        if cells.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group().map_err(fault)?;
        for (_, values) in cells.columns {
            let column = group.next_column().map_err(fault)?;
            let mut column = column.ok_or_else(|| io::Error::other("a column too many"))?;
            match values {
                Values::Moments(moments) => {
                    let writer = column.typed::<Int64Type>();
                    writer.write_batch(&moments, None, None).map_err(fault)?;
                }
                Values::Texts { text, ends, has } => {
                    let text = Bytes::from(text);
                    let mut begin = 0;
                    let texts = ends.into_iter().map(|end| {
                        let one = text.slice(begin..end);
                        begin = end;
                        ByteArray::from(one)
                    });
                    let texts: Vec<_> = texts.collect();
                    let writer = column.typed::<ByteArrayType>();
                    writer.write_batch(&texts, Some(&has), None).map_err(fault)?;
                }
            }
            column.close().map_err(fault)?;
        }
        group.close().map_err(fault)?;
        Ok(())
    }

    /// The end of the file.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.writer.finish().map_err(fault)?;
        Ok(())
    }

    /// What was written since the last time.
    pub(super) fn ready(&mut self) -> io::Result<Vec<u8>> {
        self.writer.flush()?;
        // The writer counts its bytes by itself, so that the file's offsets hold although they are gone from here.
        Ok(std::mem::take(self.writer.inner_mut()))
    }
}

/// Texts but for the two times, which are moments; where a field may be absent, so may the cell.
fn schema(fields: &Fields) -> Result<Arc<Type>, ParquetError> {
    let column = |column: &Column| {
        let name = cell::name(column);
        let named = match column {
            Column::Named(named) => Some(*named),
            Column::Details(_) => None,
        };
        let column = match named {
            Some(Named::Time | Named::ReceivedAt) => Type::primitive_type_builder(&name, Physical::INT64)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            _ => Type::primitive_type_builder(&name, Physical::BYTE_ARRAY)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(Some(LogicalType::String)),
        };
        column.build().map(Arc::new)
    };
    let columns = fields.columns().iter().map(column);
    Type::group_type_builder("events")
        .with_fields(columns.collect::<Result<_, _>>()?)
        .build()
        .map(Arc::new)
}

fn fault(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{Event, Json};

    #[test]
    fn a_file_in_pieces_is_read_as_one() {
        let fields = Fields::parse(&["event_id,time,message,details.amount,tags".to_owned()]).unwrap();
        let mut table = Table::new(&fields).unwrap();
        let mut file = Vec::new();
        for group in 0..3u128 {
            let mut cells = Cells::new(&fields);
            for n in 0..5u128 {
                let mut event = Event::sample(group * 5 + n);
                event.time = Timestamp::from_micros((group * 5 + n) as i64);
                event.message = (n % 2 == 0).then(|| format!("says {n}"));
                event.details = Some(Json::parse(&format!("{{\"amount\":{n}}}")).unwrap());
                cells
                    .push(&EventRow::from_event(&event, uuid::Uuid::nil(), 0, 0))
                    .unwrap();
            }
            table.take(cells).unwrap();
            file.extend(table.ready().unwrap());
        }
        table.finish().unwrap();
        file.extend(table.ready().unwrap());
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 3);
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 15);
        assert_eq!(rows[7].get_timestamp_micros(1).unwrap(), 7);
        assert_eq!(rows[7].get_string(2).unwrap(), "says 2");
        assert!(rows[8].get_string(2).is_err(), "nothing was said");
        assert_eq!(rows[14].get_string(3).unwrap(), "4");
    }

    #[test]
    fn a_file_without_events_is_a_file() {
        let mut table = Table::new(&Fields::all()).unwrap();
        table.take(Cells::new(&Fields::all())).unwrap();
        table.finish().unwrap();
        let reader = SerializedFileReader::new(Bytes::from(table.ready().unwrap())).unwrap();
        assert_eq!(reader.get_row_iter(None).unwrap().count(), 0);
    }
}
