//! What all handles share, and the faults that meet their calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::journal::{Batch, JournalError, Leading, Member, Position};

/// What [`JournalError`] calls it.
pub(super) const PLACE: &str = "memory";

/// What a test does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and the caller is told that the database is away.
    Away,
    /// It happens, and the answer is lost.
    LostAnswer,
    /// It doesn't happen, and no answer comes either.
    LostRequest,
}

/// The calls that a fault may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// An append or a mark.
    Append,
    /// A load, a replay or a read of the tail.
    Read,
    /// A call of [`Lease`](crate::journal::Lease).
    Lease,
}

pub(super) type Faults = Arc<dyn Fn(Call) -> Option<Fault> + Send + Sync>;

/// The log and what is beside it.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) life: u64,
    /// The log without what a checkpoint has covered; the last batch always stays.
    pub(super) batches: VecDeque<Batch>,
    pub(super) nonces: u64,
    pub(super) parts: BTreeMap<String, Vec<u8>>,
    pub(super) checkpoint: u64,
    /// The term of the leader that wrote the checkpoint.
    pub(super) checkpoint_term: u64,
    pub(super) leading: Leading,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) clock: Option<Clock>,
}

pub(super) fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    // Nothing panics while it holds the lock half way through a change, so a poisoned one is as good as any.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn fault(faults: Option<&Faults>, call: Call) -> Option<Fault> {
    faults.and_then(|faults| faults(call))
}

pub(super) fn away() -> JournalError {
    JournalError::Away {
        place: PLACE.to_owned(),
        source: "a test cut it off".into(),
    }
}

pub(super) fn superseded(detail: String) -> JournalError {
    JournalError::Superseded {
        place: PLACE.to_owned(),
        detail,
    }
}

pub(super) fn lost(detail: String) -> JournalError {
    JournalError::LostByDatabase {
        place: PLACE.to_owned(),
        detail,
    }
}

impl Held {
    /// The end of the log and the term of its last batch.
    pub(super) fn end(&self) -> (Position, u64) {
        self.batches.back().map_or_else(
            || {
                let seq = self.checkpoint;
                (
                    Position {
                        seq,
                        ..Position::default()
                    },
                    0,
                )
            },
            |batch| (batch.position(), batch.term),
        )
    }

    /// Adds the batch if it is the next one and follows what its writer knows, or if it is there already.
    pub(super) fn insert(&mut self, batch: Batch) -> Result<(), JournalError> {
        if let Some(there) = self.batches.iter().find(|b| b.number == batch.number) {
            return if there.nonce == batch.nonce {
                Ok(())
            } else {
                Err(superseded(format!("it has batch {}", batch.number)))
            };
        }
        let (end, _) = self.end();
        if end.batch >= batch.number {
            return Err(superseded(format!("it ends with batch {}", end.batch)));
        }
        if !batch.follows(end) {
            return Err(lost(format!(
                "batch {} is gone, and the log ends with batch {}",
                batch.number - 1,
                end.batch
            )));
        }
        self.batches.push_back(batch);
        Ok(())
    }
}
