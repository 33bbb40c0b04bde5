//! From a change of a job to deliveries.

use std::sync::Arc;

use abide_wire::{EventKind, FaultKind, Timestamp, WebhookTarget};

use super::book::Touch;
use super::payload::{body_of, event_of};
use super::wish::derived_secret;
use super::{Delivery, Dialect, Endpoint, Events, Scope, Standing};
use crate::engine::{Effect, Engine};
use crate::fault::WebhookFate;
use crate::job::Job;
use crate::{DeliveryKey, EndpointKey, JobKey};

impl Engine {
    /// Makes the deliveries of a job's last change. Part of applying the change, so there is no outbox to keep in step.
    pub(crate) fn tell_endpoints(&mut self, job: &Job, effects: &mut Vec<Effect>) {
        if self.book.is_quiet() {
            return;
        }
        let kind = event_of(job);
        let is_default = self.default_job().is_some_and(|set| set.job == job.key);
        let is_early = kind == EventKind::Created && self.webhook_fate(job, 1).is_early;
        let listeners = self
            .book
            .listeners(job.owner, job.key, &kind, is_default, is_early);
        // Written once for all who are told in the same words; there may be thousands.
        let mut bodies: [Option<Option<Arc<str>>>; Dialect::COUNT] = Default::default();
        for endpoint in listeners {
            let body = bodies[endpoint.dialect as usize]
                .get_or_insert_with(|| body_of(job, &kind, endpoint.dialect));
            let Some(body) = body.clone() else {
                continue;
            };
            let delivery = self.delivery_of(job, &kind, &endpoint, body, is_early);
            let (book, mut touch) = self.book_and_touch(effects);
            book.put(delivery, &mut touch);
        }
    }

    /// Makes the endpoint that a job brings along.
    pub(crate) fn add_endpoint_of_job(
        &mut self,
        job: &Job,
        target: &WebhookTarget,
        effects: &mut Vec<Effect>,
    ) {
        let key = EndpointKey::of_job(job.key);
        let given = target.secret.as_deref();
        let secret = given
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| derived_secret(&self.book, self.luck(), key, 0));
        let events = target.events.as_deref().map(Events::parse);
        let endpoint = Endpoint {
            key,
            owner: job.owner,
            url: target.url.as_str().into(),
            // What it says was checked when the job was asked for.
            events: events.and_then(Result::ok).unwrap_or(Events::ENDS),
            scope: Scope::Job(job.key),
            dialect: Dialect::Standard,
            ordered: false,
            description: None,
            secret: Some(secret),
            old_secret: None,
            rotations: 0,
            created_at: job.created_at,
            updated_at: job.created_at,
            disabled: None,
            failing_since: None,
            failed_at: None,
            dropped: 0,
            is_orphan: false,
        };
        let (book, mut touch) = self.book_and_touch(effects);
        book.apply(&super::Fact::Endpoint(Box::new(endpoint)), &mut touch);
    }

    /// The delivery of a job's last change to that endpoint, as the simulator has it.
    pub(super) fn delivery_of(
        &self,
        job: &Job,
        kind: &EventKind,
        endpoint: &Endpoint,
        body: Arc<str>,
        is_early: bool,
    ) -> Delivery {
        let at = job.updated_at();
        let key = delivery_key(endpoint.key, job.key, job.revision, at);
        let mut delivery = Delivery {
            key,
            endpoint: endpoint.key,
            job: Some(job.key),
            revision: job.revision,
            event: kind.as_str().into(),
            body,
            created_at: at,
            standing: Standing::Pending {
                due_at: at + self.policy().webhooks.first(),
            },
            steps: 0,
            made: 0,
            attempts: Vec::new(),
            fault: is_early.then(|| FaultKind::WebhookEarly.as_str().into()),
            copies: 1,
        };
        let ordinal = self.book.of_job(job.key).count() + 1;
        let fate = self.webhook_fate(job, u32::try_from(ordinal).unwrap_or(u32::MAX));
        if let (Some(late), Standing::Pending { due_at }) = (fate.late, &mut delivery.standing) {
            *due_at = *due_at + late;
            delivery.fault = Some(FaultKind::WebhookLate.as_str().into());
        }
        if fate.is_doubled {
            delivery.copies = 2;
            delivery.fault = Some(FaultKind::WebhookDoubled.as_str().into());
        }
        if fate.is_lost {
            delivery.standing = Standing::Delivered { at };
            delivery.fault = Some(FaultKind::WebhookLost.as_str().into());
        }
        delivery
    }

    fn webhook_fate(&self, job: &Job, ordinal: u32) -> WebhookFate {
        let all = &self.defaults().faults;
        WebhookFate::of(job.faults(), all, job.fate(), ordinal, self.luck())
    }

    /// The book, and what a change of it reaches beyond it.
    pub(crate) fn book_and_touch<'a>(
        &'a mut self,
        effects: &'a mut Vec<Effect>,
    ) -> (&'a mut super::Book, Touch<'a>) {
        (
            &mut self.book,
            Touch {
                due: &mut self.due,
                dirty: &mut self.dirty,
                effects,
            },
        )
    }
}

/// The name of a delivery follows from what it tells to whom, so that a replay of the entries gives the same.
pub(super) fn delivery_key(
    endpoint: EndpointKey,
    job: JobKey,
    revision: u64,
    at: Timestamp,
) -> DeliveryKey {
    DeliveryKey::of(
        at,
        &[
            &endpoint.as_u128().to_le_bytes(),
            &job.as_u128().to_le_bytes(),
            &revision.to_le_bytes(),
        ],
    )
}
