//! Where entries become durable, in order.
//!
//! A journal knows bytes and order; it knows neither jobs nor HTTP. It has two doors, so that neither waits for the
//! other:
//!
//! - [`Journal`] is the log. [`append`](Journal::append) makes one batch durable in one transaction, under dense
//!   ascending sequence numbers that begin with 1.
//! - [`Checkpoints`] is what the log may be forgotten for: named parts of the state as of a sequence number. Writing
//!   one is slow and happens beside appends, on a handle of its own.
//!
//! A restart is [`load`](Journal::load), which gives the parts and the sequence number they stand for, and then
//! [`replay`](Journal::replay) of the entries after it. A crash at any moment leaves the last checkpoint that was
//! written whole, and every entry after it that was ever acknowledged.
//!
//! A log that several servers may write has a third door, [`SharedLog`]: it tells who wrote what, so that one of them
//! writes and the others read along.
//!
//! Calls block. Where [`is_blocking`](Journal::is_blocking) says that they wait for a disk, they belong on
//! `spawn_blocking`; where it says no, they may be made in place, which keeps a simulation on one thread. A log that is
//! reached over a connection can wait for its appends on the loop's own runtime, which saves two threads a wake-up
//! each.

mod blocking;
mod error;
mod files;
mod memory;
mod packed;
#[cfg(feature = "postgres")]
mod postgres;
mod shared;
mod shared_memory;
mod sqlite;
mod sums;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

pub(crate) use blocking::may_block;
pub use error::JournalError;
pub use files::Files;
pub use memory::MemoryJournal;
#[cfg(all(test, feature = "postgres"))]
pub(crate) use postgres::packed;
#[cfg(feature = "postgres")]
pub(crate) use postgres::unpacked;
#[cfg(feature = "postgres")]
pub use postgres::{Admin, Database, DatabaseError, Health, PostgresJournal, SealKey, Standing};
pub use shared::{Batch, Beat, Leading, Lease, Member, Position, SharedLog, Tail};
pub use shared_memory::{Call, Fault, SharedMemoryJournal};
pub use sqlite::{SqliteJournal, View, backup, check};

/// What [`Journal::replay`] calls with each entry: its sequence number and its bytes.
pub type EachEntry<'a> = dyn FnMut(u64, &[u8]) -> Result<(), JournalError> + 'a;
/// What [`Journal::load`] calls with each part: its key and its bytes.
pub type EachPart<'a> = dyn FnMut(&str, &[u8]) -> Result<(), JournalError> + 'a;
/// A change of one part since the last checkpoint: its key, and its bytes or `None` where it is no more. Where the
/// first one's key is empty, all parts are no more, and what follows is all.
pub type PartChange = (String, Option<Vec<u8>>);

/// The log: a durable list of entries.
pub trait Journal: Send + std::fmt::Debug {
    /// Whether calls wait for a disk.
    fn is_blocking(&self) -> bool;

    /// How much longer an append takes than its call. One that is made in place takes no time of its own, and a
    /// simulated disk may.
    fn latency(&self) -> Duration {
        Duration::ZERO
    }

    /// Which log this is: another number for each log that was ever begun, and for each restored backup. A sequence
    /// number means something within one life only. Below 2^63.
    fn life(&self) -> u64;

    /// The sequence number of the last entry, 0 if there has never been one.
    fn last_seq(&self) -> u64;

    /// Makes the entries durable, all or none, and returns the sequence number of the last one. Without entries nothing
    /// happens.
    ///
    /// # Errors
    ///
    /// None of the entries was written, but for [`JournalError::Unknown`], after which the same call finds out. After
    /// an error that [`is_retryable`](JournalError::is_retryable) the same call may be made again; after any other
    /// error the journal should be closed.
    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError>;

    /// Whether [`append_here`](Self::append_here) makes these entries durable without blocking.
    fn appends_here(&self, _entries: &[Vec<u8>]) -> bool {
        false
    }

    /// The same as [`append`](Self::append), as a future that waits on the caller's runtime instead of blocking a
    /// thread, for entries that [`appends_here`](Self::appends_here) says so of.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the entries were written: the journal should be closed.
    fn append_here<'a>(
        &'a mut self,
        entries: &'a [Vec<u8>],
    ) -> BoxFuture<'a, Result<u64, JournalError>> {
        ready(self.append(entries)).boxed()
    }

    /// Calls `each` with the parts of the last checkpoint, ordered by key, and returns its sequence number, or 0
    /// without one.
    ///
    /// # Errors
    ///
    /// Those of reading, [`JournalError::Corrupt`] if a part isn't what was written or is missing, and those of `each`,
    /// which end the load.
    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError>;

    /// Calls `each` with every entry after the sequence number `after`, in order.
    ///
    /// # Errors
    ///
    /// Those of reading, and those of `each`, which end the replay. An entry that is missing or isn't what was
    /// written is [`JournalError::Corrupt`].
    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError>;

    /// The other door. It may be used on another thread while this one appends.
    fn checkpoints(&self) -> Box<dyn Checkpoints>;

    /// What a log that several servers share can do beside this; `None` for a log of one process.
    fn shared(&mut self) -> Option<&mut dyn SharedLog> {
        None
    }

    /// The sizes of its files, kept up to date.
    fn files(&self) -> Arc<Files> {
        Arc::default()
    }

    /// Writes out what is still pending and lets go of the files. Dropping a journal loses nothing either; closing
    /// one tells whether the last tidying went well. What has nothing pending does nothing.
    ///
    /// # Errors
    ///
    /// The tidying failed. Every acknowledged entry is safe all the same.
    fn close(self: Box<Self>) -> Result<(), JournalError> {
        Ok(())
    }
}

/// Checkpoints: the state, so that the entries before it may be forgotten.
pub trait Checkpoints: Send + std::fmt::Debug {
    /// Entries after which a checkpoint is written while the loop is idle. Under load it takes as many as there are
    /// jobs, at least eight and at most thirty times as many, which bounds what a restart has to replay; or this many
    /// once the names of what has changed take much memory.
    fn entries(&self) -> u64 {
        50_000
    }

    /// Whether anything that is written is kept. Where it isn't, nothing need be gathered.
    fn is_kept(&self) -> bool {
        true
    }

    /// Writes the changes since the last checkpoint, and that the parts now stand for the state after entry `seq`, as
    /// one step: after a crash either all of it is there or nothing. Entries up to `seq` are forgotten afterwards, bit
    /// by bit.
    ///
    /// The changes come one by one, so that they never lie in memory together; in order of their keys they are written
    /// faster.
    ///
    /// # Errors
    ///
    /// The last checkpoint is still the one before. Where the error passes, the next call must bring these changes
    /// again.
    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError>;
}

#[cfg(test)]
mod conformance;
