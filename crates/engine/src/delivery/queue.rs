//! The deliveries, and what is found by what. Each that is pending has its deadline in the set of all deadlines.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use abide_wire::Timestamp;

use super::delivery::{Delivery, Standing};
use super::fact::Replayed;
use crate::due::{Due, DueSet};
use crate::{DeliveryKey, EndpointKey, JobKey, Owner};

/// The most deliveries of one endpoint that wait. Beyond it the oldest is dropped, and counted on the endpoint.
pub const OPEN_PER_ENDPOINT_MAX: usize = 50_000;
/// The most settled deliveries of one endpoint that are remembered.
pub const SETTLED_PER_ENDPOINT_MAX: usize = 10_000;
/// The most settled deliveries that are remembered in all.
pub const SETTLED_MAX: usize = 50_000;
/// How long a settled delivery is remembered after its event.
pub const SETTLED_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// The most bytes of answers that are remembered in all. Beyond it the oldest answer is forgotten, not its attempt.
pub const ANSWER_BYTES_KEPT: usize = 64 * 1024 * 1024;

/// All deliveries.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    by_key: HashMap<DeliveryKey, Arc<Delivery>>,
    by_job: HashMap<JobKey, OfJob>,
    by_endpoint: HashMap<EndpointKey, OfEndpoint>,
    /// Those of jobs that aren't settled, in order of their events.
    open_events: BTreeSet<(EndpointKey, JobKey, u64, DeliveryKey)>,
    /// Endpoints by how many of their deliveries wait, the most last.
    by_length: BTreeSet<(usize, EndpointKey)>,
    /// How many wait in all.
    open: usize,
    settled: BTreeSet<DeliveryKey>,
    /// Attempts whose answer is remembered.
    answers: BTreeSet<(Timestamp, DeliveryKey)>,
    answer_bytes: usize,
}

/// The deliveries of one endpoint.
#[derive(Clone, Debug, Default)]
struct OfEndpoint {
    /// Whose deliveries they are; no owner's once the endpoint is gone.
    owner: Owner,
    /// What they take.
    bytes: usize,
    /// Pending and queued ones.
    waiting: BTreeSet<DeliveryKey>,
    held: BTreeSet<DeliveryKey>,
    settled: BTreeSet<DeliveryKey>,
}

/// The deliveries of one job.
#[derive(Clone, Debug, Default)]
struct OfJob {
    keys: BTreeSet<DeliveryKey>,
    /// How many of them need the job's record.
    needing: usize,
    /// Whether there is no record of the job any more.
    is_gone: bool,
}

impl OfEndpoint {
    fn open(&self) -> usize {
        self.waiting.len() + self.held.len()
    }

    fn oldest_open(&self) -> Option<DeliveryKey> {
        let oldest = [self.waiting.first(), self.held.first()];
        oldest.into_iter().flatten().min().copied()
    }

    fn place(&mut self, standing: Standing) -> &mut BTreeSet<DeliveryKey> {
        match standing {
            Standing::Pending { .. } | Standing::Queued => &mut self.waiting,
            Standing::Held { .. } => &mut self.held,
            Standing::Delivered { .. } | Standing::Failed { .. } => &mut self.settled,
        }
    }
}

/// A delivery that must go, because there are too many.
pub(super) enum Surplus {
    /// A settled one is forgotten.
    Settled(DeliveryKey),
    /// One that waits is dropped.
    Open(DeliveryKey, EndpointKey),
}

