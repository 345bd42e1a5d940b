//! From the parameters of a request to an export.

use crate::event::problem::Problem;
use crate::query::fields::Fields;
use crate::query::parse::{self, Search};

/// The parameters beside those of a search.
const OWN: [&str; 2] = ["format", "compression"];
/// All there is, oldest first: there is nothing to steer.
const REFUSED: [&str; 4] = ["sort", "limit", "cursor", "count"];

/// What is to be written, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Which events.
    pub search: Search,
    /// What of them.
    pub fields: Fields,
    /// In which form.
    pub format: Format,
    /// How it is packed.
    pub compression: Compression,
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One array of events.
    Json,
    /// An event a line.
    Ndjson,
    /// A table with a header.
    Csv,
    /// A table in columns.
    Parquet,
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Export {
    /// Reads the parameters, decoded; everything that is wrong is found in one go.
    pub fn parse(params: &[(String, String)]) -> Result<Self, Vec<Problem>> {
        let mut asked = parse::question(params, &OWN, &REFUSED);
        let (format, compression) = (asked.one("format"), asked.one("compression"));
        let mut problems = asked.problems;
        let format = format.map_or(Some(Format::Ndjson), |format| Format::parse(&format));
        if format.is_none() {
            problems.push(Problem::new("format", "expected json, ndjson, csv or parquet"));
        }
        let compression = compression.map_or(Some(Compression::None), |text| Compression::parse(&text));
        match compression {
            None => problems.push(Problem::new("compression", "expected none, gzip or zstd")),
            Some(Compression::Gzip | Compression::Zstd) if format == Some(Format::Parquet) => {
                let detail = "Parquet is compressed inside: leave it out";
                problems.push(Problem::new("compression", detail));
            }
            Some(_) => {}
        }
        match (format, compression, problems.is_empty()) {
            (Some(format), Some(compression), true) => Ok(Self {
                fields: asked.search.fields.clone().unwrap_or_else(Fields::all),
                search: asked.search,
                format,
                compression,
            }),
            _ => Err(problems),
        }
    }

    /// The end of a file's name: `ndjson.gz`.
    pub fn extension(&self) -> String {
        let packed = match self.compression {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        };
        format!("{}{packed}", self.format.as_str())
    }

    /// The media type of the file.
    pub fn media_type(&self) -> &'static str {
        media_type(self.format, self.compression)
    }
}

/// The media type of a file in this form.
pub fn media_type(format: Format, compression: Compression) -> &'static str {
    match (compression, format) {
        (Compression::Gzip, _) => "application/gzip",
        (Compression::Zstd, _) => "application/zstd",
        (Compression::None, Format::Json) => "application/json",
        (Compression::None, Format::Ndjson) => "application/x-ndjson",
        (Compression::None, Format::Csv) => "text/csv; charset=utf-8; header=present",
        (Compression::None, Format::Parquet) => "application/vnd.apache.parquet",
    }
}

impl Format {
    /// From its name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Json, Self::Ndjson, Self::Csv, Self::Parquet]
            .into_iter()
            .find(|format| format.as_str() == text)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

impl Compression {
    /// From its name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Its name; none for none.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::params::pairs;

    fn parse(query: &str) -> Result<Export, Vec<Problem>> {
        Export::parse(&pairs(query).unwrap())
    }

    #[test]
    fn an_export_is_lines_of_everything_unless_said_otherwise() {
        let export = parse("user_id=a").unwrap();
        assert_eq!(
            (export.format, export.compression),
            (Format::Ndjson, Compression::None)
        );
        assert_eq!(export.fields, Fields::all());
        let export = parse("format=csv&compression=zstd&fields=time,details.amount").unwrap();
        assert_eq!(export.extension(), "csv.zst");
        assert_eq!(export.fields.columns().len(), 2);
    }

    #[test]
    fn every_mistake_is_named() {
        for (query, field) in [
            ("format=xml", "format"),
            ("format=csv&format=json", "format"),
            ("compression=br", "compression"),
            ("format=parquet&compression=gzip", "compression"),
            ("limit=5", "limit"),
            ("cursor=x", "cursor"),
            ("sort=time", "sort"),
            ("formt=csv", "formt"),
            ("fields=nothing", "fields"),
            ("usr_id=a", "usr_id"),
        ] {
            assert_eq!(parse(query).unwrap_err()[0].field, field, "{query}");
        }
    }
}
