//! How far the log went, noted beside it after each append.
//!
//! A write-ahead file ends at its first frame that isn't whole: that is what a crash leaves, and also what damage in
//! its middle looks like. The note tells them apart: what comes after the last acknowledged entry is a torn tail, what
//! is missing before it is damage.
//!
//! The note isn't synced, so that it costs a microsecond. After `kill -9` it is exact; after a power failure it may be
//! some seconds old, and then only as much damage is found.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::place::private;
use crate::journal::{JournalError, sums};

/// The file's name.
pub(super) const NAME: &str = "journal.end";

/// The last acknowledged entry of a life, and the checksum of the row that ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) life: u64,
    pub(super) seq: u64,
    pub(super) sum: u32,
}

impl Mark {
    fn numbers(self) -> [u64; 3] {
        [self.life, self.seq, self.sum.into()]
    }

    fn encode(self) -> [u8; 28] {
        let mut bytes = [0; 28];
        for (place, number) in bytes.chunks_exact_mut(8).zip(self.numbers()) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[24..].copy_from_slice(&sums::of_numbers(&self.numbers()).to_le_bytes());
        bytes
    }

    /// `None` if the bytes are no mark, for example because the file is new or damaged.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let &[life, seq, sum] = numbers else {
            return None;
        };
        let mark = Self {
            life: u64::from_le_bytes(life),
            seq: u64::from_le_bytes(seq),
            sum: u32::try_from(u64::from_le_bytes(sum)).ok()?,
        };
        (mark.encode()[24..] == *rest).then_some(mark)
    }

    /// The mark in that directory; `None` if there is none, or none that is whole: it only ever adds to what is
    /// noticed.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        let file = File::open(directory.join(NAME)).ok()?;
        file.take(64).read_to_end(&mut bytes).ok()?;
        Self::decode(&bytes)
    }
}

/// Where marks are written.
#[derive(Debug)]
pub(super) struct End(File);

impl End {
    /// Opens the file, and makes it where it isn't there.
    pub(super) fn open(directory: &Path) -> Result<Self, JournalError> {
        let path: PathBuf = directory.join(NAME);
        let file = private(&path).map_err(|error| JournalError::of_io(&path, error))?;
        Ok(Self(file))
    }

    /// Writes the mark over the one before. One write within one sector, so that it is there whole or not at all.
    pub(super) fn write(&mut self, mark: Mark) -> io::Result<()> {
        self.0.rewind()?;
        self.0.write_all(&mark.encode())
    }

    /// Has the system write the mark out.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_a_damaged_one_does_not() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(Mark::read(place.path()), None);
        let mark = Mark {
            life: u64::MAX / 3,
            seq: 7,
            sum: u32::MAX,
        };
        End::open(place.path()).unwrap().write(mark).unwrap();
        assert_eq!(Mark::read(place.path()), Some(mark));
        for bit in 0..28 * 8 {
            let mut bytes = mark.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&bytes), None, "bit {bit}");
        }
        assert_eq!(Mark::decode(&mark.encode()[..27]), None);
        assert_eq!(Mark::decode(&[0; 28]), None);
    }
}
