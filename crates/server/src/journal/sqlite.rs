//! The journal in SQLite, in a directory of its own.
//!
//! Two files rather than one. SQLite lets one writer into a file at a time, and a checkpoint writes many pages at random:
//! in one file, appends would wait for it, or it would have to be cut into pieces, and pieces need a second format
//! that says which of them are valid after a crash. With two files neither is needed:
//!
//! - `journal.db` has the entries. Only the appending connection writes it, in ascending order, one transaction and one
//!   `fsync` a batch. A batch is one row, or a few where it is large: a row costs SQLite more than the bytes in it. The same
//!   transaction forgets a few old rows that a checkpoint has covered, so that there is no other writer and no second
//!   `fsync`. The last row always stays, so the numbering survives in the entries themselves.
//! - `state.db` has the parts. A checkpoint is a single transaction; SQLite makes it all or nothing, and somebody who looks
//!   at the file with `sqlite3` sees the last whole one.
//!
//! The order between the files is simple: a checkpoint is durable in `state.db` before the first entry it covers leaves `journal.db`.
//! A crash in between leaves entries that are older than the checkpoint, and replay begins after it.
//!
//! A third file, `abide.lock`, is held locked while the journal is open. The system lets go of that lock when the
//! process ends, however it ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params};

use super::{Checkpoints, EachEntry, EachPart, Journal, JournalError, PartChange};

/// The newest format this program writes; kept in `PRAGMA user_version` of both files.
const FORMAT_VERSION: u32 = 1;
/// `abid`, which tells our files from others (`PRAGMA application_id`).
const APPLICATION_ID: i32 = 0x6162_6964;
/// How long to wait for another program's transaction on a file.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How large a row may grow before the next entry begins another, in bytes.
const ROW_BYTES: usize = 64 * 1024;
/// Covered rows that a batch forgets at most, beside as many as it adds: few enough to cost well under a millisecond.
const SWEEP_ROWS: u64 = 4;
/// Pages in the log's write-ahead file before SQLite moves them to the file proper (16 MiB), which takes two more
/// `fsync`s and so should be rare.
const WAL_PAGES: u32 = 4_096;
/// What a write-ahead file is cut back to once it has been emptied, in bytes.
const WAL_BYTES_KEPT: u32 = 64 * 1024 * 1024;

/// A journal in a directory.
#[derive(Debug)]
pub struct SqliteJournal {
    log: Connection,
    /// The first entry that is still in the file.
    first: u64,
    last: u64,
    shared: Arc<Shared>,
}

/// A query under a name in `state.db`, for people with `sqlite3`. The journal doesn't know what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: &'static str,
    /// The query, over the table `part(key TEXT, body TEXT)`.
    pub query: &'static str,
}

/// What both doors hold. The lock is among it: it goes with the last of them.
#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    /// Behind a mutex because a load and a checkpoint share it; they never happen at the same time.
    state: Mutex<Connection>,
    /// The last entry that a checkpoint covers.
    covered: AtomicU64,
    _lock: File,
}

impl SqliteJournal {
    /// Opens the journal in that directory, and makes both where they aren't there. The views are made anew, so that they
    /// always fit the program that is running.
    ///
    /// # Errors
    ///
    /// Any [`JournalError`] but `Unreadable`.
    pub fn open(directory: &Path, views: &[View]) -> Result<Self, JournalError> {
        make_directory(directory)?;
        let lock = take_lock(directory)?;

        let log_path = directory.join("journal.db");
        let log = open_file(&log_path)?;
        prepare(
            &log,
            "CREATE TABLE IF NOT EXISTS batch (last INTEGER PRIMARY KEY, first INTEGER NOT NULL, lengths BLOB NOT NULL, bodies BLOB NOT NULL)",
        )
        .map_err(|error| of_sqlite(&log_path, error))?;
        log.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)
            .map_err(|error| of_sqlite(&log_path, error))?;

        let state_path = directory.join("state.db");
        let state = open_file(&state_path)?;
        prepare_state(&state, views).map_err(|error| of_sqlite(&state_path, error))?;

