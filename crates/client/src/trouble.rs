//! Failures since the last answer, and for how long they are borne.

use std::time::Duration;

use crate::exchange::{Failure, FailureKind};
use crate::retry::RetryPolicy;
use crate::rt::{Instant, after, overslept};
use crate::telemetry;

/// How long a wait bears answers that can't be read and nothing else, however patient it is: what gives them is no
/// server of ours, or one that this version doesn't understand.
pub(crate) const GARBLED_MAX: Duration = Duration::from_secs(30);

/// Failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) failures: u32,
    since: Option<Instant>,
    /// Since when there were answers, and none that could be read.
    garbled_since: Option<Instant>,
    /// What failed, for a last look that has no time left to find out.
    pub(crate) latest: Option<Box<Failure>>,
}

impl Trouble {
    /// Meets a failure of a request that was sent at `sent`: the pause before the next attempt, or none if it is time
    /// to give up. `may_retry` draws on the client's budget of retries; without leave the greatest pause is made.
    pub(crate) fn meet(
        &mut self,
        failure: &Failure,
        policy: &RetryPolicy,
        (sent, now): (Instant, Instant),
        share: f64,
        may_retry: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        self.failures += 1;
        let since = *self.since.get_or_insert(now);
        // A request that was sent while there was patience may take its time to fail: it says nothing of now.
        let failing_for = sent.saturating_duration_since(since);
        let patience = policy.patience;
        self.garbled_since = match failure.kind {
            FailureKind::Garbled | FailureKind::Unreadable => self.garbled_since.or(Some(now)),
            _ => None,
        };
        let garbled = self.garbled_since;
        let garbled_for = garbled.map(|since| sent.saturating_duration_since(since));
        let is_hopeless = garbled_for.is_some_and(|garbled_for| garbled_for >= GARBLED_MAX);
        if !failure.is_transient() || patience.is_zero() || failing_for >= patience || is_hopeless {
            return None;
        }
        let mut pause = policy.pause(self.failures, failure.hint, share);
        if !may_retry() {
            pause = pause.max(policy.max);
        }
        if failure.hint.is_some() {
            // A pause that the server asked for is no sign of its death.
            self.since = Some(after(since, pause));
        }
        Some(pause)
    }

    /// The pause that should have ended at `due` is over now. The time that the process slept is no time without an
    /// answer.
    pub(crate) fn paused(&mut self, due: Instant, now: Instant) {
        if overslept(due, now) {
            self.since = None;
            self.garbled_since = None;
        }
    }

    /// Remembers a failure that is followed by another attempt.
    pub(crate) fn remember(&mut self, failure: Failure, pause: Duration) {
        telemetry::paused(failure.what(), self.failures, pause);
        if failure.kind != FailureKind::TimedOut || self.latest.is_none() {
            self.latest = Some(Box::new(failure));
        }
    }
}
