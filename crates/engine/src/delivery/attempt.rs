//! The report of an attempt, and what comes of it: delivered, tried again, given up, or an endpoint disabled.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use abide_wire::Timestamp;

use super::delivery::{Attempt, Next};
use super::endpoint::{Disabled, Reason};
use super::fact::{Attempted, Fact};
use super::schedule::RETRY_AFTER_MAX;
use crate::DeliveryKey;
use crate::command::{Command, Decided};
use crate::engine::Engine;
use crate::entry::Entries;
use crate::rng::digest;

/// The longest answer that is kept of an attempt, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Reports how an attempt to deliver ended. May be repeated: a report of a known attempt changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportAttempt {
    /// To deliver what.
    pub delivery: DeliveryKey,
    /// Which attempt, as it was handed out.
    pub number: u32,
    /// When it was handed out.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What the receiver answered.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub answer: Vec<u8>,
    /// Whether the body was longer.
    pub truncated: bool,
    /// When the receiver wants to be called again.
    pub retry_after: Option<Duration>,
}

impl Command for ReportAttempt {
    type Answer = ();

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let deliveries = &engine.deliveries;
        let known = deliveries.get(self.delivery).and_then(|delivery| {
            let endpoint = deliveries.endpoint(delivery.endpoint)?;
            Some((delivery, endpoint))
        });
        let Some((delivery, endpoint)) = known else {
            // It was dropped meanwhile, or its endpoint deleted. The lane must still know how the exchange ended.
            let next = match self.status {
                Some(200..300) => Next::Delivered,
                _ => Next::GaveUp,
            };
            entries.push(self.fact(now, next, None).into());
            return Ok(());
        };
        if self.number <= delivery.made {
            return Ok(());
        }
        let policy = &engine.policy.webhooks;
        let next = match self.status {
            Some(200..300) => Next::Delivered,
            Some(410) => Next::GaveUp,
            _ => {
                let draw = engine.jobs.rng().unit(
                    digest(&[&self.delivery.as_u128().to_le_bytes()]),
                    "webhook retry",
                    u64::from(self.number),
                );
                let steps = delivery.steps.saturating_add(1);
                policy
                    .after(steps, draw, self.retry_after)
                    .map_or(Next::GaveUp, |pause| Next::RetryAt(now + pause))
            }
        };
        let pause = self.retry_after.filter(|_| next != Next::Delivered);
        let pause = pause.map(|pause| pause.min(RETRY_AFTER_MAX));
        entries.push(self.fact(now, next, pause).into());
        let reason = match self.status {
            Some(410) => Some(Reason::Gone),
            _ if next == Next::Delivered => None,
            _ => policy.gives_up_on(endpoint, now).then_some(Reason::Failing),
        };
        if let Some(reason) = reason.filter(|_| endpoint.is_enabled()) {
            let fact = Fact::Disabled {
                endpoint: endpoint.key,
                disabled: Disabled { at: now, reason },
            };
            entries.push(fact.into());
        }
        Ok(())
    }
}

impl ReportAttempt {
    fn fact(&self, now: Timestamp, next: Next, pause: Option<Duration>) -> Fact {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let kept = &self.answer[..self.answer.len().min(ANSWER_BYTES_MAX)];
        let answer = String::from_utf8_lossy(kept);
        Fact::Attempted(Box::new(Attempted {
            delivery: self.delivery,
            attempt: Attempt {
                number: self.number,
                at: self.at,
                took_ms: millis(self.took),
                status: self.status,
                error: self.error.as_deref().map(Arc::from),
                answer: (!answer.is_empty()).then(|| Arc::from(answer.as_ref())),
                truncated: self.truncated || kept.len() < self.answer.len(),
                next,
            },
            ended_at: now,
            pause_ms: pause.map(millis),
        }))
    }
}