        let (first, last) = bounds(&log).map_err(|error| of_sqlite(&log_path, error))?;
        let covered = checkpoint(&state).map_err(|error| of_sqlite(&state_path, error))?;
        if first > covered + 1 {
            return Err(JournalError::Corrupt {
                path: state_path,
                detail: format!(
                    "it stands for entry {covered}, and journal.db begins with entry {first}"
                ),
            });
        }
        if last < covered {
            return Err(JournalError::Corrupt {
                path: log_path,
                detail: format!(
                    "it ends with entry {last}, and state.db stands for entry {covered}"
                ),
            });
        }
        sync_directory(directory)?;
        Ok(Self {
            log,
            first,
            last,
            shared: Arc::new(Shared {
                directory: directory.to_owned(),
                state: Mutex::new(state),
                covered: AtomicU64::new(covered),
                _lock: lock,
            }),
        })
    }

    fn log_path(&self) -> PathBuf {
        self.shared.directory.join("journal.db")
    }

    /// Writes the entries and forgets a few old rows; gives the first entry that is left.
    fn write(&mut self, entries: &[Vec<u8>]) -> rusqlite::Result<u64> {
        let covered = self.shared.covered.load(Ordering::Acquire);
        let transaction = self.log.transaction()?;
        let mut first_left = self.first;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO batch (last, first, lengths, bodies) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let (mut rest, mut next, mut rows) = (entries, self.last + 1, 0);
            while !rest.is_empty() {
                let (row, left) = rest.split_at(entries_of_a_row(rest));
                let last = next + row.len() as u64 - 1;
                let (lengths, bodies) = pack(row);
                insert.execute(params![last, next, lengths, text_or_blob(&bodies)])?;
                (rest, next, rows) = (left, last + 1, rows + 1);
            }
            if covered >= self.first {
                transaction
                    .prepare_cached(
                        "DELETE FROM batch WHERE last <= ?1 AND last IN (SELECT last FROM batch ORDER BY last LIMIT ?2)",
                    )?
                    .execute([covered, SWEEP_ROWS + rows])?;
                first_left = transaction
                    .prepare_cached("SELECT first FROM batch ORDER BY last LIMIT 1")?
                    .query_row([], |row| row.get(0))?;
            }
        }
        transaction.commit()?;
        Ok(first_left)
    }
}

impl Journal for SqliteJournal {
    fn is_blocking(&self) -> bool {
        true
    }

    fn last_seq(&self) -> u64 {
        self.last
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        if entries.is_empty() {
            return Ok(self.last);
        }
        self.first = self
            .write(entries)
            .map_err(|error| of_sqlite(&self.log_path(), error))?;
        self.last += entries.len() as u64;
        Ok(self.last)
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        let path = self.shared.directory.join("state.db");
        let fail = |error| of_sqlite(&path, error);
        let state = self.shared.state();
        let mut select = state
            .prepare("SELECT key, body FROM part ORDER BY key")
            .map_err(fail)?;
        let mut rows = select.query([]).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let key = row.get_ref(0).map_err(fail)?.as_str();
            let key = key.map_err(|error| fail(error.into()))?;
            each(key, bytes_of(row.get_ref(1).map_err(fail)?))?;
        }
        Ok(self.shared.covered.load(Ordering::Acquire))
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        let path = self.log_path();
        let fail = |error| of_sqlite(&path, error);
        let mut select = self
            .log
            .prepare("SELECT last, first, lengths, bodies FROM batch WHERE last > ?1 ORDER BY last")
            .map_err(fail)?;
        let mut rows = select.query([after]).map_err(fail)?;
        let mut expected = after + 1;
        while let Some(row) = rows.next().map_err(fail)? {
            let last: u64 = row.get(0).map_err(fail)?;
            let first: u64 = row.get(1).map_err(fail)?;
            if first > expected {
                return Err(missing(&path, expected, first - 1));
            }
            let lengths = row.get_ref(2).map_err(fail)?;
            let bodies = bytes_of(row.get_ref(3).map_err(fail)?);
            let entries = unpack(bytes_of(lengths), bodies)
                .filter(|entries| first + entries.len() as u64 == last + 1)
                .ok_or_else(|| JournalError::Corrupt {
                    path: path.clone(),
                    detail: format!("entries {first} to {last} are not whole"),
                })?;
            for (seq, entry) in (first..).zip(entries) {
                if seq >= expected {
                    each(seq, entry)?;
                }
            }
            expected = last + 1;
        }
        if expected <= self.last {
            return Err(missing(&path, expected, self.last));
        }
        Ok(())
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        Box::new(SqliteCheckpoints {
            shared: self.shared.clone(),
        })
    }

    fn close(self: Box<Self>) -> Result<(), JournalError> {
        let path = self.log_path();
        let covered = self.shared.covered.load(Ordering::Acquire);
        let sweep = covered.min(self.last.saturating_sub(1));
        self.log
            .execute("DELETE FROM batch WHERE last <= ?1", [sweep])
            .and_then(|_| empty_wal(&self.log))
            .map_err(|error| of_sqlite(&path, error))?;
        self.log
            .close()
            .map_err(|(_, error)| of_sqlite(&path, error))
    }
}

