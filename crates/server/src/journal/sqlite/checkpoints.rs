//! [`Checkpoints`] of both files: the state is written, then the log may forget.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::place::{Lock, beside, of_sqlite, shrink};
use super::slices::syncing;
use super::state::{self, Checkpoint};
use crate::journal::{Checkpoints, Files, JournalError, PartChange};

/// What both doors hold. The lock is among it: it goes with the last of them.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: PathBuf,
    /// Behind a mutex because a load and a checkpoint share it; they never happen at the same time.
    pub(super) state: Mutex<State>,
    /// The last entry that a checkpoint covers.
    pub(super) covered: AtomicU64,
    pub(super) files: Arc<Files>,
    pub(super) _lock: Lock,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) file: Connection,
    /// The same file, to sync it. Closing it would let go of SQLite's locks on that file, so it goes after `file`.
    pub(super) handle: Option<File>,
    pub(super) checkpoint: Checkpoint,
    /// Bytes of the write-ahead file when a person was last told that it can't be emptied.
    pub(super) told: u64,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A transaction that was open when its owner panicked has been rolled back by its drop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The door for checkpoints.
#[derive(Debug)]
pub(super) struct SqliteCheckpoints(pub(super) Arc<Shared>);

impl Checkpoints for SqliteCheckpoints {
    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError> {
        let path = self.0.directory.join(state::NAME);
        let files = &self.0.files;
        let mut state = self.0.state();
        let State {
            file,
            handle,
            checkpoint,
            told,
        } = &mut *state;
        *checkpoint = state::write_parts(&path, file, *checkpoint, seq, changes)
            .map_err(|error| of_sqlite(&path, error))?;
        self.0.covered.store(seq, Ordering::Release);
        // The write-ahead file has grown by every page of the checkpoint. It is emptied here, off the path of appends;
        // if another program is reading, it is emptied the next time.
        let emptied = match handle {
            Some(handle) => syncing(handle, || shrink(file)),
            None => shrink(file),
        };
        let emptied = emptied.map_err(|error| of_sqlite(&path, error))?;
        Files::measure(&files.state, &path);
        Files::measure(&files.state_wal, &beside(&path, "-wal"));
        if emptied {
            *told = 0;
        } else {
            files.blocked(&path, files.state_wal.load(Ordering::Relaxed), told);
        }
        Ok(())
    }
}
