//! Single reads, by job.

use std::collections::VecDeque;

use abide_engine::JobKey;
use abide_wire::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Client, Read};
use crate::board::Channel;
use crate::recent::Recent;
use crate::sharded::Sharded;

/// The most reads that are remembered per job, the last ones.
pub const READS_PER_JOB_MAX: usize = 200;
/// The most jobs whose reads are remembered. The one that was read first is forgotten for the next.
pub const JOBS_MAX: usize = 4_096;
/// How many shards the timelines are divided into.
const SHARDS: usize = 16;

// A timeline's buffer grows to 256 reads, so all timelines together take at most 112 MiB.
const _: () = assert!(size_of::<TimelineRead>() <= 112);

/// The timelines of all jobs.
#[derive(Debug)]
pub(super) struct Timelines(Sharded<JobKey, Recent<JobKey, Timeline>>);

/// The reads of one job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Timeline {
    /// The last reads, the oldest first; at most [`READS_PER_JOB_MAX`].
    pub reads: VecDeque<TimelineRead>,
    /// How many older reads have been forgotten.
    pub dropped: u64,
}

/// One read on a timeline: the part of a [`Read`] that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineRead {
    /// The client that read.
    pub client: Client,
    /// When the client asked.
    pub asked_at: Timestamp,
    /// When it was answered.
    pub at: Timestamp,
    /// How the request was held; `None` for a poll.
    pub channel: Option<Channel>,
    /// The revision that was shown.
    pub revision: u64,
    /// Whether that was new to the client.
    pub news: bool,
}

impl Timeline {
    /// Adds the reads of the same job at another node. What a client had read at one isn't news at the other.
    pub fn merge(&mut self, other: Self) {
        self.dropped += other.dropped;
        let mut reads: Vec<_> = self.reads.drain(..).chain(other.reads).collect();
        reads.sort_by_key(|read| read.at);
        for place in 1..reads.len() {
            let (before, read) = reads.split_at_mut(place);
            let read = &mut read[0];
            let is_known = |older: &TimelineRead| {
                (older.client, older.channel) == (read.client, read.channel)
                    && older.revision >= read.revision
            };
            read.news &= !before.iter().any(is_known);
        }
        let surplus = reads.len().saturating_sub(READS_PER_JOB_MAX);
        self.dropped += surplus as u64;
        self.reads = reads.split_off(surplus).into();
    }
}

impl Timelines {
    pub(super) fn new() -> Self {
        Self(Sharded::new(SHARDS, || Recent::new(JOBS_MAX / SHARDS)))
    }

    /// Adds a read. If the client didn't say which revision it has, its last read by the same channel tells.
    pub(super) fn read(&self, client: Client, read: &Read) {
        let mut shard = self.0.write(&read.job);
        let (timeline, _) = shard.get_or_add(read.job);
        let last = || {
            let mut reads = timeline.reads.iter().rev();
            reads
                .find(|other| other.client == client && other.channel == read.channel)
                .map(|other| other.revision)
        };
        let known = read.known.or_else(last);
        if timeline.reads.len() == READS_PER_JOB_MAX {
            timeline.reads.pop_front();
            timeline.dropped += 1;
        }
        timeline.reads.push_back(TimelineRead {
            client,
            asked_at: read.asked_at,
            at: read.at,
            channel: read.channel,
            revision: read.revision,
            news: known.is_none_or(|known| read.revision > known),
        });
    }

    pub(super) fn clear(&self) {
        for shard in self.0.all() {
            shard.write().retain(|_| false);
        }
    }

    pub(super) fn of(&self, job: JobKey) -> Timeline {
        self.0.read(&job).get(&job).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{client, read};
    use super::*;

    #[test]
    fn a_read_is_news_if_the_client_had_an_older_revision() {
        let timelines = Timelines::new();
        for (reader, known, revision, news) in [
            (1, None, 2, true),
            (1, None, 2, false),
            (2, None, 2, true),
            (1, None, 3, true),
            (3, Some(3), 3, false),
            (3, Some(1), 3, true),
        ] {
            let read = Read {
                known,
                ..read(0, revision)
            };
            timelines.read(client(reader), &read);
            let last = timelines.of(read.job).reads.back().copied().unwrap();
            assert_eq!(last.news, news, "{reader} has {known:?}, reads {revision}");
        }
    }

    #[test]
    fn reads_at_two_nodes_are_in_the_order_of_time_and_what_one_told_is_no_news_at_the_other() {
        let [a, b] = [Timelines::new(), Timelines::new()];
        for (node, millis, revision) in [(&a, 10, 1), (&b, 20, 1), (&b, 30, 2), (&a, 40, 2)] {
            node.read(client(1), &read(millis, revision));
        }
        b.read(client(2), &read(50, 2));
        let job = read(0, 0).job;
        let mut all = a.of(job);
        all.merge(b.of(job));
        let seen: Vec<_> = all
            .reads
            .iter()
            .map(|read| (read.revision, read.news))
            .collect();
        assert_eq!(
            seen,
            [(1, true), (1, false), (2, true), (2, false), (2, true)]
        );
        for _ in 0..3 {
            for _ in 0..150 {
                a.read(client(3), &read(60, 3));
            }
            all.merge(a.of(job));
        }
        assert_eq!(all.reads.len(), READS_PER_JOB_MAX);
    }

    #[test]
    fn reads_and_jobs_are_bounded() {
        let timelines = Timelines::new();
        let job = read(0, 0).job;
        for revision in 0..300 {
            timelines.read(client(1), &read(0, revision));
        }
        let timeline = timelines.of(job);
        assert_eq!(timeline.reads.len(), READS_PER_JOB_MAX);
        assert_eq!(timeline.dropped, 100);
        assert_eq!(timeline.reads.back().map(|read| read.revision), Some(299));
        for n in 0..2 * JOBS_MAX as u128 {
            let job = JobKey::from_u128(1_000 + n);
            timelines.read(client(1), &Read { job, ..read(0, 1) });
        }
        let jobs = timelines
            .0
            .all()
            .iter()
            .map(|shard| shard.read().keys().len());
        assert_eq!(jobs.sum::<usize>(), JOBS_MAX);
        assert!(timelines.of(job).reads.is_empty());
    }
}
