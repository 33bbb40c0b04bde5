//! Jobs that run at once and share what their schedule learns.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use abide::schedule::{Cursor, Ended, Schedule, Seen};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::population::Job;
use crate::world::{JOB_POLLS_MOST, Observe, Run, Spent, World};

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
