//! Endpoints and deliveries, as readers see them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::Notify;

use abide_engine::delivery::{Breaker, Deliveries, Notice, Scope, Standing};
use abide_engine::{Delivery, DeliveryKey, Endpoint, EndpointKey, JobKey, Owner};

/// The most deliveries that one page looks at.
const LOOKED_AT_MAX: usize = 5_000;

/// The part of the board that shows webhooks.
#[derive(Debug, Default)]
pub struct WebhookBoard {
    shown: RwLock<Shown>,
    /// Rung whenever a delivery has changed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Shown {
    endpoints: HashMap<EndpointKey, Arc<Endpoint>>,
    /// Those that their owner made, in order of creation.
    by_owner: BTreeSet<(Owner, EndpointKey)>,
    deliveries: HashMap<DeliveryKey, Arc<Delivery>>,
    by_endpoint: BTreeSet<(EndpointKey, DeliveryKey)>,
    by_job: BTreeSet<(JobKey, DeliveryKey)>,
    /// How endpoints are being called, where that is not as at the beginning.
    breakers: BTreeMap<EndpointKey, Breaker>,
    /// Kept up with every change, because counting afresh would keep the loop waiting.
    counts: WebhookCounts,
}

impl WebhookBoard {
    /// A board that shows the state of webhooks.
    #[must_use]
    pub fn new(deliveries: &Deliveries) -> Self {
        let board = Self::default();
        {
            let mut shown = board.shown.write();
            for endpoint in deliveries.endpoints() {
                shown.put_endpoint(endpoint);
            }
            for delivery in deliveries.iter() {
                shown.put_delivery(delivery);
            }
        }
        board
    }

    /// Shows what has become durable.
    pub(crate) fn publish(&self, notice: &Notice) {
        let mut shown = self.shown.write();
        match notice {
            Notice::Endpoint(endpoint) => shown.put_endpoint(endpoint),
            Notice::EndpointGone(key) => shown.remove_endpoint(*key),
            Notice::Delivery(delivery) => shown.put_delivery(delivery),
            Notice::DeliveryGone(key) => shown.remove_delivery(*key),
            Notice::Breaker(key, breaker) => shown.put_breaker(*key, *breaker),
            Notice::Send(_) => return,
        }
        drop(shown);
        self.changed.notify_waiters();
    }

    /// Takes everything down, and returns what was there.
    pub(super) fn clear(&self) -> impl Send + use<> {
        let shown = std::mem::take(&mut *self.shown.write());
        self.changed.notify_waiters();
        shown
    }

    /// An endpoint that its owner made.
    #[must_use]
    pub fn endpoint(&self, owner: Owner, key: EndpointKey) -> Option<(Arc<Endpoint>, Breaker)> {
        let shown = self.shown.read();
        let endpoint = shown.endpoints.get(&key)?;
        (endpoint.owner == owner && endpoint.scope == Scope::Owner)
            .then(|| (endpoint.clone(), shown.breaker(key)))
    }

    /// The endpoint that a job brought along.
    #[must_use]
    pub fn endpoint_of_job(&self, job: JobKey) -> Option<Arc<Endpoint>> {
        let key = EndpointKey::of_job(job);
        self.shown.read().endpoints.get(&key).cloned()
    }

    /// The endpoints that an owner made, after `after` in order of creation, at most `limit`.
    #[must_use]
    pub fn endpoints(
        &self,
        owner: Owner,
        after: Bound<EndpointKey>,
        limit: usize,
    ) -> Vec<(Arc<Endpoint>, Breaker)> {
        let shown = self.shown.read();
        let from = match after {
            Bound::Unbounded => Bound::Included((owner, EndpointKey::from_u128(0))),
            bound => bound.map(|key| (owner, key)),
        };
        let to = Bound::Included((owner, EndpointKey::from_u128(u128::MAX)));
        shown
            .by_owner
            .range((from, to))
            .take(limit)
            .filter_map(|(_, key)| Some((shown.endpoints.get(key)?.clone(), shown.breaker(*key))))
            .collect()
    }

