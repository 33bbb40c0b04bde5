//! `state.db`: the parts of the last checkpoint.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::View;
use super::place::{of_sqlite, open_to_write};
use super::rows::{bytes_of, text_or_blob};
use super::slices::Slices;
use crate::journal::{EachPart, JournalError, PartChange, sums};

/// The file's name.
pub(super) const NAME: &str = "state.db";

const TABLES: &str = "\
    CREATE TABLE part (key TEXT PRIMARY KEY, sum INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE checkpoint (only INTEGER PRIMARY KEY CHECK (only = 1), life INTEGER NOT NULL, seq INTEGER NOT NULL,
        parts INTEGER NOT NULL, total INTEGER NOT NULL, sum INTEGER NOT NULL)";

/// What a checkpoint says about itself. The default is the one before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The log it belongs to.
    pub(super) life: u64,
    /// The entry it stands for.
    pub(super) seq: u64,
    /// How many parts there are.
    parts: u64,
    /// The sum of their checksums, so that a part that is missing is noticed.
    total: u64,
}

impl Checkpoint {
    fn sum(self) -> u32 {
        sums::of_numbers(&[self.life, self.seq, self.parts, self.total])
    }

    /// The checkpoint in that file; `None` if there is none.
    pub(super) fn read(path: &Path, state: &Connection) -> Result<Option<Self>, JournalError> {
        let row = state
            .query_row(
                "SELECT life, seq, parts, total, sum FROM checkpoint",
                [],
                |row| {
                    let found = Self {
                        life: row.get(0)?,
                        seq: row.get(1)?,
                        parts: row.get(2)?,
                        total: row.get(3)?,
                    };
                    Ok((found, row.get::<_, u32>(4)?))
                },
            )
            .optional()
            .map_err(|error| of_sqlite(path, error))?;
        match row {
            Some((found, sum)) if found.sum() == sum => Ok(Some(found)),
            Some(_) => Err(damaged(path, "what the checkpoint says of itself")),
            None => Ok(None),
        }
    }

    /// Names the life that the checkpoint belongs to.
    pub(super) fn rename(self, state: &Connection, life: u64) -> rusqlite::Result<()> {
        Self { life, ..self }.write(state)
    }

