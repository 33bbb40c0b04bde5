//! Every door of a shared log in memory but the log itself.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use abide_engine::entry::LEVEL;

use super::held::{Call, Fault, Faults, Held, PLACE, away, fault, lock, lost, superseded};
use crate::clock::Clock;
use crate::journal::memory::put;
use crate::journal::{
    Batch, Beat, Checkpoints, JournalError, Leading, Lease, Member, PartChange, Position, Tail,
};

/// Batches that one read of the tail gives at most.
const READ_MAX: usize = 1_000;

/// Every door but the log itself.
pub(super) struct Handle {
    pub(super) held: Arc<Mutex<Held>>,
    pub(super) faults: Option<Faults>,
    pub(super) term: Arc<AtomicU64>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Has the change made, unless a fault meets it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Held) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        match fault(self.faults.as_ref(), Call::Lease) {
            None => change(&mut lock(&self.held)),
            Some(Fault::LostAnswer) => {
                change(&mut lock(&self.held))?;
                Err(away())
            }
            Some(Fault::Away | Fault::LostRequest) => Err(away()),
        }
    }
}

impl Checkpoints for Handle {
    fn write(
        &mut self,
        seq: u64,
        changes: &mut dyn Iterator<Item = PartChange>,
    ) -> Result<(), JournalError> {
        let term = self.term.load(Ordering::Relaxed);
        let mut held = lock(&self.held);
        let newest = held.end().1.max(held.checkpoint_term);
        if newest > term || held.checkpoint > seq {
            return Err(superseded(format!(
                "the leader of term {newest} has written"
            )));
        }
        held.checkpoint_term = term;
        put(&mut held.parts, changes);
        held.checkpoint = seq;
        while held.batches.len() > 1 && held.batches[0].position().seq <= seq {
            held.batches.pop_front();
        }
        Ok(())
    }
}

impl Tail for Handle {
    fn read(&mut self, after: Position) -> Result<Vec<Batch>, JournalError> {
        if fault(self.faults.as_ref(), Call::Read).is_some() {
            return Err(away());
        }
        let held = lock(&self.held);
        let (end, _) = held.end();
        if end.batch < after.batch {
            return Err(lost(format!(
                "batch {} is gone, and the log ends with batch {}",
                after.batch, end.batch
            )));
        }
        let first = held.batches.front().map_or(1, |batch| batch.number);
        if after.batch + 1 < first {
            return Err(JournalError::Missing {
                place: PLACE.to_owned(),
                from: after.seq + 1,
                through: held.batches[0].first - 1,
            });
        }
        let there = held.batches.iter().find(|b| b.number == after.batch);
        if there.is_some_and(|batch| batch.nonce != after.nonce) {
            return Err(lost(format!("batch {} is another one", after.batch)));
        }
        let next: Vec<_> = held
            .batches
            .iter()
            .filter(|batch| batch.number > after.batch)
            .take(READ_MAX)
            .cloned()
            .collect();
        match next.first() {
            Some(batch) if !batch.follows(after) => {
                Err(lost(format!("batch {} is another one", after.batch)))
            }
            _ => Ok(next),
        }
    }
}

impl Lease for Handle {
    fn join(&mut self, member: &Member) -> Result<(), JournalError> {
        self.change(|held| {
            held.members.insert(member.node.clone(), member.clone());
            Ok(())
        })
    }

    fn beat(&mut self, node: &str, run: u64, applied: u64) -> Result<Beat, JournalError> {
        self.change(|held| {
            let Some(member) = held.members.get_mut(node).filter(|m| m.run == run) else {
                return Err(superseded(format!("another process is the node {node:?}")));
            };
            member.beat += 1;
            member.applied = applied;
            let clock = held.clock.as_ref();
            Ok(Beat {
                term: held.leading.term,
                database_time: clock.map(Clock::system).unwrap_or_default(),
                level: LEVEL,
            })
        })
    }

    fn leading(&mut self) -> Result<Leading, JournalError> {
        self.change(|held| {
            let mut leading = held.leading.clone();
            let member = leading
                .node
                .as_ref()
                .and_then(|node| held.members.get(node));
            if let Some(member) = member.filter(|member| member.run == leading.run) {
                (leading.beat, leading.address) = (member.beat, member.address.clone());
            }
            Ok(leading)
        })
    }

    fn take(&mut self, node: &str, run: u64, seen: u64) -> Result<bool, JournalError> {
        self.change(|held| {
            let leading = &mut held.leading;
            // The answer to the first attempt may have been lost.
            let is_ours = leading.term == seen + 1
                && leading.run == run
                && leading.node.as_deref() == Some(node);
            if leading.term == seen {
                *leading = Leading {
                    term: seen + 1,
                    node: Some(node.to_owned()),
                    run,
                    ..Leading::default()
                };
                return Ok(true);
            }
            Ok(is_ours)
        })
    }

    fn hand_over(&mut self, term: u64) -> Result<bool, JournalError> {
        self.change(|held| {
            let is_ours = held.leading.term == term;
            if is_ours {
                held.leading.term += 1;
                held.leading.node = None;
            }
            Ok(is_ours)
        })
    }

    fn peer_key(&mut self) -> Result<[u8; 32], JournalError> {
        Ok([7; 32])
    }

    fn members(&mut self) -> Result<Vec<Member>, JournalError> {
        self.change(|held| Ok(held.members.values().cloned().collect()))
    }

    fn forget(&mut self, member: &Member) -> Result<bool, JournalError> {
        let is_it = |there: &Member| (there.run, there.beat) == (member.run, member.beat);
        self.change(|held| {
            let is_there = held.members.get(&member.node).is_some_and(is_it);
            if is_there {
                held.members.remove(&member.node);
            }
            Ok(is_there)
        })
    }
}
