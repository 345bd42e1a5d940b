//! Numbers, ids and addresses, drawn and written without an allocation.

pub(super) fn put(out: &mut Vec<u8>, parts: &[&str]) {
    parts
        .iter()
        .for_each(|part| out.extend_from_slice(part.as_bytes()));
}

pub(super) fn push_number(number: u64, width: usize, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let (mut at, mut rest) = (digits.len(), number);
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width.clamp(1, 20))..]);
}

pub(super) fn push_hex(number: u64, width: usize, out: &mut Vec<u8>) {
    out.extend(
        (0..width)
            .rev()
            .map(|digit| b"0123456789abcdef"[(number >> (digit * 4) & 15) as usize]),
    );
}

pub(super) fn push_address(address: u64, out: &mut Vec<u8>) {
    let spread = address.wrapping_mul(2_654_435_761);
    out.extend_from_slice(b"10.");
    push_number(spread >> 8 & 255, 1, out);
    out.push(b'.');
    push_number(spread >> 16 & 255, 1, out);
    out.push(b'.');
    push_number(1 + address % 254, 1, out);
}

/// A UUID of a version, its first 48 bits given.
pub(super) fn push_id(version: u64, first: u64, random: &mut Random, out: &mut Vec<u8>) {
    let rest = random.next();
    push_hex(first >> 16 & 0xffff_ffff, 8, out);
    out.push(b'-');
    push_hex(first & 0xffff, 4, out);
    out.push(b'-');
    push_hex(version << 12 | random.next() & 0xfff, 4, out);
    out.push(b'-');
    push_hex(0x8000 | rest >> 50, 4, out);
    out.push(b'-');
    push_hex(rest & 0xffff_ffff_ffff, 12, out);
}

/// xorshift64*: a few instructions a number, the same row of numbers for the same seed.
pub(in crate::cli::bench) struct Random(u64);

impl Random {
    pub(in crate::cli::bench) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(in crate::cli::bench) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(in crate::cli::bench) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    pub(in crate::cli::bench) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}
