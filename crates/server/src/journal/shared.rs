//! A log that several servers share: one writes, the others read along.
//!
//! The fence is the number of the batch and the nonce of the batch before. [`Journal::append`] writes the batch
//! `position().batch + 1`, and only if the batch before it is still the one that this handle wrote or read last. So two
//! writers never interleave, without a clock, a lock or a lease:
//!
//! - Another server has written that number: [`JournalError::Superseded`]. The server ends, because its engine is ahead
//!   of a log that has gone another way.
//! - The answer was lost: [`JournalError::Unknown`], which is retryable. The same entries are appended again under the
//!   same number and nonce, and the nonce that is found there decides whether the first attempt was written.
//! - The batch before is gone, so the database has gone back in time: [`JournalError::LostByDatabase`]. The server ends,
//!   and a person decides.
//!
//! A new leader follows the log to its end, calls [`stand_at`](SharedLog::stand_at) with the position that it has
//! applied, and writes a [`mark`](SharedLog::mark): a batch without entries. If the old leader was quicker the mark is
//! `Superseded`; the new one reads that batch and tries again. After the mark the old leader's next append is refused.
//!
//! [`Lease`] holds what a cluster knows of its nodes. It decides when a node tries to lead, never whether it may write.

use std::fmt::Debug;
use std::sync::Arc;

use abide_wire::Timestamp;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Journal;
use super::JournalError;

/// A place in a shared log: right after a batch. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The number of the batch; 0 before the first.
    pub batch: u64,
    /// The nonce of that batch; 0 before the first.
    pub nonce: u64,
    /// The sequence number of the last entry up to here.
    pub seq: u64,
}

/// A batch as the log has it. A mark has no entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its number: dense and ascending, the first one is 1.
    pub number: u64,
    /// The term of the leader that wrote it. Terms never fall along the log.
    pub term: u64,
    /// No other batch of any writer has it.
    pub nonce: u64,
    /// The nonce of the batch before; 0 for the first.
    pub before: u64,
    /// The sequence number of its first entry, or of the next entry of the log if it has none.
    pub first: u64,
    /// Its entries.
    pub entries: Vec<Vec<u8>>,
}

impl Batch {
    /// The place right after it.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position {
            batch: self.number,
            nonce: self.nonce,
            seq: self.first + self.entries.len() as u64 - 1,
        }
    }

    /// Whether it is the next one after that place. A batch of the next number that doesn't follow belongs to another
    /// history: the log has lost what the reader has applied.
    #[must_use]
    pub const fn follows(&self, position: Position) -> bool {
        self.number == position.batch + 1
            && self.before == position.nonce
            && self.first == position.seq + 1
    }
}

/// What a [`Journal`] can do if its log is shared; see [`Journal::shared`].
pub trait SharedLog: Debug {
    /// The place after the batch that this handle wrote or read last. [`Journal::replay`] leaves it at the end of the
    /// log, and a successful append after its batch.
    fn position(&self) -> Position;

    /// The term under which this handle appends.
    fn term(&self) -> u64;

    /// Appends go after that place from now on. A follower calls it with what it has applied, before its mark.
    fn stand_at(&mut self, position: Position);

    /// Writes a mark after [`position`](Self::position) and appends under `term` from now on.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::append`]. After [`JournalError::Superseded`] the caller reads the batches that came in
    /// between and may try again. After [`JournalError::Unknown`] the same call decides.
    fn mark(&mut self, term: u64) -> Result<Position, JournalError>;

    /// The entries of the batch that this handle wrote last, packed once for the log and for followers; `None` where
    /// the log has them as they are.
    fn packed(&self) -> Option<Arc<[u8]>> {
        None
    }

    /// Reads the log, on a connection of its own.
    fn tail(&self) -> Box<dyn Tail>;

    /// The cluster's nodes, on a connection of its own.
    fn lease(&self) -> Box<dyn Lease>;
}

/// Reads a shared log as it grows. Calls block as those of a [`Journal`] do.
pub trait Tail: Send + Debug {
    /// The batches after that place, in order, some at a time: none if there is nothing new.
    ///
    /// # Errors
    ///
    /// [`JournalError::Away`] if the database can't be reached, which passes. [`JournalError::LostByDatabase`] if the
    /// log no longer has that place: it ends before it, or has another batch there. [`JournalError::Missing`] if a
    /// checkpoint has covered the next batch and it is forgotten: the reader begins again with [`Journal::load`].
    /// [`JournalError::Damaged`] if a batch isn't what was written.
    fn read(&mut self, after: Position) -> Result<Vec<Batch>, JournalError>;
}

/// A process that takes part in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's name, unique in the cluster.
    pub node: String,
    /// Which process of that name. A new process takes the name over.
    pub run: u64,
    /// Where other nodes reach it; empty if they can't.
    pub address: String,
    /// The program's version.
    pub version: String,
    /// The oldest level of stored forms that it reads.
    pub reads_from: u32,
    /// The newest level of stored forms that it reads.
    pub reads_to: u32,
    /// The number of the last batch that it has applied.
    pub applied: u64,
    /// How often it has said that it lives. Only that it changes means anything.
    pub beat: u64,
}

/// Who leads, as the database has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leading {
    /// Rises with each leader; 0 before the first.
    pub term: u64,
    /// The leader's node; `None` if the last leader has handed over.
    pub node: Option<String>,
    /// The leader's process.
    pub run: u64,
    /// The leader's beat; unchanged for the length of the lease means that it is gone.
    pub beat: u64,
    /// Where other nodes reach the leader; empty if they can't.
    pub address: String,
}

/// The answer to a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The current term. A leader that reads a higher one than its own has been superseded.
    pub term: u64,
    /// What the database's clock showed.
    pub database_time: Timestamp,
    /// The newest level of stored forms that may be written.
    pub level: u32,
}

/// What a cluster knows of its nodes: who lives and who leads. Calls block as those of a [`Journal`] do.
///
/// # Errors
///
/// Every call can fail with [`JournalError::Away`], which passes. The outcome of a change is unknown then; making it
/// again is safe.
pub trait Lease: Send + Debug {
    /// Enters this process under its node's name. A process that had the name before gets `Superseded` at its next
    /// beat.
    fn join(&mut self, member: &Member) -> Result<(), JournalError>;

    /// Says that the process lives and the number of the last batch that it has applied. The process ends after
    /// [`JournalError::Superseded`], if another process has its name now or the log has another life, and after
    /// [`JournalError::LostByDatabase`], if the log no longer has that batch or another node has noted a loss.
    fn beat(&mut self, node: &str, run: u64, applied: u64) -> Result<Beat, JournalError>;

    /// Who leads.
    fn leading(&mut self) -> Result<Leading, JournalError>;

    /// Leads with the term `seen + 1`, if the term is still `seen`. Exactly one process wins it.
    fn take(&mut self, node: &str, run: u64, seen: u64) -> Result<bool, JournalError>;

    /// Gives the lead up, if the term is still `term`: the next leader needn't wait.
    fn hand_over(&mut self, term: u64) -> Result<bool, JournalError>;

    /// What nodes prove to each other that they are of this cluster with: 32 bytes, made with the cluster.
    fn peer_key(&mut self) -> Result<[u8; 32], JournalError>;

    /// All processes that ever entered and aren't forgotten, by name.
    fn members(&mut self) -> Result<Vec<Member>, JournalError>;

    /// Forgets a node whose beat is still that of `member`. One that lives after all gets `Superseded` at its next
    /// beat.
    fn forget(&mut self, member: &Member) -> Result<bool, JournalError>;
}
