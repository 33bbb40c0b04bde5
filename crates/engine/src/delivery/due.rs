//! From a delivery's deadline to its place in a lane, and from there to the courier.
//!
//! These are no facts yet: it is the attempt that becomes one, once it is over.

use std::sync::Arc;

use abide_wire::Timestamp;

use super::delivery::{Delivery, Standing};
use super::endpoint::{Endpoint, Scope};
use super::lanes::{Landing, LaneKey};
use super::state::Deliveries;
use super::tell::Notice;
use crate::due::{Due, DueSet};
use crate::effect::Effect;
use crate::jobs::{Job, Jobs};
use crate::rng::digest;

/// A delivery that is to be sent now.
#[derive(Clone, Debug)]
pub struct Send {
    /// The delivery.
    pub delivery: Arc<Delivery>,
    /// The record of the job that it tells of.
    pub job: Option<Arc<Job>>,
    /// The endpoint as it is now.
    pub endpoint: Arc<Endpoint>,
    /// Which attempt this is, counted from 1; the report of it must say so too.
    pub attempt: u32,
    /// Whether its receiver took the last delivery, and quickly.
    pub is_proven: bool,
    /// By the clock that drives the schedule.
    pub at: Timestamp,
}

impl Send {
    /// The native event; `None` if it is a job's, and there is no record of that.
    #[must_use]
    pub fn event(&self) -> Option<Arc<str>> {
        self.delivery.event(self.job.as_deref())
    }
}

impl Deliveries {
    /// Lets a due delivery queue up in its receiver's lane; `false` if something else is due.
    pub(crate) fn queue_up(&mut self, at: Timestamp, due: Due, set: &mut DueSet) -> bool {
        match due {
            Due::Delivery(key) => {
                let delivery = self.queue.get(key);
                let endpoint = delivery.and_then(|found| self.endpoints.get(found.endpoint));
                if let Some(lane) = endpoint.map(|endpoint| lane_of(endpoint)) {
                    self.lanes.ready(lane, at, key);
                }
            }
            Due::Lane(lane) => self.lanes.enqueue(lane),
            _ => return false,
        }
        set.remove(at, due);
        true
    }

    /// Hands out what may be sent now.
    pub(crate) fn dispatch(&mut self, now: Timestamp, jobs: &Jobs, effects: &mut Vec<Effect>) {
        while let Some(key) = self.lanes.take(now) {
            let send = self.queue.get(key).and_then(|delivery| {
                let endpoint = self.endpoints.get(delivery.endpoint)?;
                // It may have been settled, held or put off since it was put into the lane.
                let is_due =
                    matches!(delivery.standing, Standing::Pending { due_at } if due_at <= now);
                // That of a disabled endpoint is about to be held.
                (is_due && endpoint.is_enabled()).then(|| Send {
                    delivery: delivery.clone(),
                    job: delivery.job.and_then(|job| self.record(job, jobs)).cloned(),
                    endpoint: endpoint.clone(),
                    attempt: delivery.made + 1,
                    is_proven: self.lanes.is_proven(key),
                    at: now,
                })
            });
            match send {
                Some(send) => effects.push(Notice::Send(Box::new(send)).into()),
                None => {
                    self.lanes.landed(key, Landing::Skipped, now);
                }
            }
        }
    }
}

/// The lane that an endpoint's deliveries take. Endpoints that jobs brought along share the lane of their URL,
/// because a receiver that hangs hangs for all of them.
pub(super) fn lane_of(endpoint: &Endpoint) -> LaneKey {
    match endpoint.scope {
        Scope::Job(_) => {
            let owner = endpoint.owner.0.to_le_bytes();
            let half = |salt: &[u8]| digest(&[salt, &owner, endpoint.url.as_bytes()]);
            (u128::from(half(b"a")) << 64) | u128::from(half(b"b"))
        }
        Scope::Owner | Scope::Named(_) => endpoint.key.as_u128(),
    }
}
