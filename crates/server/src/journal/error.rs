//! What can go wrong with a journal, and what to do about it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

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
        /// The other server's process, if it could be told.
        pid: Option<u32>,
    },
    /// A backup would be written over something else.
    #[error("{} is not empty; choose a new directory for the backup", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Another program holds the file, for example a shell with an open transaction.
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
    /// There is no room left, or the quota is used up. Nothing was written, nothing is lost.
    #[error("there is no space left for {}; free some, nothing has been lost", path.display())]
    Full {
        /// The file that can't grow.
        path: PathBuf,
    },
    /// The file system is read-only, as the system makes it after a fault of the disk. Nothing was written, nothing is
    /// lost.
    #[error("the file system of {} is read-only; make it writable again, or choose another directory with --data; nothing has been lost", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Another version of this program wrote the file.
    #[error(
        "{} has format version {found}, and this program reads version {known}; use the program that wrote it, or another directory with --data",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// The file is something else than a journal.
    #[error("{} is not one of this program's files; choose another directory with --data", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged, or a part of the directory is missing.
    #[error(
        "{} is damaged: {detail}; `abide check` lists all damage. Restore the whole directory from a backup, or move it away to start empty",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The log ends before an entry that was acknowledged.
    #[error(
        "{} has lost entries: {detail}; restore the whole directory from a backup, or remove {} to start with what is left",
        path.display(),
        end.display()
    )]
    Short {
        /// The log.
        path: PathBuf,
        /// The file that knows how far the log went.
        end: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The database can't be reached or doesn't take writes at the moment. Nothing was written, nothing is lost.
    #[error("{place} can't be used at the moment: {source}; nothing has been lost")]
    Away {
        /// The database and schema.
        place: String,
        /// What the database or the system says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer to an append was lost. The same append finds out whether it was written.
    #[error("{place} didn't answer an append: {source}; it is tried again and written once")]
    Unknown {
        /// The database and schema.
        place: String,
        /// What the system says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another server writes the log now, or has this one's name.
    #[error(
        "another server has taken over {place}: {detail}; this one ends, and nothing that it acknowledged is lost"
    )]
    Superseded {
        /// The database and schema.
        place: String,
        /// What shows it.
        detail: String,
    },
    /// The database has lost what it had acknowledged, as a failover to an asynchronous standby does.
    #[error(
        "{place} has lost entries that it had acknowledged: {detail}; restore them, or continue without them by `abide cluster accept-loss`"
    )]
    LostByDatabase {
        /// The database and schema.
        place: String,
        /// What is missing.
        detail: String,
    },
    /// The schema has no tables.
    #[error(
        "{place} has no cluster that the role may use; make one with `abide cluster init`, or name another with --schema"
    )]
    NoCluster {
        /// The database and schema.
        place: String,
    },
    /// The database refuses what the journal needs.
    #[error("{place} can't be used: {source}; look at the role's rights and the database's log")]
    Refused {
        /// The database and schema.
        place: String,
        /// What the database says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Entries were asked for that a checkpoint has covered. A reader of the log begins again with
    /// [`Journal::load`](super::Journal::load).
    #[error("entries {from} to {through} are missing in {place}")]
    Missing {
        /// The database and schema.
        place: String,
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        through: u64,
    },
    /// A row of the database isn't what was written.
    #[error("{place} is damaged: {detail}; restore the database from a backup")]
    Damaged {
        /// The database and schema.
        place: String,
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
    /// The file isn't there, or the directory that it should be in.
    #[error("{} isn't there; is that the path of a data directory?", path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
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
    /// Whether the same call may succeed later without opening the journal anew: the disk is full or read-only, the
    /// file is locked, or the database is away. After any other error the journal's own state is in doubt.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::ReadOnly { .. }
                | Self::Busy { .. }
                | Self::Away { .. }
                | Self::Unknown { .. }
        )
    }

    /// The error of an entry or a part that this program doesn't understand.
    pub(crate) fn unreadable(what: String, error: &dyn Error) -> Self {
        let detail = error
            .source()
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        Self::Unreadable { what, detail }
    }

    pub(super) fn of_io(path: impl Into<PathBuf>, error: io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::NotWritable {
                path,
                source: error.into(),
            },
            io::ErrorKind::NotFound => Self::NotThere { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { path },
            _ => Self::Io {
                path,
                source: error.into(),
            },
        }
    }
}
