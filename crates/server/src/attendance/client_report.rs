//! Sums, by client.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use abide_engine::hash::FastMap;
use abide_engine::{JobKey, Owner};
use abide_wire::Timestamp;
use serde::{Deserialize, Serialize};

use super::grade::{self, Grade, PRICE_S};
use super::{Client, Read};
use crate::board::Channel;
use crate::recent::Recent;
use crate::sharded::Sharded;

/// How many shards the clients are divided into.
const SHARDS: usize = 16;
/// The most clients per shard that are remembered. The one that has been silent for longest is forgotten for the next.
const CLIENTS_MAX: usize = 64;
/// The most of them that see one owner's jobs: an owner with more forgets its own, and no other's.
const CLIENTS_PER_OWNER_MAX: usize = 32;
/// The most jobs per shard for which it is remembered what a client has seen. The oldest is forgotten for the next.
const SEEN_MAX: usize = 8_192;
/// The most ends per client whose lateness is remembered, the last ones.
const LATE_MAX: usize = 1_024;
/// The most creates per client that are remembered to recognize a repetition.
const CREATES_MAX: usize = 64;
/// How much sooner than told a client may come back and still count as obedient: headers are in whole seconds, and a
/// client's clock is not the server's.
const OBEDIENCE_SLACK: Duration = Duration::from_millis(50);

/// The reports of all clients.
#[derive(Debug)]
pub(super) struct ClientReports {
    shards: Sharded<Client, Shard>,
    /// How many times faster the server's time passes than its clients'.
    speed: u32,
}

#[derive(Debug)]
struct Shard {
    reports: FastMap<Client, ClientReport>,
    seen: Recent<(Client, JobKey), Seen>,
}

/// What a client has seen of a job.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    revision: u64,
    /// Whether it has made the job, or seen it before its end: then it has waited for it.
    has_waited: bool,
    was_read: bool,
    has_end: bool,
    advice: Option<Advice>,
}

/// When a client was told to come back.
#[derive(Clone, Copy, Debug)]
struct Advice {
    at: Timestamp,
    wait: Duration,
    /// Whether it was refused until then. Otherwise a held request needn't take the advice.
    was_refused: bool,
}

/// A request that was refused or failed.
#[derive(Clone, Copy, Debug)]
pub struct FailedRequest {
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it was answered.
    pub at: Timestamp,
    /// The job that it was for, if the request names one.
    pub job: Option<JobKey>,
    /// How long the answer told the client to wait.
    pub retry_after: Option<Duration>,
}

/// A create that made a job, or repeated one that had.
#[derive(Clone, Copy, Debug)]
pub struct AnsweredCreate {
    /// When it was answered.
    pub at: Timestamp,
    /// The job.
    pub job: JobKey,
    /// The digest of its body; see [`body_digest`](super::body_digest).
    pub body: u64,
    /// Whether it had an idempotency key.
    pub has_key: bool,
    /// Whether the job had been made before under that key.
    pub is_replay: bool,
    /// Whether the client never got the answer.
    pub is_lost: bool,
}

/// What one client spent, and how late it learned.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientReport {
    /// The client.
    pub client: Client,
    /// When it was first seen.
    pub since: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// The sums.
    pub counts: Counts,
    /// How long after the ends it learned of them, in milliseconds; the last of them.
    pub late_ms: VecDeque<u64>,
    /// The ends of the last jobs that it waited for.
    waited: VecDeque<Waited>,
    /// Digests of the bodies of its last creates.
    #[serde(skip)]
    bodies: VecDeque<u64>,
    /// Digests of the bodies of those whose answers were lost.
    #[serde(skip)]
    lost: VecDeque<u64>,
}

/// A job that a client waited for to its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Waited {
    kind: u64,
    took_s: f64,
    late_s: f64,
}

/// What waiting cost a client, and the least that it could have cost one that polls; in seconds a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Half a second for each request but creates, and the mean lateness.
    pub cost_s: f64,
    /// That of the best polling client, for the durations that were played.
    pub bound_s: f64,
    /// What one says of the other.
    pub grade: Grade,
}

