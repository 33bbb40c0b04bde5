//! Both files together: a [`Journal`].

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use super::checkpoints::{Shared, SqliteCheckpoints, State};
use super::end::{self, End, Mark};
use super::place::{
    Identity, Lock, check_place, identity, keep_wal, make_directory, of_sqlite, open_to_read,
    shrink, sync_directory, take_lock,
};
use super::rows::{self, Bounds};
use super::state::{self, Checkpoint};
use super::tidy::Tidier;
use crate::journal::{Checkpoints, EachEntry, EachPart, Files, Journal, JournalError};

/// A query under a name in `state.db`, for people with `sqlite3`. The journal doesn't know what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: &'static str,
    /// The query, over the table `part(key TEXT, body TEXT)`.
    pub query: &'static str,
}

/// A journal in a directory.
#[derive(Debug)]
pub struct SqliteJournal {
    pub(super) log: Connection,
    /// `None` while the files are open for reading only.
    writing: Option<Writing>,
    pub(super) bounds: Bounds,
    life: u64,
    views: Vec<View>,
    pub(super) shared: Arc<Shared>,
}

/// What is needed for appends beside the log.
#[derive(Debug)]
struct Writing {
    tidier: Tidier,
    end: End,
    file: Identity,
}

/// What stands in for a file between two openings.
fn nothing() -> Result<Connection, JournalError> {
    Connection::open_in_memory().map_err(|error| of_sqlite(Path::new("memory"), error))
}

/// Both files, open, and found to fit together.
struct Opened {
    log: Connection,
    writing: Option<Writing>,
    state: State,
    bounds: Bounds,
    life: u64,
}

impl SqliteJournal {
    /// Opens the journal in that directory, and makes both if they aren't there, as the log of `fresh_life`. The views
    /// are made anew if they aren't as given.
    ///
    /// If the disk is full or read-only, what is there is opened for reading: the journal can be loaded and replayed,
    /// and appends fail with a retryable error until the disk can be written.
    ///
    /// # Errors
    ///
    /// Any [`JournalError`] but `Unreadable`.
    pub fn open(directory: &Path, views: &[View], fresh_life: u64) -> Result<Self, JournalError> {
        make_directory(directory)?;
        let lock = take_lock(directory)?;
        let files = Arc::<Files>::default();
        let opened = match Opened::to_write(directory, views, fresh_life, &files) {
            Err(error @ (JournalError::Full { .. } | JournalError::ReadOnly { .. })) => {
                let opened = match Opened::to_read(directory) {
                    // There is nothing to read, or no way to.
                    Err(
                        JournalError::Io { .. }
                        | JournalError::NotWritable { .. }
                        | JournalError::NotThere { .. },
                    ) => return Err(error),
                    opened => opened?,
                };
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the journal can only be read; writes are refused until it can be written"
                );
                opened
            }
            opened => opened?,
        };
        Ok(Self::of(opened, directory, views, files, lock))
    }

    /// Has the numbering of a new log go on after that entry, for a state that comes from elsewhere: a checkpoint for
    /// the same entry must follow before anything else.
    ///
    /// # Errors
    ///
    /// Those of writing.
    #[cfg(feature = "postgres")]
    pub fn begin_after(&mut self, seq: u64) -> Result<(), JournalError> {
        if self.bounds.last > 0 || seq == 0 {
            return Ok(());
        }
        let path = self.log_path();
        let begun = rows::begin_after(&self.log, self.life, seq)
            .and_then(|()| rows::bounds(&self.log, self.life));
        self.bounds = begun.map_err(|error| of_sqlite(&path, error))?;
        Ok(())
    }

    fn of(opened: Opened, directory: &Path, views: &[View], files: Arc<Files>, lock: Lock) -> Self {
        let covered = opened.state.checkpoint.seq;
        Self {
            log: opened.log,
            writing: opened.writing,
            bounds: opened.bounds,
            life: opened.life,
            views: views.to_owned(),
            shared: Arc::new(Shared {
                directory: directory.to_owned(),
                state: Mutex::new(opened.state),
                covered: AtomicU64::new(covered),
                files,
                _lock: lock,
            }),
        }
    }

    /// As on a disk that is full or read-only.
    #[cfg(test)]
    pub(super) fn open_to_read(directory: &Path, views: &[View]) -> Result<Self, JournalError> {
        let lock = take_lock(directory)?;
        let opened = Opened::to_read(directory)?;
        Ok(Self::of(opened, directory, views, Arc::default(), lock))
    }

    fn log_path(&self) -> PathBuf {
        self.shared.directory.join(rows::NAME)
    }

    /// Opens the files for writing, if they are open for reading only. No other process has changed them: the lock is
    /// ours.
    fn reopen(&mut self) -> Result<(), JournalError> {
        if self.writing.is_some() {
            return Ok(());
        }
        // A process's connections to one file share its index, so those that only read have to go first.
        self.log = nothing()?;
        {
            let mut state = self.shared.state();
            state.file = nothing()?;
            state.handle = None;
        }
        let Shared {
            directory, files, ..
        } = &*self.shared;
        let (opened, written) = match Opened::to_write(directory, &self.views, self.life, files) {
            Ok(opened) => (opened, Ok(())),
            Err(error) => (Opened::to_read(directory)?, Err(error)),
        };
        self.log = opened.log;
        self.writing = opened.writing;
        *self.shared.state() = opened.state;
        written
    }
}

