//! The deadline set: what is due when. One sorted set and one sleeper; no task per timer.

use abide_wire::Timestamp;

use crate::delivery::lanes::LaneKey;
use crate::sorted::SortedSet;
use crate::{DeliveryKey, EndpointKey, JobKey};

/// What can be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A simulated job's next step: its start, its next stage, its end.
    Step(JobKey),
    /// The deadline that a job's creator set.
    Deadline(JobKey),
    /// The end of a worker's lease on a job.
    Lease(JobKey),
    /// The removal of a job's record.
    Expiry(JobKey),
    /// The end of an idempotency key's memory.
    Forget(u64),
    /// The next job under the name that this one has.
    Reset(JobKey),
    /// The next attempt of a delivery.
    Delivery(DeliveryKey),
    /// The end of a pause in a receiver's lane.
    Lane(LaneKey),
    /// The next step of a change that concerns all deliveries of an endpoint.
    Sweep(EndpointKey),
}

/// What is due when.
#[derive(Clone, Debug, Default)]
pub struct DueSet {
    set: SortedSet<(Timestamp, Due)>,
}

impl DueSet {
    /// Adds a deadline.
    pub fn insert(&mut self, at: Timestamp, due: Due) {
        self.set.insert((at, due));
    }

    /// Adds many at once, which is quicker than one by one and packs them closely.
    pub(crate) fn add_all(&mut self, deadlines: Vec<(Timestamp, Due)>) {
        self.set.extend(deadlines);
    }

    /// Takes a deadline back.
    pub fn remove(&mut self, at: Timestamp, due: Due) {
        self.set.remove(&(at, due));
    }

    /// The next deadline.
    #[must_use]
    pub fn first(&self) -> Option<(Timestamp, Due)> {
        self.set.first().copied()
    }
}