/// The sums of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Jobs that it read.
    pub jobs: u64,
    /// Jobs whose ends it saw.
    pub ended: u64,
    /// Jobs whose ends it saw in the answer to the create.
    pub ended_by_create: u64,
    /// Requests about jobs: reads, creates, streams, and those that failed.
    pub requests: u64,
    /// Requests that were refused or failed.
    pub failed: u64,
    /// Reads that told it nothing new.
    pub wasted: u64,
    /// Reads by channel: polls, then [`Channel::ALL`].
    pub channels: [u64; 1 + Channel::ALL.len()],
    /// How long after the ends it learned of them in all, in milliseconds.
    pub late_ms: u64,
    /// How often it came back after it had been told when to.
    pub advised: u64,
    /// How often it didn't come back before that.
    pub obeyed: u64,
    /// How often it came back too early after it had been refused.
    pub ignored_refusals: u64,
    /// Jobs that it made.
    pub creates: u64,
    /// Creates repeated under their idempotency key, which made nothing.
    pub replayed: u64,
    /// Creates without a key whose body repeated that of one before.
    pub identical: u64,
    /// Those of them that followed one whose answer was lost: the same job twice.
    pub duplicates: u64,
}

impl ClientReports {
    /// No client has been seen. `speed` is how many times faster the server's time passes than its clients'.
    pub(super) fn new(speed: u32) -> Self {
        let shard = || Shard {
            reports: FastMap::default(),
            seen: Recent::new(SEEN_MAX),
        };
        Self {
            shards: Sharded::new(SHARDS, shard),
            speed: speed.max(1),
        }
    }

    pub(super) fn read(&self, client: Client, read: &Read) {
        let mut shard = self.shards.write(&client);
        let Shard { reports, seen } = &mut *shard;
        let report = report_of(reports, client, read.at);
        let (seen, _) = seen.get_or_add((client, read.job));
        let counts = &mut report.counts;
        counts.jobs += u64::from(!seen.was_read);
        seen.was_read = true;
        counts.requests += u64::from(read.is_request());
        counts.channels[read.channel.map_or(0, |channel| 1 + channel as usize)] += 1;
        counts.judge(
            seen.advice,
            read.asked_at,
            read.channel.is_none(),
            self.speed,
        );
        counts.wasted += u64::from(read.revision <= seen.revision.max(read.known.unwrap_or(0)));
        seen.revision = seen.revision.max(read.revision);
        seen.advice = read.wait().map(|wait| Advice {
            at: read.at,
            wait,
            was_refused: false,
        });
        seen.has_waited |= read.finished_at.is_none();
        if let Some(finished_at) = read.finished_at
            && !seen.has_end
        {
            seen.has_end = true;
            let has_waited = seen.has_waited || read.asked_at <= finished_at;
            report.ended(read, read.at.since(finished_at), has_waited);
            report.counts.ended_by_create += u64::from(read.channel == Some(Channel::Create));
        }
    }

    pub(super) fn request(&self, client: Client, at: Timestamp) {
        let mut shard = self.shards.write(&client);
        report_of(&mut shard.reports, client, at).counts.requests += 1;
    }

    pub(super) fn failed(&self, client: Client, failed: FailedRequest) {
        let mut shard = self.shards.write(&client);
        let Shard { reports, seen } = &mut *shard;
        let counts = &mut report_of(reports, client, failed.at).counts;
        counts.requests += 1;
        counts.failed += 1;
        let seen = failed.job.and_then(|job| seen.get_mut(&(client, job)));
        if let Some(seen) = seen {
            counts.judge(seen.advice, failed.asked_at, true, self.speed);
            seen.advice = failed.retry_after.map(|wait| Advice {
                at: failed.at,
                wait,
                was_refused: true,
            });
        }
    }

