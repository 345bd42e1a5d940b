//! Where an event stands: its key says which partition, among as many as the topic had when the log began.
//!
//! librdkafka would choose among those the topic has now. Somebody may add some (`kafka-topics --alter`), and then a
//! later copy of an event would stand in another partition than the first, where no reader would know it as a copy.

use super::topics;

/// The partition of a key among `partitions`, as Java's default partitioner has it; `None` where they are not known.
pub fn partition_of(key: &[u8], partitions: u32) -> Option<i32> {
    ((murmur2(key) & 0x7fff_ffff).checked_rem(partitions)).map(|partition| partition as i32)
}

/// Whether `audit.events` has room for where its events stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// As many as when the log began.
    AsEver,
    /// Some were added: they stay empty.
    Added,
    /// Some are gone, and their events with them.
    Gone,
}

impl Partitions {
    /// Compares what the topic has with what was recorded.
    pub fn compare(found: u32, recorded: u32) -> Self {
        match found.cmp(&recorded) {
            std::cmp::Ordering::Equal => Self::AsEver,
            std::cmp::Ordering::Greater => Self::Added,
            std::cmp::Ordering::Less => Self::Gone,
        }
    }
}

/// What to do about partitions that are gone.
pub const GONE_REMEDY: &str = "it was made anew, without its events; restore it, or, for a log that is new on purpose, use \
    another log.prefix and clickhouse.database";

/// The sentence on partitions that were added or are gone.
pub fn changed(found: u32, recorded: u32) -> String {
    format!(
        "topic {} has {found} partitions, and had {recorded} when the log began",
        topics::EVENTS
    )
}

/// MurmurHash2 as Kafka's Java client has it.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest
            .iter()
            .rev()
            .fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_placed_as_kafkas_own_clients_place_them() {
        // From the tests of Kafka's Java client (UtilsTest.testMurmur2).
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
        assert_eq!(partition_of(b"abc", 4), Some(479_470_107 % 4));
        assert_eq!(partition_of(b"21", 1), Some(0));
        assert_eq!(partition_of(b"21", 0), None);
    }

    #[test]
    fn a_topic_may_grow_and_must_not_shrink() {
        assert_eq!(Partitions::compare(4, 4), Partitions::AsEver);
        assert_eq!(Partitions::compare(8, 4), Partitions::Added);
        assert_eq!(Partitions::compare(1, 4), Partitions::Gone);
    }
}
