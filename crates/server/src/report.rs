//! How each client waits, counted as it happens.
//!
//! The [log of looks](crate::looks) remembers single looks for a while; this remembers sums, so that a client that asks a thousand
//! times a second is counted whole. A client is a program at an address, or with a key. Counting costs a look one short lock among sixteen and, but
//! for a client's first look at a job, no memory.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use abide_engine::{JobKey, Owner};
use abide_wire::Timestamp;

use crate::board::Channel;
use crate::looks::Who;
use abide_engine::hash::{FastHash, FastMap};

/// Into how many parts the clients are divided, each with a lock of its own.
const SHARDS: usize = 16;
/// The most clients that are remembered per part. The one that has been silent for longest is forgotten for the next.
const CLIENTS_MAX: usize = 64;
/// The most jobs per part of which it is remembered what a client has seen. The oldest is forgotten for the next.
const WATCHED_MAX: usize = 8_192;
/// Of so many ends per client the lateness is remembered, the last ones.
const LATE_MAX: usize = 1_024;
/// The most creates per client that are remembered to recognize a repetition.
const CREATES_MAX: usize = 64;
/// How much sooner than asked a client may come back and still count as obedient: headers are in whole seconds, and a client's
/// clock is not ours.
const OBEDIENCE_SLACK: Duration = Duration::from_millis(50);

/// The cards of all clients.
#[derive(Debug)]
pub struct Report {
    hash: FastHash,
    shards: [Mutex<Shard>; SHARDS],
    /// How many times faster than its clients' time the server lives.
    speed: u32,
}

#[derive(Debug, Default)]
struct Shard {
    cards: FastMap<Client, Card>,
    watched: FastMap<(Client, JobKey), Watched>,
    /// In the order in which they came.
    order: VecDeque<(Client, JobKey)>,
}

/// Who counts as one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// Whose jobs it sees.
    pub owner: Owner,
    /// Which program, where.
    pub who: Who,
}

/// What a client has seen of a job.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    revision: u64,
    has_seen_end: bool,
    told: Option<Told>,
}

/// What a client was told of when to come back.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: Timestamp,
    wait: Duration,
    /// Whether it was refused until then; else it was advice, and a held request needn't take it.
    was_refused: bool,
}

/// One look, as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it was answered.
    pub at: Timestamp,
    /// At which job.
    pub job: JobKey,
    /// Which revision it showed.
    pub revision: u64,
    /// The newest revision that the client said it has.
    pub known: Option<u64>,
    /// When the job ended, where the look showed that.
    pub finished_at: Option<Timestamp>,
    /// By which channel; `None` for a read that isn't held.
    pub channel: Option<Channel>,
    /// How long the answer asked the client to wait.
    pub retry_after: Option<Duration>,
}

/// A request that was refused or failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it was answered.
    pub at: Timestamp,
    /// For which job, where that is known.
    pub job: Option<JobKey>,
    /// How long the answer asked the client to wait.
    pub retry_after: Option<Duration>,
}

/// A create, as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// When.
    pub at: Timestamp,
    /// A digest of what was said.
    pub said: u64,
    /// Whether there was an idempotency key.
    pub has_key: bool,
    /// Whether the job had been made before under that key.
    pub is_replay: bool,
    /// Whether the client never got the answer.
    pub is_lost: bool,
}

/// What is known of one client.
#[derive(Clone, Debug)]
pub struct Card {
    /// Who.
    pub client: Client,
    /// When it was first seen.
    pub since: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// At how many jobs it looked.
    pub jobs: u64,
    /// Of how many it saw the end.
    pub ended: u64,
    /// Of how many it saw the end by the very create that made them.
    pub ended_by_create: u64,
    /// Requests about jobs: looks, creates, streams, and those that failed.
    pub requests: u64,
    /// Those that were refused or failed.
    pub failed: u64,
    /// Looks that told it nothing new.
    pub wasted: u64,
    /// Looks by channel: those that aren't held, then [`Channel::ALL`].
    pub channels: [u64; 1 + Channel::ALL.len()],
    /// How long after the ends it learned of them, in milliseconds; the last of them.
    pub late_ms: VecDeque<u64>,
    /// The sum of all.
    pub late_ms_sum: u64,
    /// How often it came back after it had been told when to.
    pub told: u64,
    /// How often not before that.
    pub obeyed: u64,
    /// Jobs that it made.
    pub creates: u64,
    /// Creates that were repeated under their idempotency key and so made nothing.
    pub replayed: u64,
    /// Creates without a key that said what one before had said.
    pub identical: u64,
    /// Those of them that followed one whose answer was lost: the same job twice.
    pub duplicates: u64,
    said: VecDeque<u64>,
    lost: VecDeque<u64>,
}

