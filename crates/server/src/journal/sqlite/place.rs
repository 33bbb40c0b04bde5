//! The directory and its files: who may see them, who has them open, and what an error of SQLite's means.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::FromSql;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::journal::JournalError;

/// The format that this program writes; kept in `PRAGMA user_version` of both files.
pub(super) const FORMAT_VERSION: u32 = 2;
/// `abid`, which tells our files from others (`PRAGMA application_id`).
const APPLICATION_ID: i32 = 0x6162_6964;
/// How long to wait for another program's transaction on a file.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// What a write-ahead file is cut back to once it has been emptied, in bytes.
const WAL_BYTES_KEPT: u32 = 64 * 1024 * 1024;
/// Pages that may be written to give a few free ones back.
const SHRINK_PAGES: u64 = 256;
/// What a failed write is tried again with elsewhere, in bytes: as much as a row of the log may have.
const PROBE_BYTES: usize = 64 * 1024;

/// The path of the write-ahead file, or of another file that belongs to that one.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a file for its owner alone, and makes it where it isn't there. What others may do with it is taken away.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        // SQLite gives the files that it makes beside it the same mode.
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(file)
}

pub(super) fn make_directory(directory: &Path) -> Result<(), JournalError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    // Jobs and the secrets of webhooks are in there.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(directory)
        .map_err(|error| JournalError::of_io(directory, error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = fs::metadata(directory)
            .map_err(|error| JournalError::of_io(directory, error))?
            .permissions()
            .mode();
        if mode & 0o007 != 0 {
            tracing::warn!(
                directory = %directory.display(),
                mode = format_args!("{:o}", mode & 0o777),
                "every user of this machine may look into the data directory; its files are the server's alone, and `chmod 700` makes it so too"
            );
        }
    }
    Ok(())
}

/// What keeps other servers out of a directory. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    /// Names the process that holds it.
    _file: File,
    /// The directory itself, since the file can be removed; `None` if the system locks no directories.
    _directory: Option<File>,
}

/// Locks the directory for this process.
pub(super) fn take_lock(directory: &Path) -> Result<Lock, JournalError> {
    refuse_odd_files(directory)?;
    let path = directory.join("abide.lock");
    let opened = private(&path).or_else(|error| match error.kind() {
        // There the lock can be held all the same.
        io::ErrorKind::ReadOnlyFilesystem => File::open(&path).map_err(|_| error),
        _ => Err(error),
    });
    let mut file = opened.map_err(|error| JournalError::of_io(&path, error))?;
    let locked = |pid| JournalError::Locked {
        path: directory.to_owned(),
        pid,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Who holds it is only a help; the answer is the same without.
            let _ = file.read_to_string(&mut pid);
            return Err(locked(pid.trim().parse().ok()));
        }
        Err(TryLockError::Error(error)) => return Err(JournalError::of_io(&path, error)),
    }
    let handle = File::open(directory).ok().filter(|_| cfg!(unix));
    let handle = match handle.map(|handle| (handle.try_lock(), handle)) {
        Some((Ok(()), handle)) => Some(handle),
        Some((Err(TryLockError::WouldBlock), _)) => return Err(locked(None)),
        Some((Err(TryLockError::Error(_)), _)) | None => None,
    };
    let note = |file: &mut File| -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    // The same: a full disk is no reason not to start.
    let _ = note(&mut file);
    Ok(Lock {
        _file: file,
        _directory: handle,
    })
}

/// Refuses files of ours that are a link, a pipe or anything else but a file: what they lead to isn't ours to change.
fn refuse_odd_files(directory: &Path) -> Result<(), JournalError> {
    for name in ["abide.lock", "journal.end", "journal.db", "state.db"] {
        for suffix in ["", "-wal", "-shm"] {
            let path = beside(&directory.join(name), suffix);
            if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
                return Err(JournalError::Foreign { path });
            }
        }
    }
    Ok(())
}

/// Which file a path leads to: its device and number; `None` if to none.
pub(super) type Identity = Option<(u64, u64)>;