/// The door for checkpoints.
#[derive(Debug)]
struct SqliteCheckpoints {
    shared: Arc<Shared>,
}

impl Checkpoints for SqliteCheckpoints {
    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError> {
        let path = self.shared.directory.join("state.db");
        let mut state = self.shared.state();
        write_parts(&mut state, seq, changes).map_err(|error| of_sqlite(&path, error))?;
        self.shared.covered.store(seq, Ordering::Release);
        // The write-ahead file has grown by every page of the checkpoint. It is emptied here, off the path of appends; where
        // somebody is reading, it is emptied the next time.
        empty_wal(&state).map_err(|error| of_sqlite(&path, error))
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A transaction that was open when its owner panicked has been rolled back by its drop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_directory(directory: &Path) -> Result<(), JournalError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    // Jobs and secrets of webhooks are in there: nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(directory)
        .map_err(|error| JournalError::of_io(directory, error))
}

fn take_lock(directory: &Path) -> Result<File, JournalError> {
    let path = directory.join("abide.lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| JournalError::of_io(&path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Who holds it is only a help; the answer is the same without.
            let _ = file.read_to_string(&mut pid);
            return Err(JournalError::Locked {
                path: directory.to_owned(),
                pid: pid.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(JournalError::of_io(&path, error)),
    }
    let note = |file: &mut File| -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    note(&mut file).map_err(|error| JournalError::of_io(&path, error))?;
    Ok(file)
}

/// Makes the names of new files as durable as what is in them.
fn sync_directory(directory: &Path) -> Result<(), JournalError> {
    if cfg!(unix) {
        File::open(directory)
            .and_then(|handle| handle.sync_all())
            .map_err(|error| JournalError::of_io(directory, error))?;
    }
    Ok(())
}

fn open_file(path: &Path) -> Result<Connection, JournalError> {
    let fail = |error| of_sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags).map_err(fail)?;
    file.busy_timeout(BUSY_WAIT).map_err(fail)?;

    let version: u32 = pragma(&file, "user_version").map_err(fail)?;
    let application: i32 = pragma(&file, "application_id").map_err(fail)?;
    let tables: u32 = file
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fail)?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(JournalError::Foreign { path: path.into() });
    }
    if version > FORMAT_VERSION {
        return Err(JournalError::NewerVersion {
            path: path.into(),
            found: version,
            known: FORMAT_VERSION,
        });
    }
    Ok(file)
}

fn prepare(file: &Connection, tables: &str) -> rusqlite::Result<()> {
    file.pragma_update(None, "journal_mode", "wal")?;
    file.pragma_update(None, "synchronous", "full")?;
    file.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    // One transaction, so that a crash leaves either no table or all of them with their version.
    file.execute_batch(&format!(
        "BEGIN IMMEDIATE; {tables}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}; COMMIT"
    ))
}

fn prepare_state(state: &Connection, views: &[View]) -> rusqlite::Result<()> {
    use std::fmt::Write as _;

    let mut tables = String::from(
        "CREATE TABLE IF NOT EXISTS part (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS checkpoint (only INTEGER PRIMARY KEY CHECK (only = 1), seq INTEGER NOT NULL)",
    );
    for View { name, query } in views {
        // Writing to a string can't fail.
        let _ = write!(
            tables,
            "; DROP VIEW IF EXISTS {name}; CREATE VIEW {name} AS {query}"
        );
    }
    prepare(state, &tables)
}