impl Report {
    /// No client has been seen. `speed` is how many times faster than its clients' time the server lives.
    #[must_use]
    pub fn new(speed: u32) -> Self {
        Self {
            hash: FastHash::default(),
            shards: std::array::from_fn(|_| Mutex::default()),
            speed: speed.max(1),
        }
    }

    /// Counts a look. `is_request` says that a request was made for it, and not for several looks together.
    pub fn look(&self, client: Client, seen: Seen, is_request: bool) {
        let mut guard = self.shard(&client);
        let shard = &mut *guard;
        let key = (client, seen.job);
        let card = shard.cards.get_mut(&client);
        let card = match card {
            Some(card) => card,
            None => insert_card(&mut shard.cards, client, seen.at),
        };
        let known = shard.watched.get_mut(&key);
        let watched = match known {
            Some(watched) => watched,
            None => {
                if shard.watched.len() >= WATCHED_MAX
                    && let Some(oldest) = shard.order.pop_front()
                {
                    shard.watched.remove(&oldest);
                }
                shard.order.push_back(key);
                card.jobs += 1;
                shard.watched.entry(key).or_default()
            }
        };
        card.last = seen.at;
        card.requests += u64::from(is_request);
        let channel = seen.channel.map_or(0, |channel| 1 + channel as usize);
        card.channels[channel] += 1;
        card.judge(watched.told.take(), seen.asked_at, channel == 0, self.speed);
        if seen.revision <= watched.revision.max(seen.known.unwrap_or(0)) {
            card.wasted += 1;
        }
        watched.revision = watched.revision.max(seen.revision);
        watched.told = seen.retry_after.map(|wait| Told {
            at: seen.at,
            wait,
            was_refused: false,
        });
        if let Some(finished_at) = seen.finished_at
            && !watched.has_seen_end
        {
            watched.has_seen_end = true;
            card.ended(seen.at.since(finished_at));
            card.ended_by_create += u64::from(seen.channel == Some(Channel::Create));
        }
    }

    /// Counts a request whose looks are counted apart.
    pub fn request(&self, client: Client, at: Timestamp) {
        let mut shard = self.shard(&client);
        insert_card(&mut shard.cards, client, at).requests += 1;
    }

    /// Counts a request that was refused or failed.
    pub fn failed(&self, client: Client, failed: Failed) {
        let mut guard = self.shard(&client);
        let shard = &mut *guard;
        let card = insert_card(&mut shard.cards, client, failed.at);
        card.requests += 1;
        card.failed += 1;
        let watched = failed
            .job
            .and_then(|job| shard.watched.get_mut(&(client, job)));
        if let Some(watched) = watched {
            card.judge(watched.told.take(), failed.asked_at, true, self.speed);
            watched.told = failed.retry_after.map(|wait| Told {
                at: failed.at,
                wait,
                was_refused: true,
            });
        }
    }

    /// Counts a create that made a job, or would have.
    pub fn made(&self, client: Client, made: Made) {
        let mut shard = self.shard(&client);
        let card = insert_card(&mut shard.cards, client, made.at);
        card.requests += 1;
        card.failed += u64::from(made.is_lost);
        let lost = card.lost.iter().position(|said| *said == made.said);
        if made.is_replay {
            card.replayed += 1;
        } else {
            card.creates += 1;
            if !made.has_key && card.said.contains(&made.said) {
                card.identical += 1;
                card.duplicates += u64::from(lost.is_some());
            }
        }
        if let Some(place) = lost {
            card.lost.remove(place);
        }
        remember(&mut card.said, made.said, CREATES_MAX);
        if made.is_lost {
            remember(&mut card.lost, made.said, CREATES_MAX);
        }
    }

