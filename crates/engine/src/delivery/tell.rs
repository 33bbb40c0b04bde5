//! From a change of a job to deliveries.

use std::sync::Arc;

use serde_json::json;

use abide_wire::{EventKind, FaultKind, Timestamp, WebhookTarget};

use super::delivery::{Delivery, Standing};
use super::due::Send;
use super::endpoint::{Endpoint, Scope};
use super::events::Events;
use super::lanes::Breaker;
use super::state::Deliveries;
use crate::effect::Touch;
use crate::fault::WebhookFaults;
use crate::jobs::{Job, Jobs, State};
use crate::{DeliveryKey, EndpointKey, Rng};

/// The `type` of a test delivery.
pub const TEST_EVENT: &str = "webhook.test";

/// What readers are told of webhooks once an entry is durable.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An endpoint is new or has changed.
    Endpoint(Arc<Endpoint>),
    /// An endpoint is gone.
    EndpointGone(EndpointKey),
    /// A delivery is new or has changed.
    Delivery(Arc<Delivery>),
    /// A delivery's record is gone.
    DeliveryGone(DeliveryKey),
    /// A delivery is to be sent now.
    Send(Box<Send>),
    /// How an endpoint is being called has changed.
    Breaker(EndpointKey, Breaker),
}

impl Deliveries {
    /// Makes the deliveries of a job's last change. `form` is the one in which the webhook of a new job is told, if it
    /// isn't the native one.
    pub(crate) fn tell(
        &mut self,
        job: &Job,
        form: Option<&str>,
        jobs: &Jobs,
        touch: &mut Touch<'_>,
    ) {
        if let Some(target) = job.webhook().filter(|_| job.revision == 1) {
            let endpoint = Endpoint {
                rendering: form.map(Arc::from),
                ..self.endpoint_of_job(job, target, jobs.rng())
            };
            self.put_endpoint(endpoint, touch);
        }
        if self.endpoints.is_empty() {
            return;
        }
        let kind = event_of(job);
        let is_early = kind == EventKind::Created && faults_of(job, jobs, 1).is_early;
        let name = jobs.names().find(|named| named.job == job.key);
        let name = name.map(|named| named.name.as_ref());
        let listeners = self.endpoints.listeners(job, &kind, name, is_early);
        if listeners.is_empty() {
            return;
        }
        for endpoint in listeners {
            let mut delivery = self.delivery_of(job, &kind, &endpoint, jobs);
            if is_early && delivery.fault.is_none() {
                delivery.fault = Some(FaultKind::WebhookEarly.as_str().into());
            }
            self.put(delivery, touch);
        }
    }

    /// The endpoint that a job brings along.
    fn endpoint_of_job(&self, job: &Job, target: &WebhookTarget, rng: Rng) -> Endpoint {
        let key = EndpointKey::of_job(job.key);
        let given = target.secret.as_deref();
        let secret = given
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| self.derived_secret(key, 0, rng));
        // What it says was checked when the job was asked for.
        let events = target.events.as_deref().map(Events::parse);
        let (url, scope) = (target.url.as_str().into(), Scope::Job(job.key));
        Endpoint {
            events: events.and_then(Result::ok).unwrap_or(Events::ENDS),
            secret: Some(secret),
            ..Endpoint::new(key, job.owner, url, scope, job.created_at)
        }
    }

    /// The delivery of a job's last change to that endpoint, as the simulator's faults have it.
    pub(super) fn delivery_of(
        &self,
        job: &Job,
        kind: &EventKind,
        endpoint: &Endpoint,
        jobs: &Jobs,
    ) -> Delivery {
        let at = job.updated_at();
        let key = delivery_key(endpoint.key, job, at);
        let ordinal = self.queue.count_of_job(job.key) + 1;
        let faults = faults_of(job, jobs, u32::try_from(ordinal).unwrap_or(u32::MAX));
        let due_at = at + self.first_pause + faults.late.unwrap_or_default();
        let played = [
            (faults.is_lost, FaultKind::WebhookLost),
            (faults.is_doubled, FaultKind::WebhookDoubled),
            (faults.late.is_some(), FaultKind::WebhookLate),
        ];
        let fault = played.into_iter().find(|(is_met, _)| *is_met);
        Delivery {
            job: Some(job.key),
            revision: job.revision,
            standing: match faults.is_lost {
                true => Standing::Delivered { at },
                false => Standing::Pending { due_at },
            },
            fault: fault.map(|(_, fault)| fault.as_str().into()),
            copies: if faults.is_doubled { 2 } else { 1 },
            change: job.changes.last().cloned(),
            ..Delivery::new(key, endpoint.key, kind.as_str().into(), at)
        }
    }
}

/// The event that the last change of a job is.
pub(super) fn event_of(job: &Job) -> EventKind {
    let mut states = job.changes.iter().rev().map(|change| change.state);
    match (states.next().unwrap_or(job.state), states.next()) {
        (State::Completed, _) => EventKind::Completed,
        (State::Failed, _) => EventKind::Failed,
        (State::Canceled, _) => EventKind::Canceled,
        (State::Pending, None) => EventKind::Created,
        // A job that is pending again has lost its worker.
        (State::Pending, Some(_)) | (State::Running, Some(State::Running)) => EventKind::Progress,
        (State::Running, _) => EventKind::Started,
    }
}

/// The native event of a test.
pub(super) fn test_body(endpoint: EndpointKey, at: Timestamp) -> Arc<str> {
    json!({"type": TEST_EVENT, "timestamp": at, "data": {"endpoint": endpoint}})
        .to_string()
        .into()
}

fn faults_of(job: &Job, jobs: &Jobs, ordinal: u32) -> WebhookFaults {
    let all = &jobs.defaults().faults;
    WebhookFaults::of(job.faults(), all, job.seed(), ordinal, jobs.rng())
}

/// The name of a delivery follows from what it tells to whom, so that a replay of the entries gives the same.
fn delivery_key(endpoint: EndpointKey, job: &Job, at: Timestamp) -> DeliveryKey {
    DeliveryKey::of(
        at,
        &[
            &endpoint.as_u128().to_le_bytes(),
            &job.key.as_u128().to_le_bytes(),
            &job.revision.to_le_bytes(),
        ],
    )
}