    /// The delivery of that name and its endpoint, if it goes to an endpoint of that owner's.
    #[must_use]
    pub fn delivery(
        &self,
        owner: Owner,
        key: DeliveryKey,
    ) -> Option<(Arc<Delivery>, Arc<Endpoint>)> {
        let shown = self.shown.read();
        let delivery = shown.deliveries.get(&key)?;
        let endpoint = shown.endpoints.get(&delivery.endpoint)?;
        (endpoint.owner == owner).then(|| (delivery.clone(), endpoint.clone()))
    }

    /// The deliveries to an endpoint before `before`, the newest first, at most `limit`, of those that are wanted; and
    /// the last one that was looked at, if there may be more. At most `LOOKED_AT_MAX` are looked at.
    #[must_use]
    pub fn deliveries(
        &self,
        endpoint: EndpointKey,
        before: Bound<DeliveryKey>,
        limit: usize,
        wanted: impl Fn(&Delivery) -> bool,
    ) -> (Vec<Arc<Delivery>>, Option<DeliveryKey>) {
        let shown = self.shown.read();
        let from = Bound::Included((endpoint, DeliveryKey::from_u128(0)));
        let to = match before {
            Bound::Unbounded => Bound::Included((endpoint, DeliveryKey::from_u128(u128::MAX))),
            bound => bound.map(|key| (endpoint, key)),
        };
        let mut found = Vec::new();
        let mut last = None;
        let keys = shown.by_endpoint.range((from, to)).rev();
        for (looked_at, (_, key)) in keys.enumerate() {
            if found.len() == limit || looked_at == LOOKED_AT_MAX {
                return (found, last);
            }
            last = Some(*key);
            let delivery = shown.deliveries.get(key);
            found.extend(delivery.filter(|delivery| wanted(delivery)).cloned());
        }
        (found, None)
    }

    /// The deliveries of a job with their endpoints, the newest first, at most `limit`.
    #[must_use]
    pub fn of_job(&self, job: JobKey, limit: usize) -> Vec<(Arc<Delivery>, Arc<Endpoint>)> {
        let shown = self.shown.read();
        let found = shown.keys_of_job(job).rev().filter_map(|key| {
            let delivery = shown.deliveries.get(&key)?;
            let endpoint = shown.endpoints.get(&delivery.endpoint)?;
            Some((delivery.clone(), endpoint.clone()))
        });
        found.take(limit).collect()
    }

    /// Waits until the deliveries of a job that `wanted` picks now have been attempted, each at least once.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn attempted(&self, job: JobKey, wanted: impl Fn(&Delivery) -> bool) {
        let is_waited_for = |delivery: &Delivery| {
            wanted(delivery) && delivery.made == 0 && !delivery.standing.is_settled()
        };
        let mut left: Option<Vec<DeliveryKey>> = None;
        loop {
            // Registered before looking, so that no change in between is missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let shown = self.shown.read();
                let is_left = |key: &DeliveryKey| {
                    shown
                        .deliveries
                        .get(key)
                        .is_some_and(|it| is_waited_for(it))
                };
                let left =
                    left.get_or_insert_with(|| shown.keys_of_job(job).filter(is_left).collect());
                // It rings for every delivery of everybody: the others are looked at when this one has been attempted.
                while left.last().is_some_and(|key| !is_left(key)) {
                    left.pop();
                }
                if left.is_empty() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// The counts. They cost the same whatever their size.
    #[must_use]
    pub fn counts(&self) -> WebhookCounts {
        self.shown.read().counts
    }
}

/// Counts of endpoints and deliveries, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookCounts {
    /// Endpoints of every sort.
    pub endpoints: usize,
    /// Those that are disabled until they are enabled by hand.
    pub disabled: usize,
    /// Those that aren't called for a while because they failed or asked for time.
    pub open_breakers: usize,
    /// Deliveries that will be attempted.
    pub pending: usize,
    /// Deliveries that wait for an earlier event of their job.
    pub queued: usize,
    /// Deliveries to endpoints that are disabled.
    pub held: usize,
    /// Deliveries that were taken.
    pub delivered: usize,
    /// Deliveries that were given up.
    pub failed: usize,
}

