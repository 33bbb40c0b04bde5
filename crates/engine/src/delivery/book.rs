//! The state: endpoints, deliveries, and what is found by what.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use abide_wire::webhook::Secret;
use abide_wire::{EventKind, Timestamp};

use super::lanes::{Landing, LaneKey, Lanes};
use super::message::ATTEMPTS_MAX;
use super::{
    Attempt, Attempted, Delivery, Disabled, Endpoint, Fact, Next, Notice, Replayed, RetryPolicy,
    Scope, Send, Standing,
};
use crate::due::{Due, DueSet};
use crate::engine::Effect;
use crate::hash::FastSet;
use crate::luck::digest;
use crate::snapshot::PartKey;
use crate::{DeliveryKey, EndpointKey, JobKey, Owner};

/// The most endpoints of one owner, those that jobs brought along apart.
pub const ENDPOINTS_PER_OWNER_MAX: usize = 5_000;
/// The most deliveries of one endpoint that wait. Beyond it the oldest is given away, and counted on the endpoint.
pub const OPEN_PER_ENDPOINT_MAX: usize = 50_000;
/// The most settled deliveries of one endpoint that are remembered.
pub const SETTLED_PER_ENDPOINT_MAX: usize = 10_000;
/// The most settled deliveries that are remembered in all.
pub const SETTLED_MAX: usize = 50_000;
/// How long a settled delivery is remembered after its event.
pub const SETTLED_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// The most bytes of answers that are remembered in all. Beyond it the oldest answer is forgotten, not its attempt.
pub const ANSWER_BYTES_KEPT: usize = 64 * 1024 * 1024;

/// The state of webhooks. Changed by [`crate::Engine::apply`] alone, but for its lanes.
#[derive(Clone, Debug)]
pub struct Book {
    master: Option<Secret>,
    endpoints: BTreeMap<EndpointKey, Arc<Endpoint>>,
    /// Who is told of which event of whose jobs.
    listening: HashMap<(Owner, EventKind), BTreeSet<EndpointKey>>,
    /// Who is told of the job of the routes that name none.
    of_default: BTreeSet<EndpointKey>,
    deliveries: HashMap<DeliveryKey, Arc<Delivery>>,
    shelves: HashMap<EndpointKey, Shelf>,
    /// How many deliveries wait for each endpoint for which some do, the most last.
    by_length: BTreeSet<(usize, EndpointKey)>,
    /// How many wait in all, and how many may.
    open: usize,
    open_max: usize,
    of_jobs: HashMap<JobKey, BTreeSet<DeliveryKey>>,
    settled: BTreeSet<DeliveryKey>,
    answers: BTreeSet<(Timestamp, DeliveryKey)>,
    answer_bytes: usize,
    pub(super) lanes: Lanes,
}

/// The deliveries of one endpoint.
#[derive(Clone, Debug, Default)]
struct Shelf {
    open: BTreeSet<DeliveryKey>,
    settled: BTreeSet<DeliveryKey>,
}

/// What a change of the book reaches beyond it.
pub(crate) struct Touch<'a> {
    pub(crate) due: &'a mut DueSet,
    pub(crate) dirty: &'a mut FastSet<PartKey>,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Touch<'_> {
    fn tell(&mut self, notice: Notice) {
        self.effects.push(Effect::Webhook(notice));
    }
}

impl Book {
    pub(crate) fn new(policy: &RetryPolicy) -> Self {
        Self {
            master: None,
            endpoints: BTreeMap::new(),
            listening: HashMap::new(),
            of_default: BTreeSet::new(),
            deliveries: HashMap::new(),
            shelves: HashMap::new(),
            by_length: BTreeSet::new(),
            open: 0,
            open_max: policy.open_max.max(1),
            of_jobs: HashMap::new(),
            settled: BTreeSet::new(),
            answers: BTreeSet::new(),
            answer_bytes: 0,
            lanes: Lanes::new(policy.flying_max, policy.breaker_first()),
        }
    }

    /// The secret from which others are derived, once there is one.
    #[must_use]
    pub const fn master(&self) -> Option<&Secret> {
        self.master.as_ref()
    }

