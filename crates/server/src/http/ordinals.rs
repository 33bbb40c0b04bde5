//! Which occasion of a job this is: the first read, the second, …

use abide_engine::JobKey;
use abide_engine::fault::Purpose;

use crate::recent::Recent;
use crate::sharded::Sharded;

/// How many shards the jobs are divided into.
const SHARDS: usize = 16;
/// The most jobs per shard that are counted. The oldest is forgotten for the next, and would be counted from 1 again.
const JOBS_MAX: usize = 8_192;

/// How often each job was asked for, by purpose, by all clients together. Only jobs that may meet a fault are counted.
#[derive(Debug)]
pub(super) struct Ordinals(Sharded<JobKey, Recent<JobKey, Counts>>);

type Counts = [u32; Purpose::ALL.len()];

impl Default for Ordinals {
    /// Nothing has been asked for.
    fn default() -> Self {
        Self(Sharded::new(SHARDS, || Recent::new(JOBS_MAX)))
    }
}

impl Ordinals {
    /// Counts one more, and says which it is, from 1.
    pub(super) fn next(&self, job: JobKey, purpose: Purpose) -> u32 {
        let mut shard = self.0.write(&job);
        let (counts, _) = shard.get_or_add(job);
        let count = &mut counts[purpose.index()];
        *count = count.saturating_add(1);
        *count
    }

    /// Counts all jobs from 1 again.
    pub(super) fn clear(&self) {
        for shard in self.0.all() {
            shard.write().retain(|_| false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_and_purpose_is_counted_apart_and_the_oldest_are_forgotten() {
        let ordinals = Ordinals::default();
        let next = |n, purpose| ordinals.next(JobKey::from_u128(n), purpose);
        assert_eq!([next(1, Purpose::Read), next(1, Purpose::Read)], [1, 2]);
        assert_eq!(next(1, Purpose::Write), 1);
        assert_eq!(next(2, Purpose::Read), 1);
        for n in 10..10 + 2 * (SHARDS * JOBS_MAX) as u128 {
            next(n, Purpose::Read);
        }
        let kept = ordinals
            .0
            .all()
            .iter()
            .map(|shard| shard.read().keys().len());
        assert_eq!(kept.sum::<usize>(), SHARDS * JOBS_MAX);
        assert_eq!(next(1, Purpose::Read), 1);
    }
}