impl Opened {
    fn to_write(
        directory: &Path,
        views: &[View],
        fresh_life: u64,
        files: &Arc<Files>,
    ) -> Result<Self, JournalError> {
        let path = directory.join(rows::NAME);
        let state_path = directory.join(state::NAME);
        // Without the log a new one would be begun, and what there was would be forgotten.
        let was_there = Mark::read(directory).is_some_and(|mark| mark.seq > 0);
        if is_empty(&path) && (was_there || !is_empty(&state_path)) {
            return Err(lost(directory, "it is missing or empty".to_owned()));
        }
        let (mut log, life) = rows::open(&path, fresh_life)?;
        // Before the other file, so that none is there without this one.
        sync_directory(directory)?;
        let (state, checkpoint) = state::open(&state_path, life, views)?;
        let bounds = fit(directory, Mark::read(directory), &log, life, checkpoint)?;
        let mut end = End::open(directory)?;
        // What is in the log now is acknowledged as well: it will be served.
        let mark = Mark {
            life,
            seq: bounds.last,
            sum: bounds.sum,
        };
        end.write(mark)
            .and_then(|()| end.sync())
            .map_err(|error| JournalError::of_io(directory.join(end::NAME), error))?;
        sync_directory(directory)?;
        for (path, file) in [(&path, &log), (&state_path, &state)] {
            keep_wal(file, false).map_err(|error| of_sqlite(path, error))?;
        }
        Files::measure(&files.log, &path);
        Files::measure(&files.state, &state_path);
        let tidier = Tidier::begin(&path, &mut log, files.clone())?;
        let file = identity(&path);
        Ok(Self {
            log,
            writing: Some(Writing { tidier, end, file }),
            state: State {
                file: state,
                handle: File::open(&state_path).ok(),
                checkpoint,
                told: 0,
            },
            bounds,
            life,
        })
    }

    fn to_read(directory: &Path) -> Result<Self, JournalError> {
        let (log, state, life, checkpoint) = open_both(directory)?;
        let bounds = fit(directory, Mark::read(directory), &log, life, checkpoint)?;
        Ok(Self {
            log,
            writing: None,
            state: State {
                file: state,
                handle: None,
                checkpoint,
                told: 0,
            },
            bounds,
            life,
        })
    }
}

/// Opens both files for reading: the log, the state, the life, and the checkpoint.
pub(super) fn open_both(
    directory: &Path,
) -> Result<(Connection, Connection, u64, Checkpoint), JournalError> {
    let missing = |path: &Path, what: &str| JournalError::Corrupt {
        path: path.to_owned(),
        detail: format!("it has no {what}"),
    };
    let state_path = directory.join(state::NAME);
    let state = open_to_read(&state_path)?;
    let checkpoint =
        Checkpoint::read(&state_path, &state)?.ok_or_else(|| missing(&state_path, "checkpoint"))?;
    let path = directory.join(rows::NAME);
    let log = open_to_read(&path)?;
    let life = rows::life_of(&path, &log)?.ok_or_else(|| missing(&path, "life"))?;
    Ok((log, state, life, checkpoint))
}

