//! Checksums of what is stored: CRC-32, as in most logs of databases. It finds every error of up to 32 bits in a row
//! and all but one in four billion of the others; it doesn't guard against forgery, because who can write the files can
//! write their sums too.
//!
//! `crc32fast` is in the tree already, takes the processor's own instructions, and costs less than a hundredth of an
//! append.

use crc32fast::Hasher;

/// The checksum that the first row of a log follows.
pub(super) fn of_life(life: u64) -> u32 {
    crc32fast::hash(&life.to_le_bytes())
}

/// The checksum of a row of the log: over its bytes and the row before it.
pub(super) fn of_row(before: u32, first: u64, last: u64, lengths: &[u8], bodies: &[u8]) -> u32 {
    let mut sum = Hasher::new_with_initial(before);
    sum.update(&first.to_le_bytes());
    sum.update(&last.to_le_bytes());
    sum.update(lengths);
    sum.update(bodies);
    sum.finalize()
}

/// The checksum of a part of the state.
pub(super) fn of_part(key: &str, body: &[u8]) -> u32 {
    let mut sum = Hasher::new();
    // No key has a zero byte, so that no other key and body give the same bytes.
    sum.update(key.as_bytes());
    sum.update(&[0]);
    sum.update(body);
    sum.finalize()
}

/// The checksum of a few numbers.
pub(super) fn of_numbers(numbers: &[u64]) -> u32 {
    let mut sum = Hasher::new();
    for number in numbers {
        sum.update(&number.to_le_bytes());
    }
    sum.finalize()
}

/// The checksum of a batch of a shared log: over its numbers and its stored body.
#[cfg(feature = "postgres")]
pub(super) fn of_batch(numbers: [u64; 7], body: &[u8]) -> u32 {
    let mut sum = Hasher::new_with_initial(of_numbers(&numbers));
    sum.update(body);
    sum.finalize()
}
