//! The deliveries, and what is found by what. Each that is pending has its deadline in the set of all deadlines.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use abide_wire::Timestamp;

use super::delivery::{Delivery, Standing};
use super::endpoints::remove_from;
use super::fact::Replayed;
use crate::due::{Due, DueSet};
use crate::{DeliveryKey, EndpointKey, JobKey};

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
    by_job: HashMap<JobKey, BTreeSet<DeliveryKey>>,
    by_endpoint: HashMap<EndpointKey, OfEndpoint>,
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
    open: BTreeSet<DeliveryKey>,
    settled: BTreeSet<DeliveryKey>,
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
        let keys = self.by_job.get(&job).into_iter().flatten();
        keys.filter_map(|key| self.by_key.get(key))
    }

    /// The deliveries of a job to that endpoint that aren't settled.
    pub(super) fn open_of_job(
        &self,
        job: JobKey,
        endpoint: EndpointKey,
    ) -> impl Iterator<Item = &Arc<Delivery>> {
        self.of_job(job)
            .filter(move |other| other.endpoint == endpoint && !other.standing.is_settled())
    }

    /// The deliveries to an endpoint that aren't settled, the oldest first.
    pub(super) fn open_of(&self, endpoint: EndpointKey) -> Vec<DeliveryKey> {
        let found = self.by_endpoint.get(&endpoint);
        found.map_or_else(Vec::new, |found| found.open.iter().copied().collect())
    }

    /// All deliveries to an endpoint.
    pub(super) fn all_of(&self, endpoint: EndpointKey) -> Vec<DeliveryKey> {
        let found = self.by_endpoint.get(&endpoint);
        let all = |found: &OfEndpoint| found.open.iter().chain(&found.settled).copied().collect();
        found.map_or_else(Vec::new, all)
    }

    pub(super) fn has_open(&self, endpoint: EndpointKey) -> bool {
        let found = self.by_endpoint.get(&endpoint);
        found.is_some_and(|found| !found.open.is_empty())
    }

    /// The deliveries that a replay sends again, the oldest first.
    pub(super) fn to_replay(&self, replayed: &Replayed) -> Vec<DeliveryKey> {
        let Some(found) = self.by_endpoint.get(&replayed.endpoint) else {
            return Vec::new();
        };
        let from = DeliveryKey::first_at(replayed.since);
        let is_wanted = |key: &&DeliveryKey| {
            self.by_key.get(key).is_some_and(|delivery| {
                delivery.created_at >= replayed.since
                    && match delivery.standing {
                        Standing::Held { .. } | Standing::Failed { .. } => true,
                        Standing::Delivered { .. } => replayed.delivered,
                        Standing::Pending { .. } | Standing::Queued => false,
                    }
            })
        };
        let open = found.open.range(from..);
        let both = open.chain(found.settled.range(from..));
        let mut keys: Vec<DeliveryKey> = both.filter(is_wanted).copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Puts a delivery in, with its deadline.
    pub(super) fn insert(&mut self, delivery: Arc<Delivery>, due: &mut DueSet) {
        let (key, endpoint) = (delivery.key, delivery.endpoint);
        let place = self.by_endpoint.entry(endpoint).or_default();
        let before = place.open.len();
        if delivery.standing.is_settled() {
            place.settled.insert(key);
            self.settled.insert(key);
        } else {
            place.open.insert(key);
        }
        let after = place.open.len();
        self.lengthen(endpoint, before, after);
        if let Standing::Pending { due_at } = delivery.standing {
            due.insert(due_at, Due::Delivery(key));
        }
        if let Some(job) = delivery.job {
            self.by_job.entry(job).or_default().insert(key);
        }
        for (at, bytes) in answers(&delivery) {
            self.answers.insert((at, key));
            self.answer_bytes += bytes;
        }
        self.by_key.insert(key, delivery);
    }

    /// Takes a delivery out, with its deadline.
    pub(super) fn take(&mut self, key: DeliveryKey, due: &mut DueSet) -> Option<Arc<Delivery>> {
        let delivery = self.by_key.remove(&key)?;
        let endpoint = delivery.endpoint;
        if let Some(place) = self.by_endpoint.get_mut(&endpoint) {
            let before = place.open.len();
            place.open.remove(&key);
            place.settled.remove(&key);
            let after = place.open.len();
            if place.open.is_empty() && place.settled.is_empty() {
                self.by_endpoint.remove(&endpoint);
            }
            self.lengthen(endpoint, before, after);
        }
        self.settled.remove(&key);
        if let Standing::Pending { due_at } = delivery.standing {
            due.remove(due_at, Due::Delivery(key));
        }
        if let Some(job) = delivery.job {
            remove_from(&mut self.by_job, &job, &key);
        }
        for (at, bytes) in answers(&delivery) {
            self.answers.remove(&(at, key));
            self.answer_bytes -= bytes;
        }
        Some(delivery)
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
            if found.open.len() > OPEN_PER_ENDPOINT_MAX {
                let oldest = found.open.first()?;
                return Some(Surplus::Open(*oldest, endpoint));
            }
        }
        if self.open > open_max {
            let (_, longest) = self.by_length.last()?;
            let oldest = self.by_endpoint.get(longest)?.open.first()?;
            return Some(Surplus::Open(*oldest, *longest));
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