    fn write(self, state: &Connection) -> rusqlite::Result<()> {
        state
            .prepare_cached(
                "INSERT OR REPLACE INTO checkpoint (only, life, seq, parts, total, sum) VALUES (1, ?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![self.life, self.seq, self.parts, self.total, self.sum()])?;
        Ok(())
    }
}

/// Opens the file and makes it where it isn't there, as a checkpoint of that life before any entry.
pub(super) fn open(
    path: &Path,
    life: u64,
    views: &[View],
) -> Result<(Connection, Checkpoint), JournalError> {
    let state = open_to_write(path, TABLES, "on")?;
    let fail = |error| of_sqlite(path, error);
    let checkpoint = if let Some(found) = Checkpoint::read(path, &state)? {
        found
    } else {
        let first = Checkpoint {
            life,
            ..Checkpoint::default()
        };
        first.write(&state).map_err(fail)?;
        first
    };
    make_views(&state, views).map_err(fail)?;
    Ok((state, checkpoint))
}

/// Makes those views anew that aren't as this program has them.
fn make_views(state: &Connection, views: &[View]) -> rusqlite::Result<()> {
    for View { name, query } in views {
        let wanted = format!("CREATE VIEW {name} AS {query}");
        let found: Option<String> = state
            .query_row(
                "SELECT sql FROM sqlite_schema WHERE type = 'view' AND name = ?1",
                [name],
                |row| row.get(0),
            )
            .optional()?;
        if found.as_ref() != Some(&wanted) {
            state.execute_batch(&format!(
                "BEGIN IMMEDIATE; DROP VIEW IF EXISTS {name}; {wanted}; COMMIT"
            ))?;
        }
    }
    Ok(())
}

/// Calls `each` with every part, and compares them with their checksums and with what the checkpoint says. `damage` is
/// told what doesn't fit and decides whether to go on.
pub(super) fn read_parts(
    path: &Path,
    state: &Connection,
    checkpoint: Checkpoint,
    each: &mut EachPart<'_>,
    damage: &mut dyn FnMut(JournalError) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let fail = |error| of_sqlite(path, error);
    let mut select = state
        .prepare("SELECT key, sum, body FROM part ORDER BY key")
        .map_err(fail)?;
    let mut rows = select.query([]).map_err(fail)?;
    let (mut parts, mut total) = (0, 0_u64);
    while let Some(row) = rows.next().map_err(fail)? {
        let key = row.get_ref(0).map_err(fail)?.as_str();
        let key = key.map_err(|error| fail(error.into()))?;
        let sum: u32 = row.get(1).map_err(fail)?;
        let body = bytes_of(row.get_ref(2).map_err(fail)?);
        parts += 1;
        total = total.wrapping_add(sum.into());
        if sums::of_part(key, body) == sum {
            each(key, body)?;
        } else {
            damage(damaged(path, &format!("the part {key}")))?;
        }
    }
    if (parts, total) != (checkpoint.parts, checkpoint.total) {
        damage(JournalError::Corrupt {
            path: path.to_owned(),
            detail: format!(
                "it has {parts} parts, and not the {} that were written",
                checkpoint.parts
            ),
        })?;
    }
    Ok(())
}

/// Writes the changes and that the parts now stand for the entry `seq`, as one step.
pub(super) fn write_parts(
    path: &Path,
    state: &mut Connection,
    mut checkpoint: Checkpoint,
    seq: u64,
    changes: &mut dyn Iterator<Item = PartChange>,
) -> rusqlite::Result<Checkpoint> {
    let transaction = state.transaction()?;
    let mut changes = changes.peekable();
    if changes.next_if(|(key, _)| key.is_empty()).is_some() {
        transaction.execute("DELETE FROM part", [])?;
        (checkpoint.parts, checkpoint.total) = (0, 0);
    }
    {
        let mut stored = Stored::default();
        let mut slices = Slices::new(path);
        let mut upsert = transaction.prepare_cached(
            "INSERT INTO part (key, sum, body) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET sum = excluded.sum, body = excluded.body",
        )?;
        let mut delete = transaction.prepare_cached("DELETE FROM part WHERE key = ?1")?;
        for (key, body) in changes {
            let before = stored.find(&transaction, &key)?;
            if let Some(sum) = before {
                checkpoint.parts = checkpoint.parts.wrapping_sub(1);
                checkpoint.total = checkpoint.total.wrapping_sub(sum.into());
            }
            match body {
                Some(body) => {
                    let sum = sums::of_part(&key, &body);
                    upsert.execute(params![key, sum, text_or_blob(&body)])?;
                    checkpoint.parts = checkpoint.parts.wrapping_add(1);
                    checkpoint.total = checkpoint.total.wrapping_add(sum.into());
                }
                None if before.is_some() => {
                    delete.execute([key])?;
                }
                None => {}
            }
            slices.wrote_part();
        }
        checkpoint.seq = seq;
        checkpoint.write(&transaction)?;
    }
    transaction.commit()?;
    Ok(checkpoint)
}

/// The stored parts, as far as they were looked up: between two neighbors there is none, so that a run of new ones
/// takes a single look.
#[derive(Debug, Default)]
struct Stored {
    /// The key that was asked for last, and the first one after it that is stored, if any.
    gap: Option<(String, Option<String>)>,
}

impl Stored {
    /// The checksum of that part, if it is stored. Its key counts as written from then on.
    fn find(&mut self, state: &Connection, key: &str) -> rusqlite::Result<Option<u32>> {
        if let Some((from, to)) = &mut self.gap
            && key > from.as_str()
            && to.as_ref().is_none_or(|to| key < to.as_str())
        {
            key.clone_into(from);
            return Ok(None);
        }
        let mut find = state
            .prepare_cached("SELECT key, sum FROM part WHERE key >= ?1 ORDER BY key LIMIT 2")?;
        let found = find.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut found = found
            .collect::<rusqlite::Result<Vec<(String, u32)>>>()?
            .into_iter()
            .peekable();
        let before = found.next_if(|(first, _)| first == key);
        self.gap = Some((key.to_owned(), found.next().map(|(next, _)| next)));
        Ok(before.map(|(_, sum)| sum))
    }
}

fn damaged(path: &Path, what: &str) -> JournalError {
    JournalError::Corrupt {
        path: path.to_owned(),
        detail: format!("{what} is not what was written"),
    }
}
