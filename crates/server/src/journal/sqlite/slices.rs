//! Has a checkpoint reach the disk bit by bit.
//!
//! A disk writes what it is given about in order. If SQLite alone synced a checkpoint, hundreds of megabytes would come
//! at once, and the log's sync, which clients wait for, would come after all of them. So what SQLite has written is
//! synced a slice at a time: its write-ahead file while the parts come, and the file proper while pages are moved
//! there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::place::beside;

/// Bytes of a slice.
const SLICE_BYTES: u64 = 1024 * 1024;
/// Parts after which it is looked how long the write-ahead file is.
const PARTS_PER_LOOK: u32 = 64;
/// How long pages gather in the file proper before they are synced.
const GATHER: Duration = Duration::from_millis(2);

/// Syncs the write-ahead file as it grows.
#[derive(Debug)]
pub(super) struct Slices {
    path: PathBuf,
    /// Opened for the first slice. SQLite holds no lock on this file, so that closing it lets go of none.
    file: Option<File>,
    parts: u32,
    synced: u64,
}

impl Slices {
    /// Of the write-ahead file of the file at that path.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: beside(path, "-wal"),
            file: None,
            parts: 0,
            synced: 0,
        }
    }

    /// A part was written.
    pub(super) fn wrote_part(&mut self) {
        self.parts += 1;
        if !self.parts.is_multiple_of(PARTS_PER_LOOK) {
            return;
        }
        let bytes = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if bytes < self.synced + SLICE_BYTES {
            return;
        }
        self.synced = bytes;
        self.file = self.file.take().or_else(|| File::open(&self.path).ok());
        if let Some(file) = &self.file {
            // What can't be synced here fails again where SQLite syncs all of it.
            let _ = file.sync_data();
        }
    }
}

/// Does that, and meanwhile syncs the file again and again.
pub(super) fn syncing<T>(file: &File, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        let sync = move || {
            while is_done.recv_timeout(GATHER) == Err(RecvTimeoutError::Timeout) {
                // The same.
                let _ = file.sync_data();
            }
        };
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        // Without room for one more thread all is synced at the end.
        let _thread = thread.spawn_scoped(scope, sync);
        let worked = work();
        drop(done);
        worked
    })
}