    /// An endpoint by its name.
    #[must_use]
    pub fn endpoint(&self, key: EndpointKey) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&key)
    }

    /// All endpoints, in order of creation.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }

    /// A delivery by its name.
    #[must_use]
    pub fn delivery(&self, key: DeliveryKey) -> Option<&Arc<Delivery>> {
        self.deliveries.get(&key)
    }

    /// All deliveries, in no order.
    pub fn deliveries(&self) -> impl ExactSizeIterator<Item = &Arc<Delivery>> {
        self.deliveries.values()
    }

    /// The deliveries of a job, in order of creation.
    pub fn of_job(&self, job: JobKey) -> impl Iterator<Item = &Arc<Delivery>> {
        let keys = self.of_jobs.get(&job).into_iter().flatten();
        keys.filter_map(|key| self.deliveries.get(key))
    }

    /// How many exchanges are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.lanes.flying()
    }

    /// Whether nobody is told of anything, so that a change of a job needn't ask.
    pub(super) fn is_quiet(&self) -> bool {
        self.endpoints.is_empty()
    }

    pub(super) fn endpoints_of(&self, owner: Owner) -> usize {
        self.endpoints
            .values()
            .filter(|endpoint| endpoint.owner == owner && !matches!(endpoint.scope, Scope::Job(_)))
            .count()
    }

    /// Who is told of that event of that job; with `any`, of that job at all.
    pub(super) fn listeners(
        &self,
        owner: Owner,
        job: JobKey,
        kind: &EventKind,
        is_default: bool,
        any: bool,
    ) -> Vec<Arc<Endpoint>> {
        let mut keys = BTreeSet::new();
        let kinds = if any {
            &EventKind::ALL[..]
        } else {
            std::slice::from_ref(kind)
        };
        for kind in kinds {
            if let Some(listening) = self.listening.get(&(owner, kind.clone())) {
                keys.extend(listening);
            }
        }
        if is_default {
            keys.extend(&self.of_default);
        }
        keys.insert(EndpointKey::of_job(job));
        keys.iter()
            .filter_map(|key| self.endpoints.get(key))
            .filter(|endpoint| any || endpoint.events.has(kind))
            .cloned()
            .collect()
    }

    pub(crate) fn apply(&mut self, fact: &Fact, touch: &mut Touch<'_>) {
        match fact {
            Fact::Keyed { secret } => {
                self.master = Some(secret.clone());
                touch.dirty.insert(PartKey::WebhookMaster);
            }
            Fact::Endpoint(endpoint) => {
                self.put_endpoint(&Arc::new(endpoint.as_ref().clone()), touch);
            }
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
            Fact::Replayed(replayed) => {
                for key in self.to_replay(replayed) {
                    self.resend(key, replayed.at, touch);
                }
            }
        }
    }

    /// The deliveries that a replay sends again, the oldest first.
    pub(super) fn to_replay(&self, replayed: &Replayed) -> Vec<DeliveryKey> {
        let Some(shelf) = self.shelves.get(&replayed.endpoint) else {
            return Vec::new();
        };
        let from = DeliveryKey::first_at(replayed.since);
        let wanted = |key: &&DeliveryKey| {
            self.deliveries.get(key).is_some_and(|delivery| {
                delivery.created_at >= replayed.since
                    && match delivery.standing {
                        Standing::Held { .. } | Standing::Failed { .. } => true,
                        Standing::Delivered { .. } => replayed.delivered,
                        Standing::Pending { .. } | Standing::Queued => false,
                    }
            })
        };
        let mut keys: Vec<DeliveryKey> = shelf
            .open
            .range(from..)
            .chain(shelf.settled.range(from..))
            .filter(wanted)
            .copied()
            .collect();
        keys.sort_unstable();
        keys
    }

    fn put_endpoint(&mut self, endpoint: &Arc<Endpoint>, touch: &mut Touch<'_>) {
        let before = self.insert_endpoint(endpoint);
        touch.dirty.insert(PartKey::Endpoint(endpoint.key));
        touch.tell(Notice::Endpoint(endpoint.clone()));
        // Its owner has changed something: whatever kept it from being called may be mended.
        self.lanes.reopen(lane_of(endpoint));
        let was_enabled = before.is_none_or(|before| before.is_enabled());
        if let Some(disabled) = endpoint.disabled.filter(|_| was_enabled) {
            self.hold(endpoint.key, disabled, touch);
        }
    }

    /// Puts an endpoint in, and returns the one that it replaces.
    pub(crate) fn insert_endpoint(&mut self, endpoint: &Arc<Endpoint>) -> Option<Arc<Endpoint>> {
        let key = endpoint.key;
        let before = self.endpoints.insert(key, endpoint.clone());
        if let Some(before) = &before {
            self.stop_listening(before);
        }
        match endpoint.scope {
            Scope::Owner => {
                for kind in EventKind::ALL {
                    if endpoint.events.has(&kind) {
                        let listening = self.listening.entry((endpoint.owner, kind)).or_default();
                        listening.insert(key);
                    }
                }
            }
            Scope::DefaultJob => {
                self.of_default.insert(key);
            }
            // Found by its name, which is the job's.
            Scope::Job(_) => {}
        }
        before
    }

    fn stop_listening(&mut self, endpoint: &Endpoint) {
        self.of_default.remove(&endpoint.key);
        for kind in EventKind::ALL {
            let place = (endpoint.owner, kind);
            if let Some(listening) = self.listening.get_mut(&place) {
                listening.remove(&endpoint.key);
                if listening.is_empty() {
                    self.listening.remove(&place);
                }
            }
        }
    }

    fn change_endpoint(
        &mut self,
        key: EndpointKey,
        touch: &mut Touch<'_>,
        change: impl FnOnce(&mut Endpoint),
    ) {
        if let Some(endpoint) = self.endpoints.get_mut(&key) {
            change(Arc::make_mut(endpoint));
            touch.dirty.insert(PartKey::Endpoint(key));
            touch.tell(Notice::Endpoint(endpoint.clone()));
        }
    }

    fn delete_endpoint(&mut self, key: EndpointKey, touch: &mut Touch<'_>) {
        let Some(endpoint) = self.endpoints.remove(&key) else {
            return;
        };
        self.stop_listening(&endpoint);
        let shelf = self.shelves.remove(&key).unwrap_or_default();
        self.lengthen(key, shelf.open.len(), 0);
        for delivery in shelf.open.into_iter().chain(shelf.settled) {
            self.remove(delivery, touch);
        }
        touch.dirty.insert(PartKey::Endpoint(key));
        touch.tell(Notice::EndpointGone(key));
    }

    /// Lets an endpoint that a job brought along go with the job's record, or with the last delivery that outlives it.
    pub(crate) fn job_removed(&mut self, job: JobKey, touch: &mut Touch<'_>) {
        let key = EndpointKey::of_job(job);
        if self.endpoints.contains_key(&key) {
            self.change_endpoint(key, touch, |endpoint| endpoint.is_orphan = true);
            self.retire(key, touch);
        }
    }

    /// Deletes an endpoint whose job is gone and that has nothing more to tell.
    fn retire(&mut self, key: EndpointKey, touch: &mut Touch<'_>) {
        let is_orphan = |endpoint: &Arc<Endpoint>| {
            endpoint.is_orphan
                && (!endpoint.is_enabled()
                    || self
                        .shelves
                        .get(&key)
                        .is_none_or(|shelf| shelf.open.is_empty()))
        };
        if self.endpoints.get(&key).is_some_and(is_orphan) {
            self.delete_endpoint(key, touch);
        }
    }

    /// Holds whatever waits for an endpoint that has been disabled.
    fn hold(&mut self, key: EndpointKey, disabled: Disabled, touch: &mut Touch<'_>) {
        let open = self.shelves.get(&key).map(|shelf| shelf.open.clone());
        for delivery in open.into_iter().flatten() {
            self.change(delivery, touch, |delivery| {
                delivery.standing = Standing::Held { since: disabled.at };
            });
        }
    }

    /// Puts a new delivery in, held or queued where it must be.
    pub(super) fn put(&mut self, mut delivery: Delivery, touch: &mut Touch<'_>) {
        let Some(endpoint) = self.endpoints.get(&delivery.endpoint).cloned() else {
            return;
        };
        if self.deliveries.contains_key(&delivery.key) {
            return;
        }
        if let (Some(disabled), Standing::Pending { .. }) = (endpoint.disabled, delivery.standing) {
            delivery.standing = Standing::Held {
                since: disabled.at.max(delivery.created_at),
            };
        } else if self.must_queue(&endpoint, &delivery) {
            delivery.standing = Standing::Queued;
        }
        let (key, created_at) = (delivery.key, delivery.created_at);
        let delivery = Arc::new(delivery);
        self.insert(delivery.clone(), touch.due);
        touch.dirty.insert(PartKey::Delivery(key));
        touch.tell(Notice::Delivery(delivery));
        self.make_room(endpoint.key, created_at, touch);
    }

    /// Puts a delivery in, with its deadline.
    pub(crate) fn insert(&mut self, delivery: Arc<Delivery>, due: &mut DueSet) {
        let key = delivery.key;
        let shelf = self.shelves.entry(delivery.endpoint).or_default();
        let before = shelf.open.len();
        if delivery.standing.is_settled() {
            shelf.settled.insert(key);
            self.settled.insert(key);
        } else {
            shelf.open.insert(key);
        }
        let after = shelf.open.len();
        self.lengthen(delivery.endpoint, before, after);
        if let Standing::Pending { due_at } = delivery.standing {
            due.insert(due_at, Due::Delivery(key));
        }
        if let Some(job) = delivery.job {
            self.of_jobs.entry(job).or_default().insert(key);
        }
        for attempt in &delivery.attempts {
            if let Some(answer) = &attempt.answer {
                self.answers.insert((attempt.at, key));
                self.answer_bytes += answer.len();
            }
        }
        self.deliveries.insert(key, delivery);
    }

    /// Takes a delivery out, with its deadline.
    fn take_out(&mut self, key: DeliveryKey, due: &mut DueSet) -> Option<Arc<Delivery>> {
        let delivery = self.deliveries.remove(&key)?;
        if let Some(shelf) = self.shelves.get_mut(&delivery.endpoint) {
            let before = shelf.open.len();
            shelf.open.remove(&key);
            shelf.settled.remove(&key);
            let after = shelf.open.len();
            self.lengthen(delivery.endpoint, before, after);
        }
        self.settled.remove(&key);
        if let Standing::Pending { due_at } = delivery.standing {
            due.remove(due_at, Due::Delivery(key));
        }
        if let Some(job) = delivery.job
            && let Some(keys) = self.of_jobs.get_mut(&job)
        {
            keys.remove(&key);
            if keys.is_empty() {
                self.of_jobs.remove(&job);
            }
        }
        for attempt in &delivery.attempts {
            if let Some(answer) = &attempt.answer {
                self.answers.remove(&(attempt.at, key));
                self.answer_bytes -= answer.len();
            }
        }
        Some(delivery)
    }

    fn change(
        &mut self,
        key: DeliveryKey,
        touch: &mut Touch<'_>,
        change: impl FnOnce(&mut Delivery),
    ) {
        let Some(mut delivery) = self.take_out(key, touch.due) else {
            return;
        };
        change(Arc::make_mut(&mut delivery));
        self.insert(delivery.clone(), touch.due);
        touch.dirty.insert(PartKey::Delivery(key));
        touch.tell(Notice::Delivery(delivery));
    }

    fn remove(&mut self, key: DeliveryKey, touch: &mut Touch<'_>) {
        let Some(delivery) = self.take_out(key, touch.due) else {
            return;
        };
        touch.dirty.insert(PartKey::Delivery(key));
        touch.tell(Notice::DeliveryGone(key));
        let endpoint = delivery.endpoint;
        if self
            .shelves
            .get(&endpoint)
            .is_some_and(|shelf| shelf.open.is_empty() && shelf.settled.is_empty())
        {
            self.shelves.remove(&endpoint);
        }
    }

    fn attempted(&mut self, attempted: &Attempted, touch: &mut Touch<'_>) {
        let took = Duration::from_millis(attempted.took_ms);
        let was_taken = attempted.next == Next::Delivered;
        let landing = if was_taken {
            Landing::Taken(took)
        } else {
            Landing::Failed {
                took,
                unanswered: attempted.status.is_none(),
                pause: attempted.pause_ms.map(Duration::from_millis),
                next: match attempted.next {
                    Next::RetryAt(at) => Some(at.since(attempted.ended_at)),
                    Next::Delivered | Next::GaveUp => None,
                },
            }
        };
        let landed = self
            .lanes
            .landed(attempted.delivery, landing, attempted.ended_at);
        let Some(delivery) = self.deliveries.get(&attempted.delivery).cloned() else {
            return;
        };
        if let Some((lane, open_until)) = landed {
            if let Some(until) = open_until {
                touch.due.insert(until, Due::Lane(lane));
            }
            if lane == delivery.endpoint.as_u128() {
                let breaker = self.lanes.breaker(lane);
                touch.tell(Notice::Breaker(delivery.endpoint, breaker));
            }
        }
        let is_disabled = self
            .endpoints
            .get(&delivery.endpoint)
            .and_then(|endpoint| endpoint.disabled);
        self.change(attempted.delivery, touch, |delivery| {
            note(delivery, attempted, is_disabled);
        });
        self.forget_answers(touch);
        self.note_health(delivery.endpoint, attempted.ended_at, was_taken, touch);
        if let Some(job) = delivery.job {
            self.release_next(delivery.endpoint, job, attempted.ended_at, touch);
        }
        self.make_room(delivery.endpoint, attempted.ended_at, touch);
        self.retire(delivery.endpoint, touch);
    }

    fn note_health(
        &mut self,
        key: EndpointKey,
        at: Timestamp,
        was_taken: bool,
        touch: &mut Touch<'_>,
    ) {
        let Some(endpoint) = self.endpoints.get(&key) else {
            return;
        };
        if !was_taken {
            self.change_endpoint(key, touch, |endpoint| {
                endpoint.failing_since.get_or_insert(at);
                endpoint.failed_at = Some(at);
            });
        } else if endpoint.failing_since.is_some() {
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
            && delivery.job.is_some_and(|job| {
                self.of_job(job).any(|other| {
                    other.endpoint == endpoint.key
                        && other.revision < delivery.revision
                        && !other.standing.is_settled()
                })
            })
    }

    /// Lets the next event of a job go, where the one before has been taken or given up.
    fn release_next(
        &mut self,
        endpoint: EndpointKey,
        job: JobKey,
        at: Timestamp,
        touch: &mut Touch<'_>,
    ) {
        let mut open: Vec<(u64, DeliveryKey, Standing)> = self
            .of_job(job)
            .filter(|delivery| delivery.endpoint == endpoint && !delivery.standing.is_settled())
            .map(|delivery| (delivery.revision, delivery.key, delivery.standing))
            .collect();
        open.sort_unstable_by_key(|(revision, key, _)| (*revision, *key));
        if let Some((_, key, Standing::Queued)) = open.first() {
            self.change(*key, touch, |delivery| {
                delivery.standing = Standing::Pending { due_at: at };
            });
        }
    }

    fn resend(&mut self, key: DeliveryKey, at: Timestamp, touch: &mut Touch<'_>) {
        let Some(mut again) = self
            .deliveries
            .get(&key)
            .map(|found| found.as_ref().clone())
        else {
            return;
        };
        let Some(endpoint) = self.endpoints.get(&again.endpoint).cloned() else {
            return;
        };
        if !endpoint.is_enabled() {
            return;
        }
        self.lanes.reopen(lane_of(&endpoint));
        if !matches!(again.standing, Standing::Pending { .. }) {
            // One that was settled or held begins anew; one that waits keeps its place in the schedule and only hurries.
            again.steps = 0;
        }
        again.standing = Standing::Pending { due_at: at };
        if self.must_queue(&endpoint, &again) {
            again.standing = Standing::Queued;
        }
        self.change(key, touch, |delivery| *delivery = again);
    }

    /// Forgets settled deliveries that are old or too many, and gives away the oldest of those that wait where they are
    /// too many.
    fn make_room(&mut self, endpoint: EndpointKey, now: Timestamp, touch: &mut Touch<'_>) {
        let old = DeliveryKey::first_at(now - SETTLED_KEPT);
        while let Some(oldest) = self.settled.first().copied()
            && (self.settled.len() > SETTLED_MAX || oldest < old)
        {
            self.remove(oldest, touch);
        }
        let mut given_away = 0;
        while let Some(shelf) = self.shelves.get(&endpoint) {
            let surplus = if shelf.settled.len() > SETTLED_PER_ENDPOINT_MAX {
                shelf.settled.first()
            } else if shelf.open.len() > OPEN_PER_ENDPOINT_MAX {
                given_away += 1;
                shelf.open.first()
            } else {
                None
            };
            let Some(oldest) = surplus.copied() else {
                break;
            };
            self.remove(oldest, touch);
        }
        if given_away > 0 {
            self.change_endpoint(endpoint, touch, |endpoint| endpoint.dropped += given_away);
        }
        while self.open > self.open_max
            && let Some((_, longest)) = self.by_length.last().copied()
            && let Some(oldest) = self
                .shelves
                .get(&longest)
                .and_then(|shelf| shelf.open.first())
                .copied()
        {
            self.remove(oldest, touch);
            self.change_endpoint(longest, touch, |endpoint| endpoint.dropped += 1);
        }
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

    fn forget_answers(&mut self, touch: &mut Touch<'_>) {
        while self.answer_bytes > ANSWER_BYTES_KEPT
            && let Some((at, key)) = self.answers.first().copied()
        {
            self.change(key, touch, |delivery| {
                for attempt in delivery.attempts.iter_mut().filter(|made| made.at == at) {
                    attempt.truncated |= attempt.answer.take().is_some();
                }
            });
        }
    }

    /// A delivery's deadline has come: it queues up in its receiver's lane.
    pub(crate) fn is_due(&mut self, key: DeliveryKey, at: Timestamp) {
        let lane = self
            .deliveries
            .get(&key)
            .and_then(|delivery| self.endpoints.get(&delivery.endpoint))
            .map(|endpoint| lane_of(endpoint));
        if let Some(lane) = lane {
            self.lanes.ready(lane, at, key);
        }
    }

    /// A lane's pause is over.
    pub(crate) fn lane_opens(&mut self, lane: LaneKey) {
        self.lanes.enqueue(lane);
    }

    /// Hands out what may be sent now.
    pub(crate) fn dispatch(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(key) = self.lanes.take(now) {
            let send = self.deliveries.get(&key).and_then(|delivery| {
                let endpoint = self.endpoints.get(&delivery.endpoint)?;
                // It may have been settled, held or put off since it was put into the lane.
                let is_due =
                    matches!(delivery.standing, Standing::Pending { due_at } if due_at <= now);
                is_due.then(|| Send {
                    delivery: delivery.clone(),
                    endpoint: endpoint.clone(),
                    attempt: delivery.made + 1,
                    at: now,
                })
            });
            match send {
                Some(send) => effects.push(Effect::Webhook(Notice::Send(Box::new(send)))),
                None => {
                    self.lanes.landed(key, Landing::Skipped, now);
                }
            }
        }
    }

    pub(crate) fn restore_master(&mut self, secret: Secret) {
        self.master = Some(secret);
    }
}

/// Whose lane an endpoint's deliveries take. Endpoints that jobs brought along share the lane of their URL, because a
/// receiver that hangs hangs for all of them.
fn lane_of(endpoint: &Endpoint) -> LaneKey {
    match endpoint.scope {
        Scope::Job(_) => {
            let owner = endpoint.owner.0.to_le_bytes();
            let half = |salt: &[u8]| digest(&[salt, &owner, endpoint.url.as_bytes()]);
            (u128::from(half(b"a")) << 64) | u128::from(half(b"b"))
        }
        Scope::Owner | Scope::DefaultJob => endpoint.key.as_u128(),
    }
}

/// Writes an attempt down on its delivery.
fn note(delivery: &mut Delivery, attempted: &Attempted, disabled: Option<Disabled>) {
    delivery.made = delivery.made.max(attempted.number);
    delivery.steps = delivery.steps.saturating_add(1);
    if delivery.attempts.len() == ATTEMPTS_MAX {
        delivery.attempts.remove(0);
    }
    delivery.attempts.push(Attempt {
        number: attempted.number,
        at: attempted.at,
        took_ms: attempted.took_ms,
        status: attempted.status,
        error: attempted.error.clone(),
        answer: attempted.answer.clone(),
        truncated: attempted.truncated,
        next_at: match attempted.next {
            Next::RetryAt(at) => Some(at),
            Next::Delivered | Next::GaveUp => None,
        },
    });
    let at = attempted.ended_at;
    delivery.standing = match (attempted.next, disabled) {
        (Next::Delivered, _) => Standing::Delivered { at },
        // It was held while the attempt was under way, and it failed: it stays held.
        (_, Some(disabled)) => Standing::Held { since: disabled.at },
        (Next::RetryAt(due_at), None) => Standing::Pending { due_at },
        (Next::GaveUp, None) => Standing::Failed { at },
    };
}
