//! `journal.db`: rows of entries, each with a checksum over itself and the row before.

use std::path::Path;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::place::{of_sqlite, open_to_write};
use crate::journal::packed::{pack, unpack};
use crate::journal::{JournalError, sums};

/// The file's name.
pub(super) const NAME: &str = "journal.db";

const TABLES: &str = "\
    CREATE TABLE life (only INTEGER PRIMARY KEY CHECK (only = 1), life INTEGER NOT NULL, sum INTEGER NOT NULL);
    CREATE TABLE batch (last INTEGER PRIMARY KEY, first INTEGER NOT NULL, before INTEGER NOT NULL, sum INTEGER NOT NULL,
        lengths BLOB NOT NULL, bodies BLOB NOT NULL)";

/// How large a row may grow before the next entry begins another, in bytes.
pub(super) const ROW_BYTES: usize = 64 * 1024;
/// Covered rows that an append forgets at most, beside as many as it adds: few enough to cost well under a millisecond.
pub(super) const SWEEP_ROWS: u64 = 4;

/// Where the log begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The first entry that is still in the file.
    pub(super) first: u64,
    /// The last entry; 0 if there has never been one.
    pub(super) last: u64,
    /// The checksum of the last row.
    pub(super) sum: u32,
}

/// A stored row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The checksum of the row before.
    pub(super) before: u32,
    pub(super) sum: u32,
    lengths: &'a [u8],
    bodies: &'a [u8],
}

impl<'a> Row<'a> {
    /// Its entries; `None` if they are not what was written.
    pub(super) fn entries(&self) -> Option<Vec<&'a [u8]>> {
        let sum = sums::of_row(
            self.before,
            self.first,
            self.last,
            self.lengths,
            self.bodies,
        );
        unpack(self.lengths, self.bodies).filter(|entries| {
            sum == self.sum && self.first.checked_add(entries.len() as u64) == Some(self.last + 1)
        })
    }
}

/// Opens the file, makes it where it isn't there as the log of `fresh_life`, and gives the life that it belongs to.
pub(super) fn open(path: &Path, fresh_life: u64) -> Result<(Connection, u64), JournalError> {
    // Overwriting the pages of rows that were forgotten would double what is written. They are used again, and a clean
    // stop gives them back.
    let log = open_to_write(path, TABLES, "fast")?;
    let life = if let Some(life) = life_of(path, &log)? {
        life
    } else {
        rename(&log, fresh_life).map_err(|error| of_sqlite(path, error))?;
        fresh_life
    };
    Ok((log, life))
}