/// Whether the files belong together and nothing is missing at an end; where the log begins and ends.
pub(super) fn fit(
    directory: &Path,
    mark: Option<Mark>,
    log: &Connection,
    life: u64,
    checkpoint: Checkpoint,
) -> Result<Bounds, JournalError> {
    let (log_path, state_path) = (directory.join(rows::NAME), directory.join(state::NAME));
    let fail = |error| of_sqlite(&log_path, error);
    let corrupt = |path: &Path, detail: String| JournalError::Corrupt {
        path: path.to_owned(),
        detail,
    };
    if checkpoint.life != life {
        let detail = "it is of another directory than journal.db".to_owned();
        return Err(corrupt(&state_path, detail));
    }
    let bounds = rows::bounds(log, life).map_err(fail)?;
    let (Bounds { first, last, .. }, covered) = (bounds, checkpoint.seq);
    if first > covered + 1 {
        let detail =
            format!("it stands for entry {covered}, and journal.db begins with entry {first}");
        return Err(corrupt(&state_path, detail));
    }
    if last < covered {
        let detail = format!("it ends with entry {last}, and state.db stands for entry {covered}");
        return Err(corrupt(&log_path, detail));
    }
    if let Some(mark) = mark {
        if mark.life != life {
            let detail = format!("{} is of another log", end::NAME);
            return Err(lost(directory, detail));
        }
        if last < mark.seq {
            let detail = format!(
                "it ends with entry {last}, and entry {} was acknowledged",
                mark.seq
            );
            return Err(lost(directory, detail));
        }
        let sum = rows::sum_at(log, mark.seq).map_err(fail)?;
        if sum.is_some_and(|sum| sum != mark.sum) {
            let detail = format!("entry {} is another than was acknowledged", mark.seq);
            return Err(lost(directory, detail));
        }
    }
    Ok(bounds)
}

fn is_empty(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) || !path.exists()
}

fn lost(directory: &Path, detail: String) -> JournalError {
    JournalError::Short {
        path: directory.join(rows::NAME),
        end: directory.join(end::NAME),
        detail,
    }
}

impl Journal for SqliteJournal {
    fn is_blocking(&self) -> bool {
        true
    }

    fn life(&self) -> u64 {
        self.life
    }

    fn last_seq(&self) -> u64 {
        self.bounds.last
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        if entries.is_empty() {
            return Ok(self.bounds.last);
        }
        let covered = self.shared.covered.load(Ordering::Acquire);
        let (path, bounds, life) = (self.log_path(), self.bounds, self.life);
        self.reopen()?;
        let Some(Writing { tidier, end, file }) = &mut self.writing else {
            return Err(JournalError::ReadOnly { path });
        };
        let written = {
            let _turn = tidier.appending();
            self.log.transaction().and_then(|transaction| {
                let bounds = rows::write(&transaction, bounds, entries, covered)?;
                transaction.commit()?;
                Ok(bounds)
            })
        };
        self.bounds = written.map_err(|error| of_sqlite(&path, error))?;
        check_place(&path, *file)?;
        let Bounds { last, sum, .. } = self.bounds;
        // The entries are durable, and the note only adds to what is noticed: that it can't be written is no failure.
        let _ = end.write(Mark {
            life,
            seq: last,
            sum,
        });
        tidier.appended();
        Ok(last)
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        let path = self.shared.directory.join(state::NAME);
        let state = self.shared.state();
        state::read_parts(&path, &state.file, state.checkpoint, each, &mut Err)?;
        Ok(self.shared.covered.load(Ordering::Acquire))
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        let path = self.log_path();
        let corrupt = |detail: String| JournalError::Corrupt {
            path: path.clone(),
            detail,
        };
        let mut expected = after + 1;
        let mut before = rows::sum_at(&self.log, after).map_err(|error| of_sqlite(&path, error))?;
        rows::read(&path, &self.log, after, &mut |row| {
            if row.first > expected {
                return Err(missing(&path, expected, row.first - 1));
            }
            let entries = row
                .entries()
                .filter(|_| before.is_none_or(|before| before == row.before))
                .ok_or_else(|| {
                    corrupt(format!(
                        "entries {} to {} are not what was written",
                        row.first, row.last
                    ))
                })?;
            for (seq, entry) in (row.first..).zip(entries) {
                if seq >= expected {
                    each(seq, entry)?;
                }
            }
            (expected, before) = (row.last + 1, Some(row.sum));
            Ok(())
        })?;
        if expected <= self.bounds.last {
            return Err(missing(&path, expected, self.bounds.last));
        }
        Ok(())
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        Box::new(SqliteCheckpoints(self.shared.clone()))
    }

    fn files(&self) -> Arc<Files> {
        self.shared.files.clone()
    }

    fn close(mut self: Box<Self>) -> Result<(), JournalError> {
        if self.writing.take().is_none() {
            return Ok(());
        }
        let path = self.log_path();
        let covered = self.shared.covered.load(Ordering::Acquire);
        let sweep = covered.min(self.bounds.last.saturating_sub(1));
        self.log
            .execute("DELETE FROM batch WHERE last <= ?1", [sweep])
            .and_then(|_| shrink(&self.log))
            .map(|_is_empty| ())
            .map_err(|error| of_sqlite(&path, error))?;
        self.log
            .close()
            .map_err(|(_, error)| of_sqlite(&path, error))
    }
}

pub(super) fn missing(path: &Path, from: u64, through: u64) -> JournalError {
    JournalError::Corrupt {
        path: path.into(),
        detail: format!("entries {from} to {through} are missing"),
    }
}