    pub(super) fn created(&self, client: Client, created: AnsweredCreate) {
        let mut shard = self.shards.write(&client);
        let Shard { reports, seen } = &mut *shard;
        let report = report_of(reports, client, created.at);
        let counts = &mut report.counts;
        counts.requests += 1;
        counts.failed += u64::from(created.is_lost);
        seen.get_or_add((client, created.job)).0.has_waited = true;
        let lost = report.lost.iter().position(|body| *body == created.body);
        if created.is_replay {
            counts.replayed += 1;
        } else {
            counts.creates += 1;
            if !created.has_key && report.bodies.contains(&created.body) {
                counts.identical += 1;
                counts.duplicates += u64::from(lost.is_some());
            }
        }
        if let Some(place) = lost {
            report.lost.remove(place);
        }
        remember(&mut report.bodies, created.body, CREATES_MAX);
        if created.is_lost {
            remember(&mut report.lost, created.body, CREATES_MAX);
        }
    }

    pub(super) fn of(&self, owner: Owner) -> (Vec<ClientReport>, usize) {
        let mut reports = Vec::new();
        let mut jobs = HashSet::new();
        for shard in self.shards.all() {
            let shard = shard.read();
            let of_owner = shard.reports.values().filter(|it| it.client.owner == owner);
            reports.extend(of_owner.cloned());
            let seen = shard.seen.keys();
            let of_owner = seen.filter(|(it, _)| it.owner == owner);
            let was_read =
                |key: &&(Client, JobKey)| shard.seen.get(key).is_some_and(|it| it.was_read);
            jobs.extend(of_owner.filter(was_read).map(|(_, job)| *job));
        }
        (reports, jobs.len())
    }

    pub(super) fn clear(&self, owner: Owner) {
        self.keep(|client| client.owner != owner);
    }

    pub(super) fn clear_all(&self) {
        self.keep(|_| false);
    }

    fn keep(&self, is_kept: impl Fn(&Client) -> bool) {
        for shard in self.shards.all() {
            let mut shard = shard.write();
            shard.reports.retain(|client, _| is_kept(client));
            shard.seen.retain(|(client, _)| is_kept(client));
        }
    }
}

impl ClientReport {
    fn ended(&mut self, read: &Read, late: Duration, has_waited: bool) {
        let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        self.counts.ended += 1;
        self.counts.late_ms = self.counts.late_ms.saturating_add(late_ms);
        remember(&mut self.late_ms, late_ms, LATE_MAX);
        if has_waited {
            let waited = Waited {
                kind: read.kind,
                took_s: read.took.as_secs_f64(),
                late_s: late.as_secs_f64(),
            };
            remember(&mut self.waited, waited, LATE_MAX);
        }
    }

    /// Adds what another node saw of the same client. A job that it read at both counts at each.
    pub fn merge(&mut self, other: Self) {
        self.since = self.since.min(other.since);
        self.last = self.last.max(other.last);
        self.counts.add(&other.counts);
        for late_ms in other.late_ms {
            remember(&mut self.late_ms, late_ms, LATE_MAX);
        }
        for waited in other.waited {
            remember(&mut self.waited, waited, LATE_MAX);
        }
    }

    /// What waiting cost; `None` if it has waited for no job to its end.
    #[must_use]
    pub fn cost(&self) -> Option<Cost> {
        if self.waited.is_empty() {
            return None;
        }
        let late_s: f64 = self.waited.iter().map(|waited| waited.late_s).sum();
        let counts = &self.counts;
        let reads = counts
            .requests
            .saturating_sub(counts.creates + counts.replayed);
        let reads = reads as f64 / counts.jobs.max(1) as f64;
        let cost_s = PRICE_S * reads + late_s / self.waited.len() as f64;
        let jobs = self.waited.iter();
        let bound_s = grade::bound_s(jobs.map(|waited| (waited.kind, waited.took_s)));
        let grade = Grade::of(cost_s, bound_s);
        Some(Cost {
            cost_s,
            bound_s,
            grade,
        })
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let Self {
            jobs,
            ended,
            ended_by_create,
            requests,
            failed,
            wasted,
            channels,
            late_ms,
            advised,
            obeyed,
            ignored_refusals,
            creates,
            replayed,
            identical,
            duplicates,
        } = self;
        *jobs += other.jobs;
        *ended += other.ended;
        *ended_by_create += other.ended_by_create;
        *requests += other.requests;
        *failed += other.failed;
        *wasted += other.wasted;
        for (own, other) in channels.iter_mut().zip(other.channels) {
            *own += other;
        }
        *late_ms = late_ms.saturating_add(other.late_ms);
        *advised += other.advised;
        *obeyed += other.obeyed;
        *ignored_refusals += other.ignored_refusals;
        *creates += other.creates;
        *replayed += other.replayed;
        *identical += other.identical;
        *duplicates += other.duplicates;
    }