impl Queue {
    pub(super) fn get(&self, key: DeliveryKey) -> Option<&Arc<Delivery>> {
        self.by_key.get(&key)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Delivery>> {
        self.by_key.values()
    }

    /// The deliveries of a job, in order of creation.
    pub(super) fn of_job(&self, job: JobKey) -> impl Iterator<Item = &Arc<Delivery>> {
        let keys = self.by_job.get(&job).into_iter();
        let keys = keys.flat_map(|found| &found.keys);
        keys.filter_map(|key| self.by_key.get(key))
    }

    /// How many deliveries of a job there are.
    pub(super) fn count_of_job(&self, job: JobKey) -> usize {
        self.by_job.get(&job).map_or(0, |found| found.keys.len())
    }

    /// Whether a delivery needs that job's record.
    pub(super) fn needs(&self, job: JobKey) -> bool {
        self.by_job.get(&job).is_some_and(|found| found.needing > 0)
    }

    /// Notes that there is no record of that job any more.
    pub(super) fn note_gone(&mut self, job: JobKey) {
        if let Some(found) = self.by_job.get_mut(&job) {
            found.is_gone = true;
        }
    }

    /// Whether there is all that is needed to send that delivery.
    pub(super) fn can_send(&self, delivery: &Delivery) -> bool {
        let found = delivery.job.and_then(|job| self.by_job.get(&job));
        delivery.body.is_some() || found.is_some_and(|found| !found.is_gone)
    }

    /// Forgets a job that has no deliveries any more.
    pub(super) fn tidy(&mut self, job: JobKey) {
        if self
            .by_job
            .get(&job)
            .is_some_and(|found| found.keys.is_empty())
        {
            self.by_job.remove(&job);
        }
    }

    /// The jobs that have deliveries.
    pub(super) fn jobs(&self) -> impl Iterator<Item = JobKey> {
        self.by_job.keys().copied()
    }

    /// The oldest event of a job that isn't settled for that endpoint: its revision and its delivery.
    pub(super) fn first_open_event(
        &self,
        endpoint: EndpointKey,
        job: JobKey,
    ) -> Option<(u64, DeliveryKey)> {
        let from = (endpoint, job, 0, DeliveryKey::from_u128(0));
        let first = self.open_events.range(from..).next()?;
        let (of_endpoint, of_job, revision, key) = *first;
        (of_endpoint == endpoint && of_job == job).then_some((revision, key))
    }

    /// The oldest pending and queued deliveries to an endpoint, at most `limit`.
    pub(super) fn waiting_of(&self, endpoint: EndpointKey, limit: usize) -> Vec<DeliveryKey> {
        let found = self.by_endpoint.get(&endpoint).into_iter();
        let waiting = found.flat_map(|found| &found.waiting);
        waiting.take(limit).copied().collect()
    }

    /// Any deliveries to an endpoint, at most `limit`.
    pub(super) fn some_of(&self, endpoint: EndpointKey, limit: usize) -> Vec<DeliveryKey> {
        let found = self.by_endpoint.get(&endpoint).into_iter();
        let all = found.flat_map(|found| {
            let open = found.waiting.iter().chain(&found.held);
            open.chain(&found.settled)
        });
        all.take(limit).copied().collect()
    }

    pub(super) fn has_open(&self, endpoint: EndpointKey) -> bool {
        let found = self.by_endpoint.get(&endpoint);
        found.is_some_and(|found| found.open() > 0)
    }

    pub(super) fn has_waiting(&self, endpoint: EndpointKey) -> bool {
        let found = self.by_endpoint.get(&endpoint);
        found.is_some_and(|found| !found.waiting.is_empty())
    }

    pub(super) fn has_any(&self, endpoint: EndpointKey) -> bool {
        self.by_endpoint.contains_key(&endpoint)
    }

    /// The endpoints that deliveries name, also those that are gone.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = EndpointKey> {
        self.by_endpoint.keys().copied()
    }

