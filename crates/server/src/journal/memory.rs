//! A journal in memory: for tests, and for servers that may forget.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Checkpoints, EachEntry, EachPart, Journal, JournalError, PartChange};

/// A journal that lives as long as the process.
///
/// Clones share what they hold, so a test can drop a server and start another on what the first one wrote:
///
/// ```
/// use abide_server::journal::{Journal, MemoryJournal};
///
/// let disk = MemoryJournal::new();
/// disk.clone().append(&[b"fact".to_vec()])?;
/// let mut seen = Vec::new();
/// disk.clone().replay(0, &mut |seq, entry| {
///     seen.push((seq, entry.to_vec()));
///     Ok(())
/// })?;
/// assert_eq!(seen, [(1, b"fact".to_vec())]);
/// # Ok::<(), abide_server::journal::JournalError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryJournal {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    life: u64,
    /// Whether anything is kept. A server that may forget only counts.
    forgetful: bool,
    /// The entries after `first`, in order; a plain list because sequence numbers are dense.
    entries: Vec<Vec<u8>>,
    /// The sequence number of the last entry that isn't in `entries` any more.
    first: u64,
    /// Sorted, because a load is.
    parts: BTreeMap<String, Vec<u8>>,
    checkpoint: u64,
}

impl MemoryJournal {
    /// An empty journal, whose life is 1.
    #[must_use]
    pub fn new() -> Self {
        Self::with(1, false)
    }

    /// A journal that numbers entries and keeps none of them: what `--ephemeral` runs on. `life` tells it from others.
    #[must_use]
    pub fn forgetful(life: u64) -> Self {
        Self::with(life, true)
    }

    /// A copy as of the entry `seq`, as a crash right after it would have left it. `None` where a checkpoint has
    /// already gone past it.
    #[must_use]
    pub fn crashed_after(&self, seq: u64) -> Option<Self> {
        let held = self.held();
        if seq < held.checkpoint {
            return None;
        }
        let keep = usize::try_from(seq.saturating_sub(held.first)).ok()?;
        let copy = Held {
            life: held.life,
            forgetful: held.forgetful,
            entries: held.entries.get(..keep)?.to_vec(),
            first: held.first,
            parts: held.parts.clone(),
            checkpoint: held.checkpoint,
        };
        Some(Self {
            held: Arc::new(Mutex::new(copy)),
        })
    }

    fn with(life: u64, forgetful: bool) -> Self {
        let held = Held {
            life,
            forgetful,
            ..Held::default()
        };
        Self {
            held: Arc::new(Mutex::new(held)),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing panics while it holds the lock half way through a change, so a poisoned one is as good as any.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl Held {
    fn last_seq(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}

/// Makes the changes to parts of a checkpoint.
pub(super) fn put(
    parts: &mut BTreeMap<String, Vec<u8>>,
    changes: &mut dyn Iterator<Item = PartChange>,
) {
    for (key, body) in changes {
        match body {
            Some(body) => drop(parts.insert(key, body)),
            None if key.is_empty() => parts.clear(),
            None => drop(parts.remove(&key)),
        }
    }
}

impl Journal for MemoryJournal {
    fn is_blocking(&self) -> bool {
        false
    }

    fn life(&self) -> u64 {
        self.held().life
    }

    fn last_seq(&self) -> u64 {
        self.held().last_seq()
    }

    fn append(&mut self, entries: &[Vec<u8>]) -> Result<u64, JournalError> {
        let mut held = self.held();
        if held.forgetful {
            held.first += entries.len() as u64;
        } else {
            held.entries.extend_from_slice(entries);
        }
        Ok(held.last_seq())
    }

    fn load(&mut self, each: &mut EachPart<'_>) -> Result<u64, JournalError> {
        let (parts, checkpoint) = {
            let held = self.held();
            (held.parts.clone(), held.checkpoint)
        };
        for (key, body) in &parts {
            each(key, body)?;
        }
        Ok(checkpoint)
    }

    fn replay(&mut self, after: u64, each: &mut EachEntry<'_>) -> Result<(), JournalError> {
        let (first, entries) = {
            let held = self.held();
            (held.first, held.entries.clone())
        };
        if after < first {
            return Err(JournalError::Corrupt {
                path: "memory".into(),
                detail: format!("entries {} to {first} are missing", after + 1),
            });
        }
        for (seq, entry) in (first + 1..).zip(&entries) {
            if seq > after {
                each(seq, entry)?;
            }
        }
        Ok(())
    }

    fn checkpoints(&self) -> Box<dyn Checkpoints> {
        Box::new(self.clone())
    }
}

impl Checkpoints for MemoryJournal {
    fn is_kept(&self) -> bool {
        !self.held().forgetful
    }

    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError> {
        let mut held = self.held();
        put(&mut held.parts, changes);
        held.checkpoint = seq;
        let covered = usize::try_from(seq.saturating_sub(held.first)).unwrap_or(usize::MAX);
        let covered = covered.min(held.entries.len());
        held.entries.drain(..covered);
        held.first += covered as u64;
        Ok(())
    }
}
