//! Jobs by the names that their clients gave them.
//!
//! The board doesn't know what a name is: it is told a function that gives a job's names as digests. Each takes
//! 32 bytes, and a job has [`NAMES_MAX`] at most, so all of them take less than the records of those jobs.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use abide_engine::{Job, JobKey, Owner};
use parking_lot::RwLock;

/// The most names of a job by which it is found.
pub const NAMES_MAX: usize = 2;

/// The names of a job, as digests. Most jobs have none.
pub type NamesOf = fn(&Job) -> Vec<u64>;

/// All names, each with its owner and its job: the newest job of a name is the last.
#[derive(Debug, Default)]
pub(super) struct Names {
    of: OnceLock<NamesOf>,
    all: RwLock<BTreeSet<(Owner, u64, JobKey)>>,
}

impl Names {
    /// Is told what names are. Once: a second function changes nothing.
    pub(super) fn learn(&self, of: NamesOf) {
        // The first one stays.
        let _known = self.of.set(of);
    }

    pub(super) fn add(&self, job: &Job) {
        let names = self.names(job);
        if !names.is_empty() {
            self.all.write().extend(names);
        }
    }

    pub(super) fn remove(&self, job: &Job) {
        let names = self.names(job);
        if !names.is_empty() {
            let mut all = self.all.write();
            names.iter().for_each(|name| {
                all.remove(name);
            });
        }
    }

    pub(super) fn newest(&self, owner: Owner, name: u64) -> Option<JobKey> {
        let (first, last) = (JobKey::from_u128(0), JobKey::from_u128(u128::MAX));
        let all = self.all.read();
        let mut jobs = all.range((owner, name, first)..=(owner, name, last));
        jobs.next_back().map(|(_, _, job)| *job)
    }

    /// Forgets all names, and gives them.
    pub(super) fn clear(&self) -> impl Send + use<> {
        std::mem::take(&mut *self.all.write())
    }

    fn names(&self, job: &Job) -> Vec<(Owner, u64, JobKey)> {
        let names = self.of.get().map_or_else(Vec::new, |of| of(job));
        let names = names.into_iter().take(NAMES_MAX);
        names.map(|name| (job.owner, name, job.key)).collect()
    }
}
