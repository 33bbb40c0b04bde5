//! Which occasion of a job this is: the first read, the second, …

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use abide_engine::JobKey;
use abide_engine::fault::Purpose;

/// Into how many parts the jobs are divided, each with a lock of its own.
const SHARDS: usize = 16;
/// The most jobs that are counted per part. The oldest is forgotten for the next, and would be counted from 1 again.
const JOBS_MAX: usize = 8_192;

/// How often each job was asked for, by purpose, whoever asked. Only jobs that may meet a fault are counted.
#[derive(Debug)]
pub(in crate::http) struct Ordinals {
    shards: Box<[Mutex<Counts>]>,
}

/// By job, in order of creation.
type Counts = BTreeMap<JobKey, [u32; Purpose::ALL.len()]>;

impl Default for Ordinals {
    /// Nobody has asked for anything.
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Ordinals {
    /// Counts one more, and says which it is, from 1.
    pub(super) fn next(&self, job: JobKey, purpose: Purpose) -> u32 {
        // The last bits of a name are luck.
        let shard = (job.as_u128() % SHARDS as u128) as usize;
        // A count is changed in one step, so a panic elsewhere leaves all of them whole.
        let mut counts = self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= JOBS_MAX && !counts.contains_key(&job) {
            counts.pop_first();
        }
        let count = &mut counts.entry(job).or_default()[purpose.index()];
        *count = count.saturating_add(1);
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_and_purpose_is_counted_apart_and_the_oldest_are_forgotten() {
        let ordinals = Ordinals::default();
        let key = |n: u128| JobKey::from_u128(n * SHARDS as u128);
        let next = |n, purpose| ordinals.next(key(n), purpose);
        assert_eq!([next(1, Purpose::Read), next(1, Purpose::Read)], [1, 2]);
        assert_eq!(next(1, Purpose::Write), 1);
        assert_eq!(next(2, Purpose::Read), 1);
        for n in 10..10 + JOBS_MAX as u128 {
            next(n, Purpose::Read);
        }
        let kept = ordinals.shards[0].lock().unwrap().len();
        assert_eq!(kept, JOBS_MAX);
        assert_eq!(next(1, Purpose::Read), 1);
    }
}
