//! Empties the log's write-ahead file beside the appends.
//!
//! SQLite would do it within the append that makes the file long enough, which then waits for 16 MiB of writes and two
//! syncs more. Here a thread moves the pages by a connection of its own while appends go on. Only for the last few
//! pages, and for the turn back to the beginning of the file, an append has to wait.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::place::{beside, of_sqlite};
use crate::journal::{Files, JournalError};

/// Pages in the write-ahead file before they are moved to the file proper: 16 MiB.
const WAL_PAGES: u32 = 4_096;
/// Bytes of a page in the write-ahead file, its header included.
const FRAME_BYTES: u64 = 4_096 + 24;
/// As many pages may be left when appends have to wait.
const PAGES_LEFT: u32 = 64;
/// How often the pages that came meanwhile are moved before appends have to wait.
const PASSES_MAX: usize = 8;

/// The thread; dropping it ends it.
#[derive(Debug)]
pub(super) struct Tidier {
    /// Taken by the drop, which ends the thread.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Pages in the write-ahead file.
    pages: AtomicU32,
    /// Pages from which on it is to be emptied.
    due: AtomicU32,
    /// Held by each append, and by the turn.
    appends: Mutex<()>,
    path: PathBuf,
    files: Arc<Files>,
}

impl Tidier {
    /// Has the write-ahead file of `log`, which is open at that path, emptied whenever it is long enough.
    pub(super) fn begin(
        path: &Path,
        log: &mut Connection,
        files: Arc<Files>,
    ) -> Result<Self, JournalError> {
        let fail = |error| of_sqlite(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(path, flags).map_err(fail)?;
        // Other programs that read aren't waited for: there will be another time.
        file.busy_timeout(Duration::ZERO).map_err(fail)?;
        file.pragma_update(None, "synchronous", "full")
            .map_err(fail)?;
        let shared = Arc::new(Shared {
            pages: AtomicU32::default(),
            due: AtomicU32::new(WAL_PAGES),
            appends: Mutex::default(),
            path: path.to_owned(),
            files,
        });
        let (wake, woken) = sync_channel(1);
        let work = {
            let shared = shared.clone();
            move || shared.tidy(&file, &woken)
        };
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(work)
            .map_err(|error| JournalError::of_io(path, error))?;
        let counted = shared.clone();
        // It takes the place of SQLite's own way of emptying the file.
        let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
            let pages = u32::try_from(pages).unwrap_or_default();
            counted.pages.store(pages, Ordering::Relaxed);
            let bytes = u64::from(pages) * FRAME_BYTES;
            counted.files.log_wal.store(bytes, Ordering::Relaxed);
            Ok(())
        };
        log.wal_hook(Some(hook)).map_err(fail)?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            shared,
        })
    }

    /// Keeps the write-ahead file from being turned back, for one append.
    pub(super) fn appending(&self) -> MutexGuard<'_, ()> {
        self.shared.appending()
    }

    /// Wakes the thread if the write-ahead file has grown long enough.
    pub(super) fn appended(&self) {
        let Shared { pages, due, .. } = &*self.shared;
        if pages.load(Ordering::Relaxed) >= due.load(Ordering::Relaxed)
            && let Some(wake) = &self.wake
        {
            // If the channel is full the thread knows already.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Tidier {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, appends went on without it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn appending(&self) -> MutexGuard<'_, ()> {
        self.appends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tidy(&self, file: &Connection, woken: &Receiver<()>) {
        let mut told = 0;
        while woken.recv().is_ok() {
            match self.empty(file) {
                Ok(0) => {
                    self.due.store(WAL_PAGES, Ordering::Relaxed);
                    told = 0;
                }
                Ok(left) => {
                    // Not again with the very next append.
                    self.due.store(left + WAL_PAGES, Ordering::Relaxed);
                    let bytes = u64::from(left) * FRAME_BYTES;
                    self.files.blocked(&self.path, bytes, &mut told);
                }
                Err(error) => {
                    let later = self.pages.load(Ordering::Relaxed) + WAL_PAGES;
                    self.due.store(later, Ordering::Relaxed);
                    let error = of_sqlite(&self.path, error);
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the write-ahead file could not be emptied; nothing is lost, it grows until it can"
                    );
                }
            }
            Files::measure(&self.files.log, &self.path);
            Files::measure(&self.files.log_wal, &beside(&self.path, "-wal"));
        }
    }

    /// Moves the pages, and gives how many could not be moved because another program is reading.
    fn empty(&self, file: &Connection) -> rusqlite::Result<u32> {
        for _ in 0..PASSES_MAX {
            let (pages, moved) = checkpoint(file, "PASSIVE")?;
            if pages - moved <= PAGES_LEFT {
                break;
            }
        }
        let _turn = self.appending();
        let (pages, moved) = checkpoint(file, "RESTART")?;
        Ok(pages - moved)
    }
}

/// Pages in the write-ahead file, and how many of them are in the file proper as well.
fn checkpoint(file: &Connection, mode: &str) -> rusqlite::Result<(u32, u32)> {
    file.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        // Both are -1 if there is no write-ahead file.
        let (pages, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
        let count = |pages| u32::try_from(pages).unwrap_or_default();
        Ok((count(pages), count(moved.min(pages))))
    })
}