fn bounds(log: &Connection) -> rusqlite::Result<(u64, u64)> {
    // Two queries, because SQLite answers each from an end of the tree and both together from a scan.
    let first: Option<u64> = log
        .query_row("SELECT first FROM batch ORDER BY last LIMIT 1", [], |row| {
            row.get(0)
        })
        .optional()?;
    let last: Option<u64> = log.query_row("SELECT max(last) FROM batch", [], |row| row.get(0))?;
    Ok((first.unwrap_or(1), last.unwrap_or(0)))
}

fn checkpoint(state: &Connection) -> rusqlite::Result<u64> {
    let seq = state
        .query_row("SELECT seq FROM checkpoint", [], |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or(0))
}

fn write_parts(
    state: &mut Connection,
    seq: u64,
    changes: &mut dyn Iterator<Item = PartChange>,
) -> rusqlite::Result<()> {
    let transaction = state.transaction()?;
    {
        let mut upsert = transaction.prepare_cached(
            "INSERT INTO part (key, body) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET body = excluded.body",
        )?;
        let mut delete = transaction.prepare_cached("DELETE FROM part WHERE key = ?1")?;
        for (key, body) in changes {
            match body {
                Some(body) => upsert.execute(params![key, text_or_blob(&body)])?,
                None => delete.execute([key])?,
            };
        }
        transaction
            .prepare_cached(
                "INSERT INTO checkpoint (only, seq) VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET seq = excluded.seq",
            )?
            .execute([seq])?;
    }
    transaction.commit()
}

fn empty_wal(file: &Connection) -> rusqlite::Result<()> {
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn pragma<T: rusqlite::types::FromSql>(file: &Connection, name: &str) -> rusqlite::Result<T> {
    file.pragma_query_value(None, name, |row| row.get(0))
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

/// The entries one after the other, and the length of each in four bytes: what they hold is not ours to separate them by.
fn pack(entries: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let lengths = entries.iter().flat_map(|entry| {
        u32::try_from(entry.len())
            .expect("a request has a limit far below four gigabytes")
            .to_le_bytes()
    });
    (lengths.collect(), entries.concat())
}

/// The entries of a row; `None` where the lengths don't fit.
fn unpack<'a>(lengths: &[u8], bodies: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    let (lengths, rest) = lengths.as_chunks::<4>();
    let mut left = bodies;
    let entries: Option<Vec<_>> = lengths
        .iter()
        .map(|length| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (entry, after) = left.split_at_checked(length)?;
            left = after;
            Some(entry)
        })
        .collect();
    entries.filter(|_| rest.is_empty() && left.is_empty())
}

/// Text is stored as text, so that `sqlite3` shows it to a person and its JSON functions take it.
fn text_or_blob(bytes: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match std::str::from_utf8(bytes) {
        Ok(_) => ValueRef::Text(bytes),
        Err(_) => ValueRef::Blob(bytes),
    })
}

fn bytes_of(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    }
}

fn missing(path: &Path, from: u64, through: u64) -> JournalError {
    JournalError::Corrupt {
        path: path.into(),
        detail: format!("entries {from} to {through} are missing"),
    }
}

fn of_sqlite(path: &Path, error: rusqlite::Error) -> JournalError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalError::Full { path },
        // The first thing that finds no room on a full disk is the index of the log, and SQLite has another word for that.
        _ if extended_code(&error) == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => {
            JournalError::Full { path }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => JournalError::Busy { path },
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            JournalError::NotWritable {
                path,
                source: error.into(),
            }
        }
        Some(ErrorCode::NotADatabase) => JournalError::Foreign { path },
        Some(ErrorCode::DatabaseCorrupt) => JournalError::Corrupt {
            path,
            detail: error.to_string(),
        },
        _ => JournalError::Io {
            path,
            source: error.into(),
        },
    }
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

#[cfg(test)]
mod tests;
