//! ClickHouse's own compression framing (`compress=1`, `decompress=1`): blocks of 16 bytes checksum, method,
//! compressed and plain size, data. The checksum is CityHash128 in its version 1.0.2 over all but itself.

use std::io::{self, Read};

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
const PLAIN: u8 = 0x02;

/// The largest block taken, as the real server has it: a header can't make us reserve more than this.
const BLOCK_MAX: usize = 1 << 30;
/// Plain bytes in a block that we write, the default of `max_compress_block_size`.
const BLOCK_PLAIN: usize = 1 << 20;

/// Appends `plain` as LZ4 blocks to `out`.
pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) {
    for piece in plain.chunks(BLOCK_PLAIN) {
        let start = out.len();
        let bound = lz4_flex::block::get_maximum_output_size(piece.len());
        out.resize(start + CHECKSUM + HEADER + bound, 0);
        let data = &mut out[start + CHECKSUM + HEADER..];
        let length = lz4_flex::block::compress_into(piece, data).unwrap_or(0);
        out.truncate(start + CHECKSUM + HEADER + length);
        let block = &mut out[start + CHECKSUM..];
        block[0] = LZ4;
        block[1..5].copy_from_slice(&((length + HEADER) as u32).to_le_bytes());
        block[5..9].copy_from_slice(&(piece.len() as u32).to_le_bytes());
        let checksum = checksum(block);
        out[start..start + CHECKSUM].copy_from_slice(&checksum);
    }
}

fn checksum(block: &[u8]) -> [u8; CHECKSUM] {
    cityhash_rs::cityhash_102_128(block)
        .rotate_right(64)
        .to_le_bytes()
}

/// Reads blocks and gives their plain bytes.
pub(super) struct Blocks<R> {
    source: R,
    plain: Vec<u8>,
    given: usize,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            plain: Vec::new(),
            given: 0,
        }
    }

    /// Reads the next block; false at the end, which may only be between blocks.
    fn advance(&mut self) -> io::Result<bool> {
        let mut meta = [0; CHECKSUM + HEADER];
        if self.source.read(&mut meta[..1])? == 0 {
            return Ok(false);
        }
        self.source.read_exact(&mut meta[1..])?;
        let [method, c0, c1, c2, c3, p0, p1, p2, p3] = meta[CHECKSUM..] else {
            return Err(invalid("a compressed block has a short header"));
        };
        let size = u32::from_le_bytes([c0, c1, c2, c3]) as usize;
        let plain_size = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
        if !(HEADER..=BLOCK_MAX).contains(&size) || plain_size > BLOCK_MAX {
            return Err(invalid(
                "a compressed block has an impossible size: is the body compressed at all?",
            ));
        }
        let mut block = meta[CHECKSUM..].to_vec();
        let read = (&mut self.source)
            .take((size - HEADER) as u64)
            .read_to_end(&mut block)?;
        if read < size - HEADER {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if checksum(&block) != meta[..CHECKSUM] {
            return Err(invalid("a compressed block does not match its checksum"));
        }
        self.plain = decompress(method, &block[HEADER..], plain_size)?;
        self.given = 0;
        Ok(true)
    }
}

fn decompress(method: u8, data: &[u8], plain_size: usize) -> io::Result<Vec<u8>> {
    let plain = match method {
        // LZ4 grows at most 255 times, so a small block can't claim a large size.
        LZ4 if plain_size > data.len().saturating_mul(256) => Err(invalid("a block claims too large a size")),
        LZ4 => lz4_flex::block::decompress(data, plain_size).map_err(|error| invalid(&error.to_string())),
        ZSTD => zstd::bulk::decompress(data, plain_size),
        PLAIN => Ok(data.to_vec()),
        other => Err(invalid(&format!(
            "compression method 0x{other:02x} is not supported, LZ4 and ZSTD are"
        ))),
    }?;
    if plain.len() != plain_size {
        return Err(invalid("a compressed block has another size than it says"));
    }
    Ok(plain)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.plain.len() {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let length = out.len().min(self.plain.len() - self.given);
        out[..length].copy_from_slice(&self.plain[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(blocks: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Blocks::new(blocks).read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn a_bit_turned_over_is_found() {
        let mut blocks = Vec::new();
        compress(b"some rows, some rows, some rows", &mut blocks);
        for at in 0..blocks.len() {
            let mut broken = blocks.clone();
            broken[at] ^= 1;
            assert!(read(&broken).is_err(), "byte {at}");
        }
        for cut in 1..blocks.len() {
            assert!(read(&blocks[..cut]).is_err(), "cut at {cut}");
        }
        assert!(read(b"this body is not compressed at all").is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_was_compressed_comes_back(parts in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..3000), 0..5)) {
            let mut blocks = Vec::new();
            for part in &parts {
                compress(part, &mut blocks);
            }
            assert_eq!(read(&blocks).unwrap(), parts.concat());
        }
    }
}
