//! Where entries become durable, in order.
//!
//! A journal knows bytes and order; it knows neither jobs nor HTTP. It has two doors, so that neither waits for the other:
//!
//! - [`Journal`] is the log. [`append`](Journal::append) makes one batch durable in one transaction, under dense ascending
//!   sequence numbers that begin with 1.
//! - [`Checkpoints`] is what the log may be forgotten for: named parts of the state as of a sequence number. Writing one is
//!   slow and happens beside appends, on a handle of its own.
//!
//! A restart is [`load`](Journal::load), which gives the parts and the sequence number they stand for, and then
//! [`replay`](Journal::replay) of the entries after it. A crash at any moment leaves the last checkpoint that was
//! written whole, and every entry after it that was ever acknowledged.
//!
//! Calls block. Where [`is_blocking`](Journal::is_blocking) says that they wait for a disk, they belong on
//! `spawn_blocking`; where it says no, they may be made in place, which keeps a simulation on one thread.

mod memory;
mod sqlite;

use std::error::Error;
use std::io;
use std::path::PathBuf;

pub use memory::MemoryJournal;
pub use sqlite::{SqliteJournal, View};

/// What [`Journal::replay`] calls with each entry: its sequence number and its bytes.
pub type EachEntry<'a> = dyn FnMut(u64, &[u8]) -> Result<(), JournalError> + 'a;
/// What [`Journal::load`] calls with each part: its key and its bytes.
pub type EachPart<'a> = dyn FnMut(&str, &[u8]) -> Result<(), JournalError> + 'a;
/// A change of one part since the last checkpoint: its key, and its bytes or `None` where it is no more.
pub type PartChange = (String, Option<Vec<u8>>);

/// The log: a durable list of entries.
pub trait Journal: Send + std::fmt::Debug {
    /// Whether calls wait for a disk.
    fn is_blocking(&self) -> bool;

    /// The sequence number of the last entry, 0 where there has never been one.
    fn last_seq(&self) -> u64;

    /// Makes the entries durable, all or none, and returns the sequence number of the last one. Nothing happens where there are none.
    ///
    /// # Errors
    ///
    /// None of the entries was written. After [`JournalError::Full`] and [`JournalError::Busy`] the same call may be made again;
    /// after any other error the journal should be closed.
    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError>;

    /// Calls `each` with the parts of the last checkpoint, ordered by key, and returns its sequence number, 0 where there is none.
    ///
    /// # Errors
    ///
    /// Those of reading, and those of `each`, which end the load.
    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError>;

    /// Calls `each` with every entry after the sequence number `after`, in order.
    ///
    /// # Errors
    ///
    /// Those of reading, and those of `each`, which end the replay. An entry that should be there and isn't is
    /// [`JournalError::Corrupt`].
    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError>;

    /// The other door. It may be used on another thread while this one appends.
    fn checkpoints(&self) -> Box<dyn Checkpoints>;

    /// Writes out what is still pending and lets go of the files. Dropping a journal loses nothing either; closing
    /// one tells whether the last tidying went well.
    ///
    /// # Errors
    ///
    /// The tidying failed. Every acknowledged entry is safe all the same.
    fn close(self: Box<Self>) -> Result<(), JournalError>;
}

/// Checkpoints: the state, so that the entries before it may be forgotten.
pub trait Checkpoints: Send + std::fmt::Debug {
    /// Writes the changes since the last checkpoint, and that the parts now stand for the state after entry `seq`, as one
    /// step: after a crash either all of it is there or nothing. Entries up to `seq` are forgotten afterwards, bit by bit.
    ///
    /// The changes come one by one, so that they never lie in memory together; in order of their keys they are written faster.
    ///
    /// # Errors
    ///
    /// The last checkpoint is still the one before. Where the error passes, the next call must bring these changes again.
    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError>;
}

/// Why a journal can't do what it should. Every message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another server has the directory.
    #[error(
        "{} is in use by another server{}; stop that one, or give this one a directory of its own with --data",
        path.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other server's process, where it could be told.
        pid: Option<u32>,
    },
    /// Some other program holds the file, for example a shell with an open transaction.
    #[error("{} is locked by another program; end its transaction and try again", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The directory or a file in it can't be written.
    #[error("{} is not writable: {source}; change its owner or mode, or choose another directory with --data", path.display())]
    NotWritable {
        /// The directory or file.
        path: PathBuf,
        /// What the system says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no room left. Nothing was written, nothing is lost.
    #[error("there is no space left for {}; free some, nothing has been lost", path.display())]
    Full {
        /// The file that can't grow.
        path: PathBuf,
    },
    /// A newer version of this program wrote the file.
    #[error(
        "{} has format version {found}, and this program knows versions up to {known}; use the newer program, or another directory with --data",
        path.display()
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that is known here.
        known: u32,
    },
    /// The file is something else than a journal.
    #[error("{} is not one of this program's files; choose another directory with --data", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged, or a part of the directory is missing.
    #[error("{} is damaged: {detail}; restore the whole directory from a backup, or move it away to start empty", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// An entry or a part was read whole and means nothing to this program.
    #[error(
        "{what} in the journal can't be understood: {detail}; use the version of the program that wrote it"
    )]
    Unreadable {
        /// Which entry or part.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The disk or the system failed.
    #[error("{} can't be read or written: {source}; look at the system's log for a failing disk", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl JournalError {
    /// Whether the same call may succeed later, without anybody opening the journal anew.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. })
    }

    fn of_io(path: impl Into<PathBuf>, error: io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable {
                    path,
                    source: error.into(),
                }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io {
                path,
                source: error.into(),
            },
        }
    }
}

#[cfg(test)]
mod conformance;
