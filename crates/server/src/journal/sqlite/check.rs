//! Reads everything in a directory and says what is damaged.

use std::path::Path;

use rusqlite::Connection;

use super::end::Mark;
use super::log::{fit, missing, open_both};
use super::place::of_sqlite;
use super::{rows, state};
use crate::journal::{EachEntry, EachPart, JournalError};

/// Calls `part` with every part and `entry` with every entry that are whole, and `damage` with whatever isn't. It also
/// works while a server runs on the directory, and changes nothing.
///
/// # Errors
///
/// The files can't be read at all.
pub fn check(
    directory: &Path,
    part: &mut EachPart<'_>,
    entry: &mut EachEntry<'_>,
    damage: &mut dyn FnMut(JournalError),
) -> Result<(), JournalError> {
    let (log_path, state_path) = (directory.join(rows::NAME), directory.join(state::NAME));
    // Before the log, because a server that runs moves both on.
    let mark = Mark::read(directory);
    let (log, state, life, checkpoint) = open_both(directory)?;
    for (path, file) in [(&state_path, &state), (&log_path, &log)] {
        // One view of the file from here on.
        file.execute_batch("BEGIN")
            .and_then(|()| integrity(path, file, damage))
            .map_err(|error| of_sqlite(path, error))?;
    }
    if let Err(error) = fit(directory, mark, &log, life, checkpoint) {
        damage(error);
    }
    let mut tell = |error| {
        damage(error);
        Ok(())
    };
    state::read_parts(&state_path, &state, checkpoint, part, &mut tell)?;

    let mut next: Option<(u64, u32)> = None;
    rows::read(&log_path, &log, 0, &mut |row| {
        if let Some((first, sum)) = next {
            if row.first > first {
                damage(missing(&log_path, first, row.first - 1));
            } else if row.before != sum {
                damage(changed(&log_path, row));
            }
        }
        next = Some((row.last + 1, row.sum));
        let Some(entries) = row.entries() else {
            damage(changed(&log_path, row));
            return Ok(());
        };
        for (seq, bytes) in (row.first..).zip(entries) {
            entry(seq, bytes)?;
        }
        Ok(())
    })
}

/// What SQLite says of its own structures.
fn integrity(
    path: &Path,
    file: &Connection,
    damage: &mut dyn FnMut(JournalError),
) -> rusqlite::Result<()> {
    let mut select = file.prepare("PRAGMA integrity_check")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            damage(JournalError::Corrupt {
                path: path.to_owned(),
                detail: said,
            });
        }
    }
    Ok(())
}

fn changed(path: &Path, row: rows::Row<'_>) -> JournalError {
    JournalError::Corrupt {
        path: path.to_owned(),
        detail: format!(
            "entries {} to {} are not what was written",
            row.first, row.last
        ),
    }
}