    /// The cards of all clients that see that owner's jobs, and how many jobs they have looked at together, as far as that is
    /// remembered.
    #[must_use]
    pub fn of(&self, owner: Owner) -> (Vec<Card>, usize) {
        let mut cards = Vec::new();
        let mut jobs = HashSet::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let of_owner = shard.cards.values().filter(|it| it.client.owner == owner);
            cards.extend(of_owner.cloned());
            let watched = shard.watched.keys();
            jobs.extend(watched.filter_map(|(it, job)| (it.owner == owner).then_some(*job)));
        }
        (cards, jobs.len())
    }

    /// Forgets the cards of all clients that see that owner's jobs.
    pub fn clear(&self, owner: Owner) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.cards.retain(|client, _| client.owner != owner);
            shard.watched.retain(|(client, _), _| client.owner != owner);
            shard.order.retain(|(client, _)| client.owner != owner);
        }
    }

    fn shard(&self, client: &Client) -> MutexGuard<'_, Shard> {
        let hash = self.hash.hash_one(client);
        lock(&self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)])
    }
}

impl Card {
    fn new(client: Client, at: Timestamp) -> Self {
        Self {
            client,
            since: at,
            last: at,
            jobs: 0,
            ended: 0,
            ended_by_create: 0,
            requests: 0,
            failed: 0,
            wasted: 0,
            channels: [0; 1 + Channel::ALL.len()],
            late_ms: VecDeque::new(),
            late_ms_sum: 0,
            told: 0,
            obeyed: 0,
            creates: 0,
            replayed: 0,
            identical: 0,
            duplicates: 0,
            said: VecDeque::new(),
            lost: VecDeque::new(),
        }
    }

    fn ended(&mut self, late: Duration) {
        let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        self.ended += 1;
        self.late_ms_sum = self.late_ms_sum.saturating_add(late_ms);
        remember(&mut self.late_ms, late_ms, LATE_MAX);
    }

    /// Judges whether the client came back when it had been told to.
    fn judge(&mut self, told: Option<Told>, asked_at: Timestamp, is_bare: bool, speed: u32) {
        let Some(told) = told.filter(|told| told.was_refused || is_bare) else {
            return;
        };
        // Clients wait by their own time, which the server's may have left behind.
        let pause = asked_at.since(told.at) / speed;
        self.told += 1;
        self.obeyed += u64::from(pause + OBEDIENCE_SLACK >= told.wait);
    }
}

/// The card of that client, made where there is none.
fn insert_card(cards: &mut FastMap<Client, Card>, client: Client, at: Timestamp) -> &mut Card {
    if cards.len() >= CLIENTS_MAX && !cards.contains_key(&client) {
        let silent = cards.values().min_by_key(|card| card.last);
        if let Some(silent) = silent.map(|card| card.client) {
            cards.remove(&silent);
        }
    }
    let card = cards.entry(client).or_insert_with(|| Card::new(client, at));
    card.last = at;
    card
}

