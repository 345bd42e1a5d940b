//! Compression on the wire: of requests, named by `Content-Encoding`, and of answers, chosen by `Accept-Encoding`;
//! and the engine's own block framing inside of that, when `decompress=1` or `compress=1` ask for it.

use std::io::{self, Read, Write};

use flate2::Compression;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use lz4_flex::frame::{FrameDecoder, FrameEncoder};

use super::blocks;
use super::exception::Exception;

/// An encoding known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Zstd,
    Lz4,
    Gzip,
    Deflate,
}

/// Best first: what costs least for what it saves.
const KNOWN: [(&str, Encoding); 4] = [
    ("zstd", Encoding::Zstd),
    ("lz4", Encoding::Lz4),
    ("gzip", Encoding::Gzip),
    ("deflate", Encoding::Deflate),
];

impl Encoding {
    /// Its name in headers.
    pub(super) fn name(self) -> &'static str {
        KNOWN
            .into_iter()
            .find(|(_, encoding)| *encoding == self)
            .map_or("identity", |(name, _)| name)
    }

    /// What the body of a request is compressed with.
    pub(super) fn of_request(headers: &HeaderMap) -> Result<Option<Self>, Exception> {
        let Some(name) = headers
            .get(CONTENT_ENCODING)
            .and_then(|value| value.to_str().ok())
        else {
            return Ok(None);
        };
        let name = name.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") {
            return Ok(None);
        }
        match KNOWN
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some((_, encoding)) => Ok(Some(encoding)),
            None => Err(Exception::new(
                36,
                "BAD_ARGUMENTS",
                format!("Content-Encoding {name} is not supported: send gzip, deflate, zstd or lz4"),
            )),
        }
    }

    /// What the client takes, the best of it.
    pub(super) fn for_answer(headers: &HeaderMap) -> Option<Self> {
        let accepted: Vec<&str> = headers
            .get_all(ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter(|item| !item.replace(' ', "").ends_with(";q=0"))
            .map(|item| item.split(';').next().unwrap_or_default().trim())
            .collect();
        let takes = |name: &str| accepted.iter().any(|item| item.eq_ignore_ascii_case(name));
        KNOWN
            .into_iter()
            .find(|(name, _)| takes(name))
            .map(|(_, encoding)| encoding)
    }
}

/// Undoes `encoding`, then the block framing.
pub(super) fn decoder<'a>(
    source: impl Read + 'a,
    encoding: Option<Encoding>,
    framed: bool,
) -> io::Result<Box<dyn Read + 'a>> {
    let plain: Box<dyn Read + 'a> = match encoding {
        None => Box::new(source),
        Some(Encoding::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(source)),
        Some(Encoding::Deflate) => Box::new(flate2::read::ZlibDecoder::new(source)),
        Some(Encoding::Lz4) => Box::new(FrameDecoder::new(source)),
        Some(Encoding::Zstd) => Box::new(zstd::stream::read::Decoder::new(source)?),
    };
    Ok(match framed {
        true => Box::new(blocks::Blocks::new(plain)),
        false => plain,
    })
}

/// Compresses an answer piece by piece; every piece can be read by the client at once.
pub(super) struct Encoder {
    framed: bool,
    outer: Outer,
}

enum Outer {
    None(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    pub(super) fn new(encoding: Option<Encoding>, framed: bool) -> io::Result<Self> {
        let outer = match encoding {
            None => Outer::None(Vec::new()),
            Some(Encoding::Gzip) => {
                Outer::Gzip(flate2::write::GzEncoder::new(Vec::new(), Compression::fast()))
            }
            Some(Encoding::Deflate) => {
                Outer::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast()))
            }
            Some(Encoding::Lz4) => Outer::Lz4(Box::new(FrameEncoder::new(Vec::new()))),
            Some(Encoding::Zstd) => Outer::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
        };
        Ok(Self { framed, outer })
    }

    /// Takes a piece and returns what can be sent.
    pub(super) fn push(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        let mut framed = Vec::new();
        let piece = match self.framed {
            true => {
                blocks::compress(piece, &mut framed);
                &framed[..]
            }
            false => piece,
        };
        let writer: &mut dyn Write = match &mut self.outer {
            Outer::None(out) => out,
            Outer::Gzip(encoder) => encoder,
            Outer::Deflate(encoder) => encoder,
            Outer::Lz4(encoder) => encoder.as_mut(),
            Outer::Zstd(encoder) => encoder,
        };
        writer.write_all(piece)?;
        writer.flush()?;
        Ok(std::mem::take(self.outer.written()))
    }

    /// Returns the last bytes.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self.outer {
            Outer::None(out) => Ok(out),
            Outer::Gzip(encoder) => encoder.finish(),
            Outer::Deflate(encoder) => encoder.finish(),
            Outer::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            Outer::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Outer {
    /// The bytes that are ready to be sent.
    fn written(&mut self) -> &mut Vec<u8> {
        match self {
            Outer::None(out) => out,
            Outer::Gzip(encoder) => encoder.get_mut(),
            Outer::Deflate(encoder) => encoder.get_mut(),
            Outer::Lz4(encoder) => encoder.get_mut(),
            Outer::Zstd(encoder) => encoder.get_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_whatever_the_encoding() {
        let encodings = KNOWN
            .into_iter()
            .map(|(_, encoding)| Some(encoding))
            .chain([None]);
        for (encoding, framed) in encodings.flat_map(|encoding| [(encoding, false), (encoding, true)]) {
            let mut encoder = Encoder::new(encoding, framed).unwrap();
            let mut wire = Vec::new();
            for piece in [&b"first piece, first piece"[..], &[7; 300_000], b"", b"last"] {
                wire.extend(encoder.push(piece).unwrap());
            }
            wire.extend(encoder.finish().unwrap());
            let mut plain = Vec::new();
            decoder(&wire[..], encoding, framed)
                .unwrap()
                .read_to_end(&mut plain)
                .unwrap();
            assert_eq!(plain.len(), 24 + 300_000 + 4, "{encoding:?} {framed}");
            assert!(plain.starts_with(b"first piece") && plain.ends_with(b"last"));
        }
    }

    #[test]
    fn the_best_accepted_encoding_is_taken() {
        let accept = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, http::HeaderValue::from_static(value));
            Encoding::for_answer(&headers)
        };
        assert_eq!(accept("gzip, deflate, br"), Some(Encoding::Gzip));
        assert_eq!(accept("lz4"), Some(Encoding::Lz4));
        assert_eq!(accept("lz4,br;q=1,zstd;q=0"), Some(Encoding::Lz4));
        assert_eq!(accept("identity"), None);
    }
}
