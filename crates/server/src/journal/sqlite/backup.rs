//! A copy of the directory, also while a server runs on it.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::log::{fit, open_both};
use super::place::{make_directory, of_sqlite, private, sync_directory};
use super::{rows, state};
use crate::journal::JournalError;

/// How often the files are opened again because a checkpoint came between the two.
const TRIES_MAX: usize = 10;

/// Copies the journal into the directory `to`, which is made, and gives the last entry that the copy has. The copy
/// begins the life `fresh_life`, because it and the original go on differently.
///
/// # Errors
///
/// The directory has something in it, or one of both can't be read or written. What was copied so far is left there and
/// can't be taken for a backup: a start on it is refused.
pub fn backup(directory: &Path, to: &Path, fresh_life: u64) -> Result<u64, JournalError> {
    make_directory(to)?;
    let mut found = fs::read_dir(to).map_err(|error| JournalError::of_io(to, error))?;
    if found.next().is_some() {
        return Err(JournalError::NotEmpty {
            path: to.to_owned(),
        });
    }
    let mut tries = 1;
    let (log, state, checkpoint, bounds) = loop {
        let (log, state, life, _) = open_both(directory)?;
        // From here on each is seen as it is now. The state is the older one, so that the log goes on from it.
        for (name, file) in [(state::NAME, &state), (rows::NAME, &log)] {
            file.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
                .map_err(|error| of_sqlite(&directory.join(name), error))?;
        }
        let path = directory.join(state::NAME);
        let checkpoint = state::Checkpoint::read(&path, &state)?.unwrap_or_default();
        match fit(directory, None, &log, life, checkpoint) {
            Ok(bounds) => break (log, state, checkpoint, bounds),
            Err(_) if tries < TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
    };
    let path = to.join(state::NAME);
    copy(&path, &state, |copy| checkpoint.rename(copy, fresh_life))?;
    let path = to.join(rows::NAME);
    copy(&path, &log, |copy| rows::rename(copy, fresh_life))?;
    sync_directory(to)?;
    Ok(bounds.last)
}

fn copy(
    path: &Path,
    source: &Connection,
    rename: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<(), JournalError> {
    let fail = |error| of_sqlite(path, error);
    private(path).map_err(|error| JournalError::of_io(path, error))?;
    let mut copy = Connection::open(path).map_err(fail)?;
    // A negative number of pages means all of them, in one step.
    Backup::new(source, &mut copy)
        .and_then(|backup| backup.step(-1))
        .map_err(fail)?;
    copy.pragma_update(None, "synchronous", "full")
        .and_then(|()| rename(&copy))
        .map_err(fail)?;
    copy.close().map_err(|(_, error)| fail(error))
}
