//! A journal in memory whose disk does as a test says.

use std::fmt;
use std::time::Duration;

use abide_server::journal::{
    Checkpoints, EachEntry, EachPart, Journal, JournalError, MemoryJournal,
};

/// The journal, and what its disk does before each append.
pub struct Disk<F> {
    pub inner: MemoryJournal,
    /// Whether it may stand still, which is nothing to do on the loop's thread.
    pub is_blocking: bool,
    /// How much longer an append takes, by tokio's time.
    pub latency: Duration,
    pub before_append: F,
}

impl<F> fmt::Debug for Disk<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<F: FnMut() -> Result<(), JournalError> + Send> Journal for Disk<F> {
    fn is_blocking(&self) -> bool {
        self.is_blocking
    }

    fn latency(&self) -> Duration {
        self.latency
    }

    fn life(&self) -> u64 {
        self.inner.life()
    }

    fn last_seq(&self) -> u64 {
        self.inner.last_seq()
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        (self.before_append)()?;
        self.inner.append(entries)
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        self.inner.load(each)
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        self.inner.replay(after, each)
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        self.inner.checkpoints()
    }
}