    /// Judges whether the client came back when it had been told to. Advice is for polls, a refusal for held requests
    /// too.
    fn judge(&mut self, advice: Option<Advice>, asked_at: Timestamp, is_poll: bool, speed: u32) {
        let Some(advice) = advice.filter(|advice| advice.was_refused || is_poll) else {
            return;
        };
        // Clients wait by their own time, which passes more slowly.
        let pause = asked_at.since(advice.at) / speed;
        let obeyed = pause + OBEDIENCE_SLACK >= advice.wait;
        self.advised += 1;
        self.obeyed += u64::from(obeyed);
        self.ignored_refusals += u64::from(advice.was_refused && !obeyed);
    }
}

/// The report of that client, begun if there is none. The client has been seen at that moment.
fn report_of(
    reports: &mut FastMap<Client, ClientReport>,
    client: Client,
    at: Timestamp,
) -> &mut ClientReport {
    if reports.len() >= CLIENTS_PER_OWNER_MAX && !reports.contains_key(&client) {
        let is_own = |report: &&ClientReport| report.client.owner == client.owner;
        let is_full = reports.len() >= CLIENTS_MAX;
        let has_most = reports.values().filter(is_own).count() >= CLIENTS_PER_OWNER_MAX;
        let others = reports.values().filter(|report| match has_most {
            true => is_own(report),
            false => is_full,
        });
        let silent = others.min_by_key(|report| report.last);
        if let Some(silent) = silent.map(|report| report.client) {
            reports.remove(&silent);
        }
    }
    let report = reports.entry(client).or_insert_with(|| ClientReport {
        client,
        since: at,
        last: at,
        counts: Counts::default(),
        late_ms: VecDeque::new(),
        waited: VecDeque::new(),
        bodies: VecDeque::new(),
        lost: VecDeque::new(),
    });
    report.last = at;
    report
}

