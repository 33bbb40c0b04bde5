//! The state of webhooks, and which fact changes it how.

use std::sync::Arc;
use std::time::Duration;

use abide_wire::Timestamp;
use abide_wire::webhook::Secret;

use super::delivery::{ATTEMPTS_MAX, Delivery, Next, Standing};
use super::due::lane_of;
use super::endpoint::{Disabled, Endpoint};
use super::endpoints::Endpoints;
use super::fact::{Attempted, Fact};
use super::lanes::{Landing, Lanes};
use super::queue::{Queue, Surplus};
use super::schedule::RetryPolicy;
use super::tell::Notice;
use crate::due::Due;
use crate::effect::Touch;
use crate::hash::FastMap;
use crate::jobs::{Job, Jobs};
use crate::snapshot::PartKey;
use crate::{DeliveryKey, EndpointKey, JobKey, Owner, Rng};

/// The most deliveries that are forgotten or dropped because of one that was put in.
const SURPLUS_AT_ONCE: usize = 64;

/// All endpoints and deliveries. Changed by [`Engine::apply`](crate::Engine::apply) alone, but for its lanes.
#[derive(Clone, Debug)]
pub struct Deliveries {
    pub(super) master: Option<Secret>,
    pub(super) endpoints: Endpoints,
    pub(super) queue: Queue,
    pub(super) lanes: Lanes,
    /// The records of jobs that were removed, and that deliveries still need.
    pub(super) kept: FastMap<JobKey, Arc<Job>>,
    /// How long after an event the first attempt is made.
    pub(super) first_pause: Duration,
    open_max: usize,
}

impl Deliveries {
    pub(crate) fn new(policy: &RetryPolicy) -> Self {
        Self {
            master: None,
            endpoints: Endpoints::default(),
            queue: Queue::default(),
            lanes: Lanes::new(policy.flying_max, policy.breaker_first()),
            kept: FastMap::default(),
            first_pause: policy.first(),
            open_max: policy.open_max.max(1),
        }
    }

    /// Follows that policy from now on.
    pub(crate) fn follow(&mut self, policy: &RetryPolicy) {
        self.lanes.limit(policy.flying_max, policy.breaker_first());
        self.first_pause = policy.first();
        self.open_max = policy.open_max.max(1);
    }