    /// The deliveries that a replay sends again, the oldest first.
    pub(super) fn to_replay(&self, replayed: &Replayed) -> impl Iterator<Item = DeliveryKey> {
        let from = match replayed.after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(DeliveryKey::first_at(replayed.since)),
        };
        let found = self.by_endpoint.get(&replayed.endpoint).into_iter();
        let keys = found.flat_map(move |found| {
            let range = (from, Bound::Unbounded);
            let mut held = found.held.range(range).peekable();
            let mut settled = found.settled.range(range).peekable();
            std::iter::from_fn(move || match (held.peek(), settled.peek()) {
                (Some(a), Some(b)) if a > b => settled.next(),
                (Some(_), _) => held.next(),
                (None, _) => settled.next(),
            })
        });
        let is_wanted = |key: &&DeliveryKey| {
            self.by_key.get(key).is_some_and(|delivery| {
                delivery.created_at >= replayed.since
                    && match delivery.standing {
                        Standing::Held { .. } | Standing::Failed { .. } => true,
                        Standing::Delivered { .. } => replayed.delivered && self.can_send(delivery),
                        Standing::Pending { .. } | Standing::Queued => false,
                    }
            })
        };
        keys.filter(is_wanted).copied()
    }

    /// What the deliveries take, with their owner.
    pub(super) fn bytes(&self) -> impl Iterator<Item = (Owner, usize)> {
        self.by_endpoint
            .values()
            .map(|place| (place.owner, place.bytes))
    }

    /// Notes whose the deliveries to that endpoint are. Returns whose they were, and what they take.
    pub(super) fn set_owner(&mut self, endpoint: EndpointKey, owner: Owner) -> (Owner, usize) {
        match self.by_endpoint.get_mut(&endpoint) {
            Some(place) => (std::mem::replace(&mut place.owner, owner), place.bytes),
            None => (owner, 0),
        }
    }

    /// Puts a delivery in, with its deadline. `owner` is the endpoint's.
    pub(super) fn insert(&mut self, delivery: Arc<Delivery>, owner: Owner, due: &mut DueSet) {
        let (key, endpoint) = (delivery.key, delivery.endpoint);
        let place = self.by_endpoint.entry(endpoint).or_default();
        if place.bytes == 0 {
            place.owner = owner;
        }
        place.bytes += delivery.bytes();
        let before = place.open();
        place.place(delivery.standing).insert(key);
        let after = place.open();
        if delivery.standing.is_settled() {
            self.settled.insert(key);
        } else if let Some(job) = delivery.job {
            let event = (endpoint, job, delivery.revision, key);
            self.open_events.insert(event);
        }
        self.lengthen(endpoint, before, after);
        if let Standing::Pending { due_at } = delivery.standing {
            due.insert(due_at, Due::Delivery(key));
        }
        if let Some(job) = delivery.job {
            let place = self.by_job.entry(job).or_default();
            place.keys.insert(key);
            place.needing += usize::from(delivery.needs().is_some());
        }
        for (at, bytes) in answers(&delivery) {
            self.answers.insert((at, key));
            self.answer_bytes += bytes;
        }
        self.by_key.insert(key, delivery);
    }

    /// Takes a delivery out, with its deadline, and says whose it was.
    pub(super) fn take(
        &mut self,
        key: DeliveryKey,
        due: &mut DueSet,
    ) -> Option<(Arc<Delivery>, Owner)> {
        let delivery = self.by_key.remove(&key)?;
        let endpoint = delivery.endpoint;
        let mut owner = Owner::ANYONE;
        if let Some(place) = self.by_endpoint.get_mut(&endpoint) {
            owner = place.owner;
            place.bytes -= delivery.bytes();
            let before = place.open();
            place.place(delivery.standing).remove(&key);
            let after = place.open();
            if after == 0 && place.settled.is_empty() {
                self.by_endpoint.remove(&endpoint);
            }
            self.lengthen(endpoint, before, after);
        }
        self.settled.remove(&key);
        if let Standing::Pending { due_at } = delivery.standing {
            due.remove(due_at, Due::Delivery(key));
        }
        if let Some(job) = delivery.job {
            if let Some(place) = self.by_job.get_mut(&job) {
                place.keys.remove(&key);
                place.needing -= usize::from(delivery.needs().is_some());
                if place.keys.is_empty() && !place.is_gone {
                    self.by_job.remove(&job);
                }
            }
            let event = (endpoint, job, delivery.revision, key);
            self.open_events.remove(&event);
        }
        for (at, bytes) in answers(&delivery) {
            self.answers.remove(&(at, key));
            self.answer_bytes -= bytes;
        }
        Some((delivery, owner))
    }

    /// Notes how many deliveries wait for an endpoint now.
    fn lengthen(&mut self, endpoint: EndpointKey, before: usize, after: usize) {
        if before == after {
            return;
        }
        self.by_length.remove(&(before, endpoint));
        if after > 0 {
            self.by_length.insert((after, endpoint));
        }
        self.open = self.open + after - before;
    }

    /// What must go next, after something was put in for that endpoint: what is old or too many. Of those that wait,
    /// the oldest goes, of that endpoint or of the one for which most wait.
    pub(super) fn surplus(
        &self,
        endpoint: EndpointKey,
        now: Timestamp,
        open_max: usize,
    ) -> Option<Surplus> {
        let old = DeliveryKey::first_at(now - SETTLED_KEPT);
        if let Some(oldest) = self.settled.first()
            && (self.settled.len() > SETTLED_MAX || *oldest < old)
        {
            return Some(Surplus::Settled(*oldest));
        }
        if let Some(found) = self.by_endpoint.get(&endpoint) {
            if found.settled.len() > SETTLED_PER_ENDPOINT_MAX {
                return found.settled.first().copied().map(Surplus::Settled);
            }
            if found.open() > OPEN_PER_ENDPOINT_MAX {
                return Some(Surplus::Open(found.oldest_open()?, endpoint));
            }
        }
        if self.open > open_max {
            let (_, longest) = self.by_length.last()?;
            let oldest = self.by_endpoint.get(longest)?.oldest_open()?;
            return Some(Surplus::Open(oldest, *longest));
        }
        None
    }

    /// The attempt whose answer is to be forgotten next, because there are too many bytes of answers.
    pub(super) fn surplus_answer(&self) -> Option<(Timestamp, DeliveryKey)> {
        self.answers
            .first()
            .copied()
            .filter(|_| self.answer_bytes > ANSWER_BYTES_KEPT)
    }
}

/// The answers that a delivery's attempts got: when these began, and how long the answers are.
fn answers(delivery: &Delivery) -> impl Iterator<Item = (Timestamp, usize)> + '_ {
    let attempts = delivery.attempts.iter();
    attempts.filter_map(|attempt| Some((attempt.at, attempt.answer.as_ref()?.len())))
}
