//! Every look that a client took at a job, for as long as it is worth showing.
//!
//! A look is an answer about one job: to a read, held or not, to a held create, to a set, or an event of the job's own stream. The
//! log says what each was good for, so that waste and lateness can be seen. It is kept in memory alone, for the jobs that
//! were looked at first most recently, and costs a read one short lock among sixteen.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use abide_engine::JobKey;
use abide_wire::Timestamp;

use abide_engine::hash::FastMap;

/// The most looks that are remembered per job; of more, the last.
pub const LOOKS_PER_JOB_MAX: usize = 200;
/// The most jobs whose looks are remembered.
pub const JOBS_MAX: usize = 4_096;
/// The longest name of a client's program that is kept, in bytes.
const AGENT_BYTES_MAX: usize = 31;
/// Into how many parts the log is divided, each with a lock of its own.
const SHARDS: usize = 16;

/// The log.
#[derive(Debug)]
pub struct Looks {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    jobs: FastMap<JobKey, JobLooks>,
    /// In order of their first look, for forgetting the oldest.
    order: VecDeque<JobKey>,
}

/// The looks at one job.
#[derive(Clone, Debug, Default)]
pub struct JobLooks {
    /// The last of them, the oldest first; at most [`LOOKS_PER_JOB_MAX`].
    pub looks: VecDeque<Look>,
    /// How many older ones have been forgotten.
    pub dropped: u64,
}

/// One look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it was answered.
    pub at: Timestamp,
    /// When it was asked; as long before [`Look::at`] as it was held.
    pub asked_at: Timestamp,
    /// By which channel: `poll`, or the word of a [`Channel`](crate::board::Channel).
    pub channel: &'static str,
    /// Which revision it saw.
    pub revision: u64,
    /// Whether that was new to the client.
    pub news: bool,
    /// How many seconds the answer asked the client to wait before the next, if it did.
    pub retry_after: Option<u32>,
    /// Who looked.
    pub who: Who,
}

/// Who looked: a program at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// The program.
    pub agent: Agent,
    /// Where it runs, where that is known.
    pub address: Option<IpAddr>,
}

/// What a client says that it is: the first word of `User-Agent`. Held in place, because every request carries one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Agent {
    bytes: [u8; AGENT_BYTES_MAX],
    length: u8,
}

impl Looks {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Notes a look at that job. `seen` is the newest revision that the client said it has; where it said nothing, its last look
    /// at the job tells, and [`Look::news`] is set by it.
    pub fn note(&self, job: JobKey, seen: Option<u64>, mut look: Look) {
        let mut guard = self.shard(job);
        let shard = &mut *guard;
        if !shard.jobs.contains_key(&job) {
            if shard.order.len() >= JOBS_MAX / SHARDS
                && let Some(oldest) = shard.order.pop_front()
            {
                shard.jobs.remove(&oldest);
            }
            shard.order.push_back(job);
        }
        let log = shard.jobs.entry(job).or_default();
        let last = || {
            let mut looks = log.looks.iter().rev();
            looks
                .find(|other| other.who == look.who && other.channel == look.channel)
                .map(|other| other.revision)
        };
        look.news = seen.or_else(last).is_none_or(|seen| look.revision > seen);
        if log.looks.len() == LOOKS_PER_JOB_MAX {
            log.looks.pop_front();
            log.dropped += 1;
        }
        log.looks.push_back(look);
    }

    /// The looks at that job.
    #[must_use]
    pub fn of(&self, job: JobKey) -> JobLooks {
        self.shard(job).jobs.get(&job).cloned().unwrap_or_default()
    }

    /// Calls back with the looks at every job that is remembered, in no order. Nothing is noted meanwhile in the part that is walked, so
    /// the callback should be quick.
    pub fn each(&self, mut visit: impl FnMut(JobKey, &JobLooks)) {
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for (job, log) in &shard.jobs {
                visit(*job, log);
            }
        }
    }

    fn shard(&self, job: JobKey) -> MutexGuard<'_, Shard> {
        // The low end of a key is random, the high end is the time.
        let index = usize::try_from(job.as_u128() % SHARDS as u128).unwrap_or(0);
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Looks {
    fn default() -> Self {
        Self::new()
    }
}

impl Agent {
    /// The first word of what `User-Agent` says, cut to its bound; what isn't plain text is left out.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut agent = Self {
            bytes: [0; AGENT_BYTES_MAX],
            length: 0,
        };
        let word = text.split_ascii_whitespace().next().unwrap_or_default();
        for byte in word.bytes().filter(u8::is_ascii_graphic) {
            let at = usize::from(agent.length);
            if at == AGENT_BYTES_MAX {
                break;
            }
            agent.bytes[at] = byte;
            agent.length += 1;
        }
        agent
    }

    /// The word; empty where the client said nothing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let agent = self.agent.as_str();
        f.write_str(if agent.is_empty() { "unnamed" } else { agent })?;
        if let Some(address) = self.address {
            write!(f, " · {address}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(agent: &str, revision: u64) -> Look {
        let at = Timestamp::from_millis(1_000);
        Look {
            at,
            asked_at: at,
            channel: "poll",
            revision,
            news: false,
            retry_after: None,
            who: Who {
                agent: Agent::new(agent),
                address: None,
            },
        }
    }

    fn news(looks: &Looks, job: JobKey) -> Vec<bool> {
        looks.of(job).looks.iter().map(|look| look.news).collect()
    }

    #[test]
    fn a_look_is_news_where_the_client_had_less() {
        let looks = Looks::new();
        let job = JobKey::from_u128(7);
        looks.note(job, None, look("a", 2));
        looks.note(job, None, look("a", 2));
        looks.note(job, None, look("b", 2));
        looks.note(job, None, look("a", 3));
        looks.note(job, Some(3), look("c", 3));
        looks.note(job, Some(1), look("c", 3));
        assert_eq!(news(&looks, job), [true, false, true, true, false, true]);
    }

    #[test]
    fn looks_and_jobs_are_bounded() {
        let looks = Looks::new();
        let job = JobKey::from_u128(16);
        for revision in 0..300 {
            looks.note(job, None, look("a", revision));
        }
        let of_job = looks.of(job);
        assert_eq!(of_job.looks.len(), LOOKS_PER_JOB_MAX);
        assert_eq!(of_job.dropped, 100);
        assert_eq!(of_job.looks.back().map(|look| look.revision), Some(299));
        for n in 0..2 * JOBS_MAX as u128 {
            looks.note(JobKey::from_u128(1_000 + n), None, look("a", 1));
        }
        let mut jobs = 0;
        looks.each(|_, _| jobs += 1);
        assert_eq!(jobs, JOBS_MAX);
        assert!(looks.of(job).looks.is_empty());
    }

    #[test]
    fn a_program_is_the_first_word_of_what_it_says() {
        let table = [
            ("curl/8.5.0", "curl/8.5.0"),
            ("Mozilla/5.0 (X11; Linux) Gecko", "Mozilla/5.0"),
            ("", ""),
            (
                "x123456789012345678901234567890123456789",
                "x123456789012345678901234567890",
            ),
            ("naïve/1", "nave/1"),
        ];
        for (said, kept) in table {
            assert_eq!(Agent::new(said).as_str(), kept);
        }
    }
}