    /// An endpoint by its name.
    #[must_use]
    pub fn endpoint(&self, key: EndpointKey) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(key)
    }

    /// All endpoints, in order of creation.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter()
    }

    /// A delivery by its name.
    #[must_use]
    pub fn get(&self, key: DeliveryKey) -> Option<&Arc<Delivery>> {
        self.queue.get(key)
    }

    /// All deliveries, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Delivery>> {
        self.queue.iter()
    }

    /// The deliveries of a job, in order of creation.
    pub fn of_job(&self, job: JobKey) -> impl Iterator<Item = &Arc<Delivery>> {
        self.queue.of_job(job)
    }

    /// What each record takes, with its owner.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = (Owner, usize)> {
        let endpoints = self.endpoints().map(|found| (found.owner, found.bytes()));
        let kept = self.kept.values().map(|job| (job.owner, job.bytes()));
        endpoints.chain(self.queue.bytes()).chain(kept)
    }

    /// The record of a job, also of one that was removed and is still told of.
    pub(super) fn record<'a>(&'a self, job: JobKey, jobs: &'a Jobs) -> Option<&'a Arc<Job>> {
        jobs.get(job).or_else(|| self.kept.get(&job))
    }

    /// How many exchanges are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.lanes.flying()
    }

    /// The secret of an endpoint that was given none: derived from the server's own, so that nothing need be drawn.
    ///
    /// Without that one it is derived from the seed, which is no secret; only tests get by with that.
    pub(super) fn derived_secret(&self, endpoint: EndpointKey, rotations: u32, rng: Rng) -> Secret {
        self.named_secret(&format!("{endpoint}/{rotations}"), rng)
    }

    /// The secret that follows from the master secret and that label.
    pub(super) fn named_secret(&self, label: &str, rng: Rng) -> Secret {
        match &self.master {
            Some(master) => master.derive(label),
            None => Secret::generate(rand::RngExt::random(&mut rng.stream(0, label, 0))),
        }
    }

    /// Changes the state by one fact.
    pub(crate) fn apply(&mut self, fact: &Fact, touch: &mut Touch<'_>) {
        match fact {
            Fact::Keyed { secret } => {
                self.master = Some(secret.clone());
                touch.dirty(PartKey::WebhookMaster);
            }
            Fact::Endpoint(endpoint) => self.put_endpoint(endpoint.as_ref().clone(), touch),
            Fact::Disabled { endpoint, disabled } => {
                self.change_endpoint(*endpoint, touch, |endpoint| {
                    endpoint.disabled = Some(*disabled);
                });
                self.hold(*endpoint, *disabled, touch);
                self.retire(*endpoint, touch);
            }
            Fact::Deleted { endpoint } => self.delete_endpoint(*endpoint, touch),
            Fact::Announced(delivery) => self.put(delivery.as_ref().clone(), touch),
            Fact::Attempted(attempted) => self.attempted(attempted, touch),
            Fact::Resent { delivery, at } => self.resend(*delivery, *at, touch),
            Fact::Replayed(replayed) => self.replay(replayed.as_ref().clone(), touch),
            Fact::Swept { endpoint } => self.sweep(*endpoint, touch),
        }
    }

    /// Forgets everything but the secret. Returns what was there.
    pub(crate) fn forget_all(&mut self) -> impl Send + Sync + use<> {
        let lanes = self.lanes.emptied();
        (
            std::mem::take(&mut self.endpoints),
            std::mem::take(&mut self.queue),
            std::mem::take(&mut self.kept),
            std::mem::replace(&mut self.lanes, lanes),
        )
    }

    /// Keeps the record of a job that was removed while deliveries need it. Lets an endpoint that the job brought along
    /// go with it, or with the last delivery that outlives it.
    pub(crate) fn job_removed(&mut self, job: Arc<Job>, touch: &mut Touch<'_>) {
        let key = EndpointKey::of_job(job.key);
        if self.queue.needs(job.key) {
            touch.stored.add(job.owner, job.bytes());
            touch.dirty(PartKey::Kept(job.key));
            self.kept.insert(job.key, job);
        } else {
            self.queue.note_gone(job.key);
        }
        self.change_endpoint(key, touch, |endpoint| endpoint.is_orphan = true);
        self.retire(key, touch);
    }

    pub(super) fn put_endpoint(&mut self, endpoint: Endpoint, touch: &mut Touch<'_>) {
        let endpoint = Arc::new(endpoint);
        let before = self.endpoints.insert(&endpoint);
        touch.stored.add(endpoint.owner, endpoint.bytes());
        if let Some(before) = &before {
            touch.stored.remove(before.owner, before.bytes());
        }
        // Those of one that was deleted, and not forgotten yet, are its own now.
        let (owner, bytes) = self.queue.set_owner(endpoint.key, endpoint.owner);
        touch.stored.remove(owner, bytes);
        touch.stored.add(endpoint.owner, bytes);
        touch.dirty(PartKey::Endpoint(endpoint.key));
        touch.tell(Notice::Endpoint(endpoint.clone()));
        // Its owner has changed something: the reason why it wasn't called may be gone.
        self.lanes.reopen(lane_of(&endpoint));
        let was_enabled = before.is_none_or(|before| before.is_enabled());
        if let Some(disabled) = endpoint.disabled.filter(|_| was_enabled) {
            self.hold(endpoint.key, disabled, touch);
        }
    }

    pub(super) fn change_endpoint(
        &mut self,
        key: EndpointKey,
        touch: &mut Touch<'_>,
        change: impl FnOnce(&mut Endpoint),
    ) {
        let before = self.endpoints.get(key).map_or(0, |before| before.bytes());
        if let Some(endpoint) = self.endpoints.change(key, change) {
            touch.stored.remove(endpoint.owner, before);
            touch.stored.add(endpoint.owner, endpoint.bytes());
            touch.dirty(PartKey::Endpoint(key));
            touch.tell(Notice::Endpoint(endpoint));
        }
    }

    fn delete_endpoint(&mut self, key: EndpointKey, touch: &mut Touch<'_>) {
        let Some(endpoint) = self.endpoints.remove(key) else {
            return;
        };
        touch.stored.remove(endpoint.owner, endpoint.bytes());
        let (owner, bytes) = self.queue.set_owner(key, Owner::ANYONE);
        touch.stored.remove(owner, bytes);
        touch.stored.add(Owner::ANYONE, bytes);
        touch.dirty(PartKey::Endpoint(key));
        touch.tell(Notice::EndpointGone(key));
        self.forget(key, touch);
    }

    /// Deletes an endpoint whose job is gone and that has nothing more to tell.
    fn retire(&mut self, key: EndpointKey, touch: &mut Touch<'_>) {
        let is_over = |endpoint: &Arc<Endpoint>| {
            endpoint.is_orphan && (!endpoint.is_enabled() || !self.queue.has_open(key))
        };
        if self.endpoints.get(key).is_some_and(is_over) {
            self.delete_endpoint(key, touch);
        }
    }

    /// Puts a new delivery in.
    pub(super) fn put(&mut self, mut delivery: Delivery, touch: &mut Touch<'_>) {
        let Some(endpoint) = self.endpoints.get(delivery.endpoint).cloned() else {
            return;
        };
        if self.queue.get(delivery.key).is_some() {
            return;
        }
        if let (Some(disabled), Standing::Pending { .. }) = (endpoint.disabled, delivery.standing) {
            delivery.standing = Standing::Held {
                since: disabled.at.max(delivery.created_at),
            };
        } else if self.must_queue(&endpoint, &delivery) {
            delivery.standing = Standing::Queued;
        }
        let created_at = delivery.created_at;
        self.show(Arc::new(delivery), endpoint.owner, touch);
        self.make_room(endpoint.key, created_at, touch);
    }

    pub(super) fn change(
        &mut self,
        key: DeliveryKey,
        touch: &mut Touch<'_>,
        change: impl FnOnce(&mut Delivery),
    ) {
        if let Some((mut delivery, owner)) = self.queue.take(key, touch.due) {
            touch.stored.remove(owner, delivery.bytes());
            change(Arc::make_mut(&mut delivery));
            self.show(delivery, owner, touch);
        }
    }

    /// Lets a removed job's record go that is needed no more.
    fn let_go(&mut self, delivery: &Delivery, touch: &mut Touch<'_>) {
        if let Some(job) = delivery.job
            && !self.queue.needs(job)
            && let Some(record) = self.kept.remove(&job)
        {
            touch.stored.remove(record.owner, record.bytes());
            touch.dirty(PartKey::Kept(job));
            self.queue.note_gone(job);
        }
    }

    fn show(&mut self, delivery: Arc<Delivery>, owner: Owner, touch: &mut Touch<'_>) {
        touch.stored.add(owner, delivery.bytes());
        self.queue.insert(delivery.clone(), owner, touch.due);
        self.let_go(&delivery, touch);
        touch.dirty(PartKey::Delivery(delivery.key));
        touch.tell(Notice::Delivery(delivery));
    }

    pub(super) fn remove(&mut self, key: DeliveryKey, touch: &mut Touch<'_>) {
        if let Some((delivery, owner)) = self.queue.take(key, touch.due) {
            touch.stored.remove(owner, delivery.bytes());
            self.let_go(&delivery, touch);
            if let Some(job) = delivery.job {
                self.queue.tidy(job);
            }
            touch.dirty(PartKey::Delivery(key));
            touch.tell(Notice::DeliveryGone(key));
        }
    }

    fn attempted(&mut self, attempted: &Attempted, touch: &mut Touch<'_>) {
        let (key, attempt, at) = (attempted.delivery, &attempted.attempt, attempted.ended_at);
        // Also for a delivery that was dropped meanwhile: others wait in its lane.
        if let Some((lane, open_until)) = self.lanes.landed(key, landing(attempted), at) {
            if let Some(until) = open_until {
                touch.due.insert(until, Due::Lane(lane));
            }
            let endpoint = EndpointKey::from_u128(lane);
            if self.endpoints.get(endpoint).is_some() {
                let breaker = self.lanes.breaker(lane);
                touch.tell(Notice::Breaker(endpoint, breaker));
            }
        }
        let Some(delivery) = self.queue.get(key).cloned() else {
            return;
        };
        let endpoint = delivery.endpoint;
        let found = self.endpoints.get(endpoint);
        let disabled = found.and_then(|endpoint| endpoint.disabled);
        self.change(key, touch, |delivery| note(delivery, attempted, disabled));
        while let Some((at, key)) = self.queue.surplus_answer() {
            self.change(key, touch, |delivery| forget_answers(delivery, at));
        }
        self.note_health(endpoint, at, attempt.next == Next::Delivered, touch);
        if let Some(job) = delivery.job {
            self.release_next(endpoint, job, at, touch);
        }
        self.make_room(endpoint, at, touch);
        self.retire(endpoint, touch);
    }

    fn note_health(
        &mut self,
        key: EndpointKey,
        at: Timestamp,
        is_delivered: bool,
        touch: &mut Touch<'_>,
    ) {
        let is_failing = |endpoint: &Arc<Endpoint>| endpoint.failing_since.is_some();
        if !is_delivered {
            self.change_endpoint(key, touch, |endpoint| {
                endpoint.failing_since.get_or_insert(at);
                endpoint.failed_at = Some(at);
            });
        } else if self.endpoints.get(key).is_some_and(is_failing) {
            self.change_endpoint(key, touch, |endpoint| {
                endpoint.failing_since = None;
                endpoint.failed_at = None;
            });
        }
    }

    /// Whether the delivery waits for an earlier one of the same job.
    fn must_queue(&self, endpoint: &Endpoint, delivery: &Delivery) -> bool {
        endpoint.ordered
            && matches!(delivery.standing, Standing::Pending { .. })
            && delivery
                .job
                .and_then(|job| self.queue.first_open_event(endpoint.key, job))
                .is_some_and(|(revision, _)| revision < delivery.revision)
    }

    /// Lets the next event of a job go, once the one before is delivered or given up.
    fn release_next(
        &mut self,
        endpoint: EndpointKey,
        job: JobKey,
        at: Timestamp,
        touch: &mut Touch<'_>,
    ) {
        let first = self.queue.first_open_event(endpoint, job);
        let next = first.and_then(|(_, key)| self.queue.get(key));
        if let Some(next) = next.filter(|next| next.standing == Standing::Queued) {
            self.change(next.key, touch, |delivery| {
                delivery.standing = Standing::Pending { due_at: at };
            });
        }
    }

    pub(super) fn resend(&mut self, key: DeliveryKey, at: Timestamp, touch: &mut Touch<'_>) {
        let Some(mut again) = self.queue.get(key).map(|found| found.as_ref().clone()) else {
            return;
        };
        let Some(endpoint) = self.endpoints.get(again.endpoint).cloned() else {
            return;
        };
        if !endpoint.is_enabled() || !self.queue.can_send(&again) {
            return;
        }
        self.lanes.reopen(lane_of(&endpoint));
        if !matches!(again.standing, Standing::Pending { .. }) {
            // One that was settled or held begins anew; one that waits keeps its place in the schedule and only
            // hurries.
            again.steps = 0;
        }
        again.standing = Standing::Pending { due_at: at };
        if self.must_queue(&endpoint, &again) {
            again.standing = Standing::Queued;
        }
        self.change(key, touch, |delivery| *delivery = again);
    }

    /// Forgets settled deliveries that are old or too many, and drops the oldest of those that wait if they are too
    /// many. At most [`SURPLUS_AT_ONCE`] at a time: usually one is put in, and one goes.
    fn make_room(&mut self, endpoint: EndpointKey, now: Timestamp, touch: &mut Touch<'_>) {
        for _ in 0..SURPLUS_AT_ONCE {
            let Some(surplus) = self.queue.surplus(endpoint, now, self.open_max) else {
                return;
            };
            match surplus {
                Surplus::Settled(oldest) => self.remove(oldest, touch),
                Surplus::Open(oldest, endpoint) => {
                    self.remove(oldest, touch);
                    self.change_endpoint(endpoint, touch, |endpoint| endpoint.dropped += 1);
                }
            }
        }
    }
}