fn remember<T>(list: &mut VecDeque<T>, value: T, max: usize) {
    if list.len() == max {
        list.pop_front();
    }
    list.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, client, read};
    use super::*;

    fn report(reports: &ClientReports) -> ClientReport {
        let (mut reports, _) = reports.of(Owner::ANYONE);
        assert_eq!(reports.len(), 1);
        reports.remove(0)
    }

    #[test]
    fn every_read_is_counted() {
        let reports = ClientReports::new(1);
        for n in 0..10_000 {
            reports.read(client(1), &read(n, 1 + n as u64 / 5_000));
        }
        let end = Read {
            finished_at: Some(at(10_000)),
            ..read(10_250, 3)
        };
        reports.read(client(1), &end);
        reports.read(client(1), &end);
        let report = report(&reports);
        let counts = report.counts;
        assert_eq!((counts.jobs, counts.ended, counts.requests), (1, 1, 10_002));
        assert_eq!((counts.wasted, counts.late_ms), (9_999, 250));
        assert_eq!(report.late_ms, [250]);
    }

    #[test]
    fn advice_is_for_polls_and_a_refusal_for_every_request() {
        let advised = |millis, channel| Read {
            retry_after: Some(2),
            channel,
            ..read(millis, 1)
        };
        let held = Some(Channel::LongPoll);
        let reports = ClientReports::new(1);
        for (millis, channel) in [
            (0, None),
            // Too early by more than the slack, just within it, and not to be judged.
            (1_900, None),
            (3_860, None),
            (3_900, held),
            (3_950, held),
        ] {
            reports.read(client(1), &advised(millis, channel));
        }
        let one = report(&reports).counts;
        assert_eq!((one.advised, one.obeyed), (2, 1));
        let failed = |millis| FailedRequest {
            asked_at: at(millis),
            at: at(millis),
            job: Some(JobKey::from_u128(1)),
            retry_after: Some(Duration::from_secs(2)),
        };
        reports.failed(client(1), failed(6_000));
        reports.failed(client(1), failed(8_000));
        reports.read(client(1), &advised(8_100, held));
        let one = report(&reports).counts;
        assert_eq!((one.advised, one.obeyed, one.failed), (5, 3, 2));
    }

    #[test]
    fn at_sixty_times_the_speed_a_clients_second_is_a_minute() {
        let reports = ClientReports::new(60);
        let advised = Read {
            retry_after: Some(2),
            ..read(0, 1)
        };
        reports.read(client(1), &advised);
        let a_minute_later = Read {
            at: at(60_000),
            asked_at: at(60_000),
            ..advised
        };
        reports.read(client(1), &a_minute_later);
        reports.read(client(1), &read(180_000, 1));
        let counts = report(&reports).counts;
        assert_eq!((counts.advised, counts.obeyed), (2, 1));
    }

    #[test]
    fn a_duplicate_repeats_a_create_whose_answer_was_lost_and_has_no_key() {
        let made = |body| AnsweredCreate {
            at: at(0),
            job: JobKey::from_u128(u128::from(body)),
            body,
            has_key: false,
            is_replay: false,
            is_lost: false,
        };
        let reports = ClientReports::new(1);
        reports.created(client(1), made(1));
        // Twice the same may be meant so.
        reports.created(client(1), made(1));
        reports.created(
            client(1),
            AnsweredCreate {
                is_lost: true,
                ..made(2)
            },
        );
        reports.created(client(1), made(2));
        reports.created(client(1), made(2));
        let with_key = AnsweredCreate {
            has_key: true,
            ..made(3)
        };
        reports.created(
            client(1),
            AnsweredCreate {
                is_lost: true,
                ..with_key
            },
        );
        reports.created(
            client(1),
            AnsweredCreate {
                is_replay: true,
                ..with_key
            },
        );
        let counts = report(&reports).counts;
        assert_eq!((counts.creates, counts.replayed), (6, 1));
        assert_eq!((counts.identical, counts.duplicates), (3, 1));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_an_owners_can_be_forgotten() {
        let reports = ClientReports::new(1);
        for n in 0..5_000 {
            reports.read(client(n), &read(n as i64, 1));
        }
        let (all, _) = reports.of(Owner::ANYONE);
        assert!(all.len() <= SHARDS * CLIENTS_MAX, "{}", all.len());
        for n in 0..2 * SEEN_MAX as u128 {
            let read = Read {
                job: JobKey::from_u128(n),
                ..read(10_000, 1)
            };
            reports.read(client(4_999), &read);
        }
        // And the one job that all the others read.
        assert!(reports.of(Owner::ANYONE).1 <= SEEN_MAX + 1);
        for n in 0..2_000 {
            let other = Client {
                owner: Owner(8),
                ..client(n)
            };
            reports.read(other, &read(20_000, 1));
        }
        assert_eq!(reports.of(Owner(8)).0.len(), SHARDS * CLIENTS_PER_OWNER_MAX);
        assert_eq!(
            reports.of(Owner::ANYONE).0.len(),
            SHARDS * CLIENTS_PER_OWNER_MAX,
            "another owner's stay"
        );
        let other = Client {
            owner: Owner(7),
            ..client(1)
        };
        reports.read(other, &read(0, 1));
        reports.clear(Owner::ANYONE);
        assert!(reports.of(Owner::ANYONE).0.is_empty());
        assert_eq!(reports.of(Owner(7)).1, 1);
    }
}
