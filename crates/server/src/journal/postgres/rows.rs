//! The form of a batch in its row.

use tokio_postgres::Row;

use super::database::Database;
use crate::journal::packed::{pack, unpack};
use crate::journal::{Batch, JournalError, Position, sums};

/// What a query of batches selects, in the order that [`Stored::of`] reads.
macro_rules! columns {
    () => {
        "n, term, nonce, before, first, count, sealed, sum, body"
    };
}
pub(super) use columns;

/// A batch as its row has it. All numbers are below 2^63.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) number: i64,
    pub(super) term: i64,
    pub(super) nonce: i64,
    pub(super) before: i64,
    pub(super) first: i64,
    pub(super) count: i32,
    pub(super) sealed: bool,
    pub(super) sum: i64,
    pub(super) body: Vec<u8>,
}

impl Stored {
    /// The row of a batch of `count` entries, packed, after that position.
    pub(super) fn new(
        database: &Database,
        at: Position,
        (term, nonce): (u64, u64),
        (count, packed): (usize, &[u8]),
    ) -> Self {
        let mut row = Self {
            number: at.batch.cast_signed() + 1,
            term: term.cast_signed(),
            nonce: nonce.cast_signed(),
            before: at.nonce.cast_signed(),
            first: at.seq.cast_signed() + 1,
            count: i32::try_from(count).expect("a batch has some thousands of entries"),
            sealed: database.is_sealed(),
            sum: 0,
            body: packed.to_vec(),
        };
        if let Some(key) = &database.seal {
            let body = std::mem::take(&mut row.body);
            row.body = key.seal(&row.identity(), body);
        }
        row.sum = row.checksum();
        row
    }

    /// The row of a query of the columns.
    pub(super) fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            number: row.try_get(0)?,
            term: row.try_get(1)?,
            nonce: row.try_get(2)?,
            before: row.try_get(3)?,
            first: row.try_get(4)?,
            count: row.try_get(5)?,
            sealed: row.try_get(6)?,
            sum: row.try_get(7)?,
            body: row.try_get(8)?,
        })
    }

    /// Where the log is after it.
    pub(super) fn position(&self) -> Position {
        Position {
            batch: self.number.cast_unsigned(),
            nonce: self.nonce.cast_unsigned(),
            seq: (self.first + i64::from(self.count) - 1).cast_unsigned(),
        }
    }

    /// The batch, opened and unpacked.
    pub(super) fn read(&self, database: &Database) -> Result<Batch, JournalError> {
        let damaged = || database.damaged(format!("batch {} is not what was written", self.number));
        if self.sum != self.checksum() {
            return Err(damaged());
        }
        let opened = open(database, self.sealed, &self.identity(), &self.body, || {
            format!("batch {}", self.number)
        })?;
        let count = usize::try_from(self.count).map_err(|_| damaged())?;
        let entries = unpacked(count, &opened).ok_or_else(damaged)?;
        Ok(Batch {
            number: self.number.cast_unsigned(),
            term: self.term.cast_unsigned(),
            nonce: self.nonce.cast_unsigned(),
            before: self.before.cast_unsigned(),
            first: self.first.cast_unsigned(),
            entries,
        })
    }

    fn identity(&self) -> Vec<u8> {
        format!("batch {} {} {}", self.number, self.nonce, self.first).into_bytes()
    }

    fn checksum(&self) -> i64 {
        let numbers = [
            self.number.cast_unsigned(),
            self.term.cast_unsigned(),
            self.nonce.cast_unsigned(),
            self.before.cast_unsigned(),
            self.first.cast_unsigned(),
            u64::from(self.count.cast_unsigned()),
            u64::from(self.sealed),
        ];
        sums::of_batch(numbers, &self.body).into()
    }
}

/// Entries as a row has them, but for its seal: a quarter of their bytes.
pub(crate) fn packed(entries: &[Vec<u8>]) -> Vec<u8> {
    let (mut bytes, bodies) = pack(entries);
    bytes.extend(bodies);
    lz4_flex::block::compress_prepend_size(&bytes)
}

/// That number of entries that were [`packed`]; `None` if they are something else.
pub(crate) fn unpacked(count: usize, packed: &[u8]) -> Option<Vec<Vec<u8>>> {
    let bytes = lz4_flex::block::decompress_size_prepended(packed).ok()?;
    let (lengths, bodies) = bytes.split_at_checked(count.checked_mul(4)?)?;
    let entries = unpack(lengths, bodies)?;
    Some(entries.into_iter().map(<[u8]>::to_vec).collect())
}

/// A stored body without its seal.
pub(super) fn open(
    database: &Database,
    sealed: bool,
    of: &[u8],
    body: &[u8],
    what: impl Fn() -> String,
) -> Result<Vec<u8>, JournalError> {
    if !sealed {
        return Ok(body.to_vec());
    }
    let key = database
        .seal
        .as_ref()
        .ok_or_else(|| JournalError::Unreadable {
            what: what(),
            detail: "it is sealed; give the key with --seal-key-file".to_owned(),
        })?;
    key.open(of, body).ok_or_else(|| JournalError::Unreadable {
        what: what(),
        detail: "it is sealed with another key than that of --seal-key-file".to_owned(),
    })
}