/// The life that the log belongs to; `None` if the file is new.
pub(super) fn life_of(path: &Path, log: &Connection) -> Result<Option<u64>, JournalError> {
    let row: Option<(u64, u32)> = log
        .query_row("SELECT life, sum FROM life", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map_err(|error| of_sqlite(path, error))?;
    match row {
        Some((life, sum)) if sums::of_life(life) == sum => Ok(Some(life)),
        Some(_) => Err(JournalError::Corrupt {
            path: path.to_owned(),
            detail: "the name of its life is not what was written".to_owned(),
        }),
        None => Ok(None),
    }
}

/// Names the life that the log belongs to.
pub(super) fn rename(log: &Connection, life: u64) -> rusqlite::Result<()> {
    log.execute(
        "INSERT OR REPLACE INTO life (only, life, sum) VALUES (1, ?1, ?2)",
        params![life, sums::of_life(life)],
    )?;
    Ok(())
}

/// Where the log of that life begins and ends.
pub(super) fn bounds(log: &Connection, life: u64) -> rusqlite::Result<Bounds> {
    // Two queries, because SQLite answers each from an end of the tree and both together from a scan.
    let first: Option<u64> = log
        .query_row("SELECT first FROM batch ORDER BY last LIMIT 1", [], |row| {
            row.get(0)
        })
        .optional()?;
    let last: Option<(u64, u32)> = log
        .query_row(
            "SELECT last, sum FROM batch ORDER BY last DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (last, sum) = last.unwrap_or((0, sums::of_life(life)));
    Ok(Bounds {
        first: first.unwrap_or(1),
        last,
        sum,
    })
}

/// The checksum of the row that ends with that entry, if a row does.
pub(super) fn sum_at(log: &Connection, last: u64) -> rusqlite::Result<Option<u32>> {
    log.query_row("SELECT sum FROM batch WHERE last = ?1", [last], |row| {
        row.get(0)
    })
    .optional()
}

/// Calls `each` with every row that ends after the entry `after`, in order.
pub(super) fn read(
    path: &Path,
    log: &Connection,
    after: u64,
    each: &mut dyn FnMut(Row<'_>) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let fail = |error| of_sqlite(path, error);
    let mut select = log
        .prepare(
            "SELECT last, first, before, sum, lengths, bodies FROM batch WHERE last > ?1 ORDER BY last",
        )
        .map_err(fail)?;
    let mut rows = select.query([after]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        each(Row {
            last: row.get(0).map_err(fail)?,
            first: row.get(1).map_err(fail)?,
            before: row.get(2).map_err(fail)?,
            sum: row.get(3).map_err(fail)?,
            lengths: bytes_of(row.get_ref(4).map_err(fail)?),
            bodies: bytes_of(row.get_ref(5).map_err(fail)?),
        })?;
    }
    Ok(())
}

/// Writes the entries after those bounds and forgets a few rows that a checkpoint covers; gives the new bounds.
pub(super) fn write(
    transaction: &Transaction<'_>,
    mut bounds: Bounds,
    entries: &[Vec<u8>],
    covered: u64,
) -> rusqlite::Result<Bounds> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO batch (last, first, before, sum, lengths, bodies) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (mut rest, mut rows) = (entries, 0);
    while !rest.is_empty() {
        let (row, left) = rest.split_at(entries_of_a_row(rest));
        let (first, last) = (bounds.last + 1, bounds.last + row.len() as u64);
        let (lengths, bodies) = pack(row);
        let sum = sums::of_row(bounds.sum, first, last, &lengths, &bodies);
        insert.execute(params![
            last,
            first,
            bounds.sum,
            sum,
            lengths,
            text_or_blob(&bodies)
        ])?;
        (bounds.last, bounds.sum) = (last, sum);
        (rest, rows) = (left, rows + 1);
    }
    if covered >= bounds.first {
        transaction
            .prepare_cached(
                "DELETE FROM batch WHERE last <= ?1 AND last IN (SELECT last FROM batch ORDER BY last LIMIT ?2)",
            )?
            .execute([covered, SWEEP_ROWS + rows])?;
        bounds.first = transaction
            .prepare_cached("SELECT first FROM batch ORDER BY last LIMIT 1")?
            .query_row([], |row| row.get(0))?;
    }
    Ok(bounds)
}

/// Has the numbering of a new log begin after that entry: a row without entries stands for all of them.
#[cfg(feature = "postgres")]
pub(super) fn begin_after(log: &Connection, life: u64, seq: u64) -> rusqlite::Result<()> {
    let (first, before) = (seq + 1, sums::of_life(life));
    let sum = sums::of_row(before, first, seq, &[], &[]);
    log.execute(
        "INSERT INTO batch (last, first, before, sum, lengths, bodies) VALUES (?1, ?2, ?3, ?4, x'', x'')",
        params![seq, first, before, sum],
    )?;
    Ok(())
}

/// How many of the entries go into the next row: at least one.
fn entries_of_a_row(entries: &[Vec<u8>]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take_while(|entry| {
        bytes += entry.len();
        bytes <= ROW_BYTES
    });
    fit.count().max(1)
}

/// Text is stored as text, so that `sqlite3` shows it to a person and its JSON functions take it.
pub(super) fn text_or_blob(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match std::str::from_utf8(bytes) {
        Ok(_) => ValueRef::Text(bytes),
        Err(_) => ValueRef::Blob(bytes),
    })
}

pub(super) fn bytes_of(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    }
}