/// What an attempt means for its lane.
fn landing(attempted: &Attempted) -> Landing {
    let attempt = &attempted.attempt;
    let took = Duration::from_millis(attempt.took_ms);
    if attempt.next == Next::Delivered {
        return Landing::Taken(took);
    }
    let retry_at = attempt.next.retry_at();
    Landing::Failed {
        took,
        unanswered: attempt.status.is_none(),
        pause: attempted.pause_ms.map(Duration::from_millis),
        next: retry_at.map(|at| at.since(attempted.ended_at)),
    }
}

/// Writes an attempt down on its delivery.
fn note(delivery: &mut Delivery, attempted: &Attempted, disabled: Option<Disabled>) {
    let (attempt, at) = (&attempted.attempt, attempted.ended_at);
    delivery.made = delivery.made.max(attempt.number);
    delivery.steps = delivery.steps.saturating_add(1);
    if delivery.attempts.len() == ATTEMPTS_MAX {
        delivery.attempts.remove(0);
    }
    delivery.attempts.push(attempt.clone());
    delivery.standing = match (attempt.next, disabled) {
        (Next::Delivered, _) => Standing::Delivered { at },
        // It was held while the attempt was under way, and it failed: it stays held.
        (_, Some(disabled)) => Standing::Held { since: disabled.at },
        (Next::RetryAt(due_at), None) => Standing::Pending { due_at },
        (Next::GaveUp, None) => Standing::Failed { at },
    };
}

fn forget_answers(delivery: &mut Delivery, at: Timestamp) {
    for attempt in delivery.attempts.iter_mut().filter(|made| made.at == at) {
        attempt.truncated |= attempt.answer.take().is_some();
    }
}
