//! How large a journal's files are, for metrics.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The files of a journal. A journal in memory has none, and all figures are 0.
#[derive(Debug, Default)]
pub struct Files {
    /// The log, in bytes.
    pub log: AtomicU64,
    /// The log's write-ahead file, in bytes.
    pub log_wal: AtomicU64,
    /// The checkpoint, in bytes.
    pub state: AtomicU64,
    /// The checkpoint's write-ahead file, in bytes.
    pub state_wal: AtomicU64,
    /// How often since it was last read a write-ahead file could not be emptied, because another program was reading.
    pub blocked: AtomicU64,
}

/// Bytes of a write-ahead file that could not be emptied from which on a person is told; then each time that it has
/// doubled.
const WARN_BYTES: u64 = 64 * 1024 * 1024;

impl Files {
    /// The files' names and sizes in bytes, but for those that aren't there.
    pub fn sizes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let sizes = [
            ("journal.db", &self.log),
            ("journal.db-wal", &self.log_wal),
            ("state.db", &self.state),
            ("state.db-wal", &self.state_wal),
        ];
        let is_there = self.log.load(Ordering::Relaxed) > 0;
        let sizes = sizes.map(|(file, bytes)| (file, bytes.load(Ordering::Relaxed)));
        sizes.into_iter().filter(move |_| is_there)
    }

    /// Notes the size of the file at that path.
    pub(super) fn measure(size: &AtomicU64, path: &Path) {
        let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        size.store(bytes, Ordering::Relaxed);
    }

    /// Notes that a write-ahead file of that size could not be emptied, and tells of it when it has doubled since.
    pub(super) fn blocked(&self, path: &Path, bytes: u64, told: &mut u64) {
        self.blocked.fetch_add(1, Ordering::Relaxed);
        if bytes >= WARN_BYTES.max(2 * *told) {
            *told = bytes;
            tracing::warn!(
                file = %path.display(),
                bytes,
                "another program reads the file and keeps its write-ahead file from being emptied; end its transaction"
            );
        }
    }
}