fn remember<T>(list: &mut VecDeque<T>, value: T, max: usize) {
    if list.len() == max {
        list.pop_front();
    }
    list.push_back(value);
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Counts are changed one at a time, so a panic in between leaves none of them half changed.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::looks::Agent;

    fn client(n: u64) -> Client {
        Client {
            owner: Owner::ANYONE,
            who: Who {
                agent: Agent::new(&format!("client/{n}")),
                address: None,
            },
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    fn seen(millis: i64, revision: u64) -> Seen {
        Seen {
            asked_at: at(millis),
            at: at(millis),
            job: JobKey::from_u128(1),
            revision,
            known: None,
            finished_at: None,
            channel: None,
            retry_after: None,
        }
    }

    fn card(report: &Report) -> Card {
        let (mut cards, _) = report.of(Owner::ANYONE);
        assert_eq!(cards.len(), 1);
        cards.remove(0)
    }

    #[test]
    fn looks_are_counted_however_many_there_are() {
        let report = Report::new(1);
        for n in 0..10_000 {
            report.look(client(1), seen(n, 1 + n as u64 / 5_000), true);
        }
        let end = Seen {
            finished_at: Some(at(10_000)),
            ..seen(10_250, 3)
        };
        report.look(client(1), end, true);
        report.look(client(1), end, true);
        let card = card(&report);
        assert_eq!((card.jobs, card.ended, card.requests), (1, 1, 10_002));
        assert_eq!(
            (card.wasted, card.late_ms.as_slices().0),
            (9_999, &[250][..])
        );
    }

    #[test]
    fn advice_is_for_those_who_poll_and_a_refusal_for_everybody() {
        let wait = Some(Duration::from_secs(2));
        let advised = |millis, channel| Seen {
            retry_after: wait,
            channel,
            ..seen(millis, 1)
        };
        let held = Some(Channel::LongPoll);
        let report = Report::new(1);
        for (millis, channel) in [
            (0, None),
            // Too early by more than the slack, just within it, and not to be judged.
            (1_900, None),
            (3_860, None),
            (3_900, held),
            (3_950, held),
        ] {
            report.look(client(1), advised(millis, channel), true);
        }
        let one = card(&report);
        assert_eq!((one.told, one.obeyed), (2, 1));
        let failed = |millis| Failed {
            asked_at: at(millis),
            at: at(millis),
            job: Some(JobKey::from_u128(1)),
            retry_after: wait,
        };
        report.failed(client(1), failed(6_000));
        report.failed(client(1), failed(8_000));
        report.look(client(1), advised(8_100, held), true);
        let one = card(&report);
        assert_eq!((one.told, one.obeyed, one.failed), (5, 3, 2));
    }

    #[test]
    fn at_sixty_times_the_speed_a_second_of_the_clients_is_a_minute() {
        let report = Report::new(60);
        let advised = Seen {
            retry_after: Some(Duration::from_secs(2)),
            ..seen(0, 1)
        };
        report.look(client(1), advised, true);
        report.look(
            client(1),
            Seen {
                at: at(60_000),
                asked_at: at(60_000),
                ..advised
            },
            true,
        );
        report.look(client(1), seen(180_000, 1), true);
        let card = card(&report);
        assert_eq!((card.told, card.obeyed), (2, 1));
    }

    #[test]
    fn a_duplicate_repeats_a_create_whose_answer_was_lost_and_has_no_key() {
        let made = |said| Made {
            at: at(0),
            said,
            has_key: false,
            is_replay: false,
            is_lost: false,
        };
        let report = Report::new(1);
        report.made(client(1), made(1));
        // Twice the same may be meant so.
        report.made(client(1), made(1));
        report.made(
            client(1),
            Made {
                is_lost: true,
                ..made(2)
            },
        );
        report.made(client(1), made(2));
        report.made(client(1), made(2));
        let with_key = Made {
            has_key: true,
            ..made(3)
        };
        report.made(
            client(1),
            Made {
                is_lost: true,
                ..with_key
            },
        );
        report.made(
            client(1),
            Made {
                is_replay: true,
                ..with_key
            },
        );
        let card = card(&report);
        assert_eq!((card.creates, card.replayed), (6, 1));
        assert_eq!((card.identical, card.duplicates), (3, 1));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_an_owners_can_be_forgotten() {
        let report = Report::new(1);
        for n in 0..5_000 {
            report.look(client(n), seen(n as i64, 1), true);
        }
        let (cards, _) = report.of(Owner::ANYONE);
        assert!(cards.len() <= SHARDS * CLIENTS_MAX, "{}", cards.len());
        for n in 0..2 * WATCHED_MAX as u128 {
            let look = Seen {
                job: JobKey::from_u128(n),
                ..seen(10_000, 1)
            };
            report.look(client(4_999), look, true);
        }
        // And the one job that all the others looked at.
        assert!(report.of(Owner::ANYONE).1 <= WATCHED_MAX + 1);
        let other = Client {
            owner: Owner(7),
            ..client(1)
        };
        report.look(other, seen(0, 1), true);
        report.clear(Owner::ANYONE);
        assert!(report.of(Owner::ANYONE).0.is_empty());
        assert_eq!(report.of(Owner(7)).1, 1);
    }
}
