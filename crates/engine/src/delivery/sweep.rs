//! Changes that concern all deliveries of an endpoint, a bounded number at a time.
//!
//! An endpoint may have tens of thousands of deliveries. When it is deleted, disabled or replayed, the first
//! [`SWEEP_MAX`] follow at once. What is left is due at once, as [`Due::Sweep`], and becomes an entry of its own for
//! each further step, so that other commands get their turn in between.

use abide_wire::Timestamp;

use super::delivery::Standing;
use super::endpoint::Disabled;
use super::fact::Replayed;
use super::state::Deliveries;
use crate::EndpointKey;
use crate::due::{Due, DueSet};
use crate::effect::Touch;
use crate::jobs::Jobs;

/// The most deliveries of an endpoint that one entry changes.
pub const SWEEP_MAX: usize = 1_000;
/// When sweeps are due: before everything else.
const AT_ONCE: Timestamp = Timestamp::from_millis(0);

impl Deliveries {
    /// Does the next step of what an endpoint's deliveries have before them.
    pub(super) fn sweep(&mut self, key: EndpointKey, touch: &mut Touch<'_>) {
        touch.due.remove(AT_ONCE, Due::Sweep(key));
        let Some(endpoint) = self.endpoints.get(key) else {
            return self.forget(key, touch);
        };
        let replaying = endpoint.replaying.clone();
        match (endpoint.disabled, replaying) {
            (Some(disabled), _) => self.hold(key, disabled, touch),
            (None, Some(replaying)) => self.replay(*replaying, touch),
            (None, None) => {}
        }
    }

    /// Forgets the deliveries of an endpoint that is gone.
    pub(super) fn forget(&mut self, key: EndpointKey, touch: &mut Touch<'_>) {
        for delivery in self.queue.some_of(key, SWEEP_MAX) {
            self.remove(delivery, touch);
        }
        if self.queue.has_any(key) {
            touch.due.insert(AT_ONCE, Due::Sweep(key));
        }
    }

    /// Holds the open deliveries of an endpoint that has been disabled.
    pub(super) fn hold(&mut self, key: EndpointKey, disabled: Disabled, touch: &mut Touch<'_>) {
        for delivery in self.queue.waiting_of(key, SWEEP_MAX) {
            self.change(delivery, touch, |delivery| {
                delivery.standing = Standing::Held { since: disabled.at };
            });
        }
        self.note_replaying(key, None, touch);
        if self.queue.has_waiting(key) {
            touch.due.insert(AT_ONCE, Due::Sweep(key));
        }
    }

    /// Sends the next of an endpoint's held and failed deliveries again.
    pub(super) fn replay(&mut self, mut replayed: Replayed, touch: &mut Touch<'_>) {
        let (key, at) = (replayed.endpoint, replayed.at);
        let next: Vec<_> = self.queue.to_replay(&replayed).take(SWEEP_MAX).collect();
        for delivery in &next {
            self.resend(*delivery, at, touch);
        }
        replayed.after = next.last().copied().filter(|_| next.len() == SWEEP_MAX);
        let rest = replayed.after.is_some().then(|| Box::new(replayed));
        if rest.is_some() {
            touch.due.insert(AT_ONCE, Due::Sweep(key));
        }
        self.note_replaying(key, rest, touch);
    }

    fn note_replaying(
        &mut self,
        key: EndpointKey,
        rest: Option<Box<Replayed>>,
        touch: &mut Touch<'_>,
    ) {
        let before = self.endpoints.get(key).map(|found| &found.replaying);
        if before.is_some_and(|before| *before != rest) {
            self.change_endpoint(key, touch, |endpoint| endpoint.replaying = rest);
        }
    }

    /// Ends a restore: what a checkpoint found half done goes on.
    pub(crate) fn restored(&mut self, jobs: &Jobs, due: &mut DueSet) {
        let of_jobs: Vec<_> = self.queue.jobs().collect();
        for job in of_jobs {
            if self.record(job, jobs).is_none() {
                self.queue.note_gone(job);
            }
        }
        for endpoint in self.endpoints.iter() {
            self.queue.set_owner(endpoint.key, endpoint.owner);
        }
        let is_swept = |key: &EndpointKey| match self.endpoints.get(*key) {
            Some(endpoint) if endpoint.is_enabled() => endpoint.replaying.is_some(),
            Some(_) => self.queue.has_waiting(*key),
            None => true,
        };
        for key in self.queue.endpoints().filter(is_swept) {
            due.insert(AT_ONCE, Due::Sweep(key));
        }
    }
}
