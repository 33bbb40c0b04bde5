//! How many bytes the records take, by owner and in all.
//!
//! What a record takes follows from the record alone, so the sums are those of a recount after any history. A create,
//! a worker's report and a new endpoint are refused where they would go beyond
//! [`Policy::stored_bytes_max`](crate::Policy::stored_bytes_max) or
//! [`Policy::stored_bytes_per_owner`](crate::Policy::stored_bytes_per_owner). What the server adds by itself, such as
//! deliveries and their attempts, is bounded in number and size, and counts.

use crate::Owner;
use crate::command::Refusal;
use crate::engine::Engine;
use crate::hash::FastMap;

/// What an idempotency key takes, in bytes: its digests, its deadline and its part of a checkpoint's names.
pub const IDEMPOTENCY_BYTES: usize = 256;

/// The sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    all: usize,
    owners: FastMap<Owner, usize>,
}

impl Stored {
    /// What all records take together.
    #[must_use]
    pub const fn all(&self) -> usize {
        self.all
    }

    /// What an owner's records take.
    #[must_use]
    pub fn of(&self, owner: Owner) -> usize {
        self.owners.get(&owner).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, owner: Owner, bytes: usize) {
        if bytes > 0 {
            self.all += bytes;
            *self.owners.entry(owner).or_default() += bytes;
        }
    }

    pub(crate) fn remove(&mut self, owner: Owner, bytes: usize) {
        if let Some(own) = self.owners.get_mut(&owner) {
            *own -= bytes;
            self.all -= bytes;
            if *own == 0 {
                self.owners.remove(&owner);
            }
        }
    }
}

impl Engine {
    /// What the records take.
    #[must_use]
    pub const fn stored(&self) -> &Stored {
        &self.stored
    }

    /// The same, counted anew; what [`Engine::stored`] must say at any time.
    #[must_use]
    pub fn recount(&self) -> Stored {
        let mut stored = Stored::default();
        for (owner, bytes) in self.jobs.bytes().chain(self.deliveries.bytes()) {
            stored.add(owner, bytes);
        }
        stored
    }

    /// Refuses what would take the owner, or all owners together, beyond their limit. What takes nothing is let in: the
    /// server's own records, of deliveries, may have gone beyond it.
    pub(crate) fn check_room(&self, owner: Owner, bytes: usize) -> Result<(), Refusal> {
        if bytes == 0 {
            return Ok(());
        }
        let limits = [
            (
                self.stored.of(owner),
                self.policy.stored_bytes_per_owner,
                "stored-bytes-per-owner",
            ),
            (
                self.stored.all(),
                self.policy.stored_bytes_max,
                "stored-bytes-max",
            ),
        ];
        for (taken, limit, name) in limits {
            if taken.saturating_add(bytes) > limit {
                return Err(Refusal::StoredBytes {
                    name: name.into(),
                    limit,
                });
            }
        }
        Ok(())
    }
}