/// The file at that path. Elsewhere than on Unix it is always the same.
pub(super) fn identity(path: &Path) -> Identity {
    let found = fs::metadata(path).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;

        Some((found.dev(), found.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        Some((0, 0))
    }
}

/// Whether the file that was opened there still is. What is written to one that was removed is lost with the process.
pub(super) fn check_place(path: &Path, opened: Identity) -> Result<(), JournalError> {
    if identity(path) == opened {
        return Ok(());
    }
    Err(JournalError::Corrupt {
        path: path.to_owned(),
        detail: "it was removed or replaced while the server ran".to_owned(),
    })
}

/// Makes the names of new files as durable as what is in them.
pub(super) fn sync_directory(directory: &Path) -> Result<(), JournalError> {
    if cfg!(unix) {
        File::open(directory)
            .and_then(|handle| handle.sync_all())
            .map_err(|error| JournalError::of_io(directory, error))?;
    }
    Ok(())
}

/// Opens a file of ours for writing, and makes it with these tables if it is new. It is closed as it was until
/// [`keep_wal`] says otherwise.
///
/// `erase` is SQLite's `secure_delete`: `on` overwrites what is deleted at once, `fast` unless that takes a write more.
pub(super) fn open_to_write(
    path: &Path,
    tables: &str,
    erase: &str,
) -> Result<Connection, JournalError> {
    let fail = |error| of_sqlite(path, error);
    private(path).map_err(|error| JournalError::of_io(path, error))?;
    for suffix in ["-wal", "-shm"] {
        let beside = beside(path, suffix);
        if beside.exists() {
            private(&beside).map_err(|error| JournalError::of_io(&beside, error))?;
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags).map_err(fail)?;
    file.busy_timeout(BUSY_WAIT).map_err(fail)?;
    keep_wal(&file, true).map_err(fail)?;
    let is_new = identify(path, &file)?;
    let settings = [
        ("journal_mode", "wal"),
        ("synchronous", "full"),
        ("secure_delete", erase),
    ];
    for (name, value) in settings {
        file.pragma_update(None, name, value).map_err(fail)?;
    }
    file.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)
        .map_err(fail)?;
    if is_new {
        // One transaction, so that a crash leaves either no table or all of them with their version.
        file.execute_batch(&format!(
            "BEGIN IMMEDIATE; {tables}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}; COMMIT"
        ))
        .map_err(fail)?;
    }
    Ok(file)
}

/// Whether closing the file leaves the write-ahead file as it is. Otherwise SQLite moves what is whole and removes the
/// rest, which is all that is left of damaged entries.
pub(super) fn keep_wal(file: &Connection, keep: bool) -> rusqlite::Result<()> {
    file.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(|_is_kept| ())
}

/// Opens a file of ours for reading. Nothing is written, so that it also works on a disk that is full or read-only.
///
/// # Errors
///
/// A write-ahead file on a read-only disk can't be read without its index, the `-shm` file, beside it.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, JournalError> {
    let fail = |error| of_sqlite(path, error);
    let open = |parameters: &str| -> Result<Connection, JournalError> {
        let absolute = fs::canonicalize(path).map_err(|error| JournalError::of_io(path, error))?;
        let mut address =
            url::Url::from_file_path(&absolute).map_err(|()| JournalError::Foreign {
                path: path.to_owned(),
            })?;
        address.set_query(Some(parameters));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        let file = Connection::open_with_flags(address.as_str(), flags).map_err(fail)?;
        file.busy_timeout(BUSY_WAIT).map_err(fail)?;
        let is_new = identify(path, &file)?;
        if is_new {
            return Err(JournalError::Corrupt {
                path: path.to_owned(),
                detail: "it is empty".to_owned(),
            });
        }
        Ok(file)
    };
    match open("mode=ro") {
        Err(
            JournalError::Full { .. }
            | JournalError::ReadOnly { .. }
            | JournalError::NotWritable { .. }
            | JournalError::Io { .. },
        ) => {}
        other => return other,
    }
    // SQLite keeps the index in memory if it can't write the index's file, and if that file exists.
    let wal = fs::metadata(beside(path, "-wal")).map_or(0, |metadata| metadata.len());
    if wal == 0 {
        return open("mode=ro&immutable=1");
    }
    let _exists_or_cannot = private(&beside(path, "-shm"));
    open("mode=ro&readonly_shm=1")
}

/// Whether the file has nothing in it yet.
fn identify(path: &Path, file: &Connection) -> Result<bool, JournalError> {
    let fail = |error| of_sqlite(path, error);
    let version: u32 = pragma(file, "user_version").map_err(fail)?;
    let application: i32 = pragma(file, "application_id").map_err(fail)?;
    let tables: u32 = file
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(JournalError::Foreign { path: path.into() });
    }
    if (tables > 0 || version > 0) && version != FORMAT_VERSION {
        return Err(JournalError::OtherVersion {
            path: path.into(),
            found: version,
            known: FORMAT_VERSION,
        });
    }
    Ok(tables == 0)
}

pub(super) fn pragma<T: FromSql>(file: &Connection, name: &str) -> rusqlite::Result<T> {
    file.pragma_query_value(None, name, |row| row.get(0))
}

/// Gives the space of deleted rows back if that is cheap or saves half of the file, and empties the write-ahead file.
/// Whether that was possible: it isn't while another program is reading.
pub(super) fn shrink(file: &Connection) -> rusqlite::Result<bool> {
    let free: u64 = pragma(file, "freelist_count")?;
    let pages: u64 = pragma(file, "page_count")?;
    if free > pages / 2 || (free > 0 && pages - free <= SHRINK_PAGES) {
        file.execute_batch("VACUUM")?;
    }
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get(0).map(|is_blocked: bool| !is_blocked)
    })
}

/// What an error of SQLite's means for the file at that path.
pub(super) fn of_sqlite(path: &Path, error: rusqlite::Error) -> JournalError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalError::Full { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => JournalError::Busy { path },
        Some(ErrorCode::NotADatabase) => JournalError::Foreign { path },
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied,
        ) => of_system(path, error),
        Some(ErrorCode::OutOfMemory | ErrorCode::OperationInterrupted) => JournalError::Io {
            path,
            source: error.into(),
        },
        // Our statements are right and our values fit: what SQLite doesn't understand is damaged.
        _ => JournalError::Corrupt {
            path,
            detail: error.to_string(),
        },
    }
}

/// What the system would say. SQLite has one word for a quota that is used up, a disk that is read-only and a disk that
/// fails, and keeps the system's own to itself; so the same is tried on a file beside it, which tells.
fn of_system(path: PathBuf, error: rusqlite::Error) -> JournalError {
    let source = |path, error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => JournalError::Io {
            path,
            source: error.into(),
        },
        _ => JournalError::NotWritable {
            path,
            source: error.into(),
        },
    };
    match probe(&beside(&path, "-probe")) {
        Ok(()) => source(path, error),
        Err(system) => match JournalError::of_io(path.clone(), system) {
            JournalError::Io { .. } => source(path, error),
            told => told,
        },
    }
}

fn probe(path: &Path) -> io::Result<()> {
    let tried = private(path).and_then(|mut file| {
        file.write_all(&[0; PROBE_BYTES])?;
        file.sync_all()
    });
    // It holds nothing; what is left of it is written over the next time.
    let _ = fs::remove_file(path);
    tried
}