impl WebhookCounts {
    /// How many deliveries there are by where they stand.
    #[must_use]
    pub const fn deliveries(&self) -> [(&'static str, usize); 5] {
        [
            ("pending", self.pending),
            ("queued", self.queued),
            ("held", self.held),
            ("delivered", self.delivered),
            ("failed", self.failed),
        ]
    }

    const fn standing(&mut self, standing: Standing) -> &mut usize {
        match standing {
            Standing::Pending { .. } => &mut self.pending,
            Standing::Queued => &mut self.queued,
            Standing::Held { .. } => &mut self.held,
            Standing::Delivered { .. } => &mut self.delivered,
            Standing::Failed { .. } => &mut self.failed,
        }
    }
}

impl Shown {
    /// The deliveries of a job, in order of creation.
    fn keys_of_job(&self, job: JobKey) -> impl DoubleEndedIterator<Item = DeliveryKey> {
        let from = (job, DeliveryKey::from_u128(0));
        let to = (job, DeliveryKey::from_u128(u128::MAX));
        self.by_job.range(from..=to).map(|(_, key)| *key)
    }

    fn put_endpoint(&mut self, endpoint: &Arc<Endpoint>) {
        if endpoint.scope == Scope::Owner {
            self.by_owner.insert((endpoint.owner, endpoint.key));
        }
        let before = self.endpoints.insert(endpoint.key, endpoint.clone());
        self.counts.endpoints = self.endpoints.len();
        self.counts.disabled += usize::from(!endpoint.is_enabled());
        self.counts.disabled -= usize::from(before.is_some_and(|before| !before.is_enabled()));
    }

    fn remove_endpoint(&mut self, key: EndpointKey) {
        if let Some(endpoint) = self.endpoints.remove(&key) {
            self.by_owner.remove(&(endpoint.owner, key));
            self.counts.endpoints = self.endpoints.len();
            self.counts.disabled -= usize::from(!endpoint.is_enabled());
        }
        self.put_breaker(key, Breaker::default());
    }

    fn put_delivery(&mut self, delivery: &Arc<Delivery>) {
        *self.counts.standing(delivery.standing) += 1;
        let before = self.deliveries.insert(delivery.key, delivery.clone());
        if let Some(before) = before {
            // Only where it stands changes; where it is found stays.
            *self.counts.standing(before.standing) -= 1;
            return;
        }
        self.by_endpoint.insert((delivery.endpoint, delivery.key));
        if let Some(job) = delivery.job {
            self.by_job.insert((job, delivery.key));
        }
    }

    fn remove_delivery(&mut self, key: DeliveryKey) {
        if let Some(delivery) = self.deliveries.remove(&key) {
            *self.counts.standing(delivery.standing) -= 1;
            self.by_endpoint.remove(&(delivery.endpoint, key));
            if let Some(job) = delivery.job {
                self.by_job.remove(&(job, key));
            }
        }
    }

    fn put_breaker(&mut self, key: EndpointKey, breaker: Breaker) {
        let before = if breaker == Breaker::default() {
            self.breakers.remove(&key)
        } else {
            self.breakers.insert(key, breaker)
        };
        let is_open = |breaker: Breaker| usize::from(breaker.open_until.is_some());
        self.counts.open_breakers += is_open(breaker);
        self.counts.open_breakers -= before.map_or(0, is_open);
    }

    fn breaker(&self, key: EndpointKey) -> Breaker {
        self.breakers.get(&key).copied().unwrap_or_default()
    }
}
