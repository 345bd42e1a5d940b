//! How an Avro datum says which schema it was written with.
//!
//! With a schema registry: Confluent framing, a zero byte and the registry's id as four bytes big-endian, so that
//! ordinary Kafka tools read it. Without one: Avro single-object encoding, `C3 01` and the schema's CRC-64-AVRO
//! fingerprint as eight bytes little-endian (Avro specification 1.12, "Single-object encoding"). Both are read.

/// How records of this deployment are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Avro single-object encoding with this fingerprint.
    SingleObject(u64),
    /// Confluent framing with this id of the registry.
    Confluent(u32),
}

/// What stands before the datum of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    /// Written with the schema of this fingerprint.
    SingleObject(u64, &'a [u8]),
    /// Written with the schema the registry knows by this id.
    Confluent(u32, &'a [u8]),
    /// No Avro: JSON, perhaps.
    Bare(&'a [u8]),
}

impl Framing {
    /// Appends the frame to `out`; the datum follows it.
    pub fn begin(self, out: &mut Vec<u8>) {
        match self {
            Self::SingleObject(fingerprint) => {
                out.extend_from_slice(&[0xC3, 0x01]);
                out.extend_from_slice(&fingerprint.to_le_bytes());
            }
            Self::Confluent(id) => {
                out.push(0);
                out.extend_from_slice(&id.to_be_bytes());
            }
        }
    }
}

/// Reads the frame of a record.
pub fn unframe(payload: &[u8]) -> Framed<'_> {
    match payload {
        [0xC3, 0x01, rest @ ..] => match rest.split_first_chunk::<8>() {
            Some((fingerprint, datum)) => Framed::SingleObject(u64::from_le_bytes(*fingerprint), datum),
            None => Framed::Bare(payload),
        },
        [0x00, rest @ ..] => match rest.split_first_chunk::<4>() {
            Some((id, datum)) => Framed::Confluent(u32::from_be_bytes(*id), datum),
            None => Framed::Bare(payload),
        },
        _ => Framed::Bare(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_is_read_back() {
        for (framing, expected) in [
            (
                Framing::SingleObject(0x0102_0304_0506_0708),
                Framed::SingleObject(0x0102_0304_0506_0708, b"x"),
            ),
            (Framing::Confluent(7), Framed::Confluent(7, b"x")),
        ] {
            let mut out = Vec::new();
            framing.begin(&mut out);
            out.push(b'x');
            assert_eq!(unframe(&out), expected);
        }
    }

    #[test]
    fn single_object_encoding_is_the_specifications() {
        let mut out = Vec::new();
        Framing::SingleObject(0x0807_0605_0403_0201).begin(&mut out);
        assert_eq!(out, [0xC3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn json_and_stumps_are_bare() {
        for payload in [&b"{\"a\":1}"[..], b"", b"\x00\x01", b"\xC3\x01\x02"] {
            assert_eq!(unframe(payload), Framed::Bare(payload));
        }
    }
}
