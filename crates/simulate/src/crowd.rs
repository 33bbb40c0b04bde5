//! Jobs that run at once and share what their schedule learns.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use abide::schedule::{Cursor, Ended, Schedule, Seen};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::population::Job;
use crate::world::{JOB_POLLS_MOST, Observe, Run, Spent, World};

/// The pause between two batches, in seconds, beside the time for all jobs of the earlier one to be seen.
const BETWEEN_BATCHES: Duration = Duration::from_secs(60);

/// When jobs begin.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Arrivals {
    /// Each after the one before was seen to end.
    #[default]
    InTurn,
    /// That many together, and the next as many long after.
    AtOnce(usize),
    /// At random, that many a second on average.
    Poisson(f64),
}

impl Arrivals {
    /// When each of the jobs begins; none where that depends on how those before are seen.
    fn instants(self, jobs: &[Job], seed: u64) -> Option<Vec<Duration>> {
        match self {
            Self::InTurn => None,
            Self::AtOnce(count) => {
                let mut now = Duration::ZERO;
                let batches = jobs.chunks(count.max(1)).flat_map(|batch| {
                    let begun = now;
                    let longest = batch.iter().map(|job| job.duration).max();
                    now += BETWEEN_BATCHES + 2 * longest.unwrap_or_default();
                    batch.iter().map(move |_| begun)
                });
                Some(batches.collect())
            }
            Self::Poisson(per_second) => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut now = 0.0;
                let begun = jobs.iter().map(|_| {
                    now -= (1.0 - rng.random::<f64>()).ln() / per_second;
                    Duration::try_from_secs_f64(now).unwrap_or(Duration::MAX / 4)
                });
                Some(begun.collect())
            }
        }
    }
}

/// A job that is waited for.
struct Waiting {
    cursor: Box<dyn Cursor>,
    begun: Duration,
    seen: Seen,
    /// When the server was last asked, and last said "not yet", since the job was accepted.
    sampled: Duration,
    after: Duration,
}

impl World {
    /// Waits for jobs that begin as said. Hints and pushes are left out where jobs run at once.
    #[must_use]
    pub fn run_as(
        &self,
        schedule: &dyn Schedule,
        jobs: &[Job],
        arrivals: Arrivals,
        seed: u64,
    ) -> Run {
        match arrivals.instants(jobs, seed) {
            None => self.run(schedule, jobs, seed),
            Some(begun) => {
                let jobs: Vec<(Duration, Job)> =
                    begun.into_iter().zip(jobs.iter().cloned()).collect();
                self.run_at(schedule, &jobs, seed)
            }
        }
    }

    /// Waits for jobs that begin at the given instants, in order of time: what one of them teaches, the others know
    /// from then on. Hints and pushes are left out.
    #[must_use]
    pub fn run_at(&self, schedule: &dyn Schedule, jobs: &[(Duration, Job)], seed: u64) -> Run {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let half = self.rtt / 2;
        let mut spent = vec![None; jobs.len()];
        let mut waits: Vec<Option<Waiting>> = jobs.iter().map(|_| None).collect();
        // What happens next: a job's acceptance, or the answer to a poll.
        let mut due: BinaryHeap<Reverse<(Duration, usize)>> = jobs
            .iter()
            .enumerate()
            .map(|(i, (begun, _))| Reverse((*begun + half, i)))
            .collect();
        while let Some(Reverse((now, i))) = due.pop() {
            let (begun, job) = &jobs[i];
            let mut wait = match waits[i].take() {
                None => {
                    let start = self.start(job, rng.random());
                    Waiting {
                        cursor: schedule.begin(&start),
                        begun: *begun,
                        seen: Seen::at(half).rtt(self.rtt),
                        sampled: Duration::ZERO,
                        after: Duration::ZERO,
                    }
                }
                Some(mut wait) => {
                    wait.seen.polls += 1;
                    if wait.sampled >= job.duration {
                        let known = self.observe == Observe::Known;
                        let ended = Ended::between(wait.after, wait.sampled)
                            .duration(known.then_some(job.duration))
                            .polls(wait.seen.polls);
                        wait.cursor.finish(&ended);
                        spent[i] = Some(Spent {
                            requests: wait.seen.polls,
                            delay_s: Some((now - *begun - job.duration).as_secs_f64()),
                        });
                        continue;
                    }
                    wait.after = wait.sampled;
                    wait
                }
            };
            wait.seen.elapsed = now - wait.begun;
            if wait.seen.polls >= JOB_POLLS_MOST {
                continue;
            }
            if let Some(at) = wait.cursor.next(&wait.seen) {
                let at = at.max(wait.seen.elapsed);
                wait.sampled = at + half;
                due.push(Reverse((*begun + at + self.rtt, i)));
                waits[i] = Some(wait);
            }
        }
        let none = Spent {
            requests: JOB_POLLS_MOST,
            delay_s: None,
        };
        Run {
            spent: spent
                .into_iter()
                .map(|spent| spent.unwrap_or(none))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abide::schedule::Fixed;

    #[test]
    fn jobs_begin_as_said() {
        let jobs: Vec<Job> = (1..=40).map(|i| Job::new(Duration::from_secs(i))).collect();
        let batches = Arrivals::AtOnce(20).instants(&jobs, 1).unwrap();
        assert!(batches[..20].iter().all(|begun| begun.is_zero()));
        assert!(
            batches[20..]
                .iter()
                .all(|begun| *begun == Duration::from_secs(100))
        );
        let apart = Arrivals::Poisson(2.0).instants(&jobs, 1).unwrap();
        assert!(apart.is_sorted() && (10.0..40.0).contains(&apart[39].as_secs_f64()));
        // A schedule that doesn't learn doesn't mind.
        let mean = |arrivals| {
            let fixed = Fixed::new(Duration::from_secs(2));
            World::new().run_as(&fixed, &jobs, arrivals, 1).mean()
        };
        let in_turn = mean(Arrivals::InTurn);
        assert_eq!(mean(Arrivals::AtOnce(20)), in_turn);
        assert_eq!(mean(Arrivals::Poisson(2.0)), in_turn);
    }
}
