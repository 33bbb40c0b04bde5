//! Whose records go when the table is full. An owner takes the place of one that has more, else of its own, and so none
//! pushes out the results of those that have less.

use std::collections::BTreeSet;
use std::sync::Arc;

use abide_wire::Timestamp;

use super::job::Job;
use crate::hash::FastMap;
use crate::sorted::SortedSet;
use crate::{JobKey, Owner};

/// An owner of a key may have that many times as many jobs that aren't done as may still be made: alone it has 99 %,
/// and the next owner finds room.
const OPEN_OF_FREE: usize = 99;

/// The records by owner.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    owners: FastMap<Owner, Share>,
    /// The owners that have ended jobs, by how many records they have.
    by_count: BTreeSet<(usize, Owner)>,
    /// How many jobs aren't done, of all owners.
    open: usize,
}

/// The records of one owner.
#[derive(Clone, Debug, Default)]
struct Share {
    open: usize,
    ended_count: usize,
    /// Ended jobs by the time of their removal.
    ended: SortedSet<(Timestamp, JobKey)>,
}

impl Share {
    const fn count(&self) -> usize {
        self.open + self.ended_count
    }

    /// How many records there are, if one of them may go.
    fn rank(&self) -> Option<usize> {
        (self.ended_count > 0).then_some(self.count())
    }
}

impl Shares {
    /// Those of these jobs.
    pub(super) fn of(jobs: &[Arc<Job>]) -> Self {
        let mut shares = Self::default();
        let mut ended: Vec<_> = jobs.iter().filter_map(|job| ended(job)).collect();
        ended.sort_unstable();
        for own in ended.chunk_by(|(a, ..), (b, ..)| a == b) {
            let share = shares.owners.entry(own[0].0).or_default();
            share.ended_count = own.len();
            share.ended = own.iter().map(|(_, at, key)| (*at, *key)).collect();
        }
        for job in jobs.iter().filter(|job| job.expires_at.is_none()) {
            shares.owners.entry(job.owner).or_default().open += 1;
            shares.open += 1;
        }
        let owners = shares.owners.iter();
        shares.by_count = owners
            .filter_map(|(owner, share)| Some((share.rank()?, *owner)))
            .collect();
        shares
    }

    pub(super) fn add(&mut self, job: &Job) {
        if let Some((owner, at, key)) = ended(job) {
            self.change(owner, |share| {
                share.ended.insert((at, key));
                share.ended_count += 1;
            });
        } else {
            self.open += 1;
            self.change(job.owner, |share| share.open += 1);
        }
    }

    pub(super) fn remove(&mut self, job: &Job) {
        if let Some((owner, at, key)) = ended(job) {
            self.change(owner, |share| {
                share.ended.remove(&(at, key));
                share.ended_count -= 1;
            });
        } else {
            self.open -= 1;
            self.change(job.owner, |share| share.open -= 1);
        }
    }

    fn change(&mut self, owner: Owner, change: impl FnOnce(&mut Share)) {
        let share = self.owners.entry(owner).or_default();
        let before = share.rank();
        change(share);
        let (after, is_empty) = (share.rank(), share.count() == 0);
        if let Some(before) = before {
            self.by_count.remove(&(before, owner));
        }
        if let Some(after) = after {
            self.by_count.insert((after, owner));
        }
        if is_empty {
            self.owners.remove(&owner);
        }
    }

    /// Whether that owner may have one more job that isn't done, after `made` others, where there may be `limit`.
    pub(super) fn has_room(&self, owner: Owner, made: usize, limit: usize) -> bool {
        let own = self.owners.get(&owner).map_or(0, |share| share.open);
        let free = limit.saturating_sub(self.open + made);
        owner.is_anyone() || own + made < free.saturating_mul(OPEN_OF_FREE)
    }

    /// The ended job that makes room for one more of that owner's, after `made` others, for which `removed` went.
    pub(super) fn first_out(&self, owner: Owner, made: usize, removed: usize) -> Option<JobKey> {
        let own = self.owners.get(&owner);
        let count = own.map_or(0, Share::count) + made;
        let larger = self.by_count.range((count + 1, Owner::ANYONE)..).rev();
        let larger = larger.filter_map(|(_, larger)| self.owners.get(larger));
        let mut ended = larger.chain(own).flat_map(|share| share.ended.iter());
        ended.nth(removed).map(|(_, key)| *key)
    }
}

/// Whose job it is and when its record goes, if it has ended.
fn ended(job: &Job) -> Option<(Owner, Timestamp, JobKey)> {
    job.expires_at.map(|at| (job.owner, at, job.key))
}
