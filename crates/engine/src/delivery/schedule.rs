//! When to try again, and when to give an endpoint up.

use std::time::Duration;

use abide_wire::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;

/// The longest `Retry-After` of a receiver that is obeyed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a replaced secret still signs.
pub const OLD_SECRET_SIGNS: Duration = Duration::from_secs(24 * 3600);
/// An endpoint is given up only after failures that lie at least so far apart: one bad afternoon that nothing followed
/// for a week is not a week of failure.
const FAILURES_APART: Duration = Duration::from_secs(12 * 3600);

/// The pause before each attempt, in seconds: 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
pub const PAUSES_S: [u64; 10] = [
    0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400,
];

/// How often, when, and for how long a delivery is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// The pause before each attempt, counted from the end of the one before; its length is the number of attempts.
    pub pauses: Vec<Span>,
    /// Jitter as a fraction of each pause, to spread retries that failed together.
    pub jitter: f64,
    /// How long every attempt must fail before an endpoint is disabled.
    pub disable_after: Span,
    /// The most exchanges that are under way at a time, over all endpoints.
    pub flying_max: usize,
    /// The most deliveries that wait, over all endpoints. Beyond it the
    /// endpoint for which most wait has its oldest dropped.
    pub open_max: usize,
}

impl Default for RetryPolicy {
    /// [`PAUSES_S`], each ±20 %; disabled after 5 days.
    fn default() -> Self {
        Self {
            pauses: PAUSES_S
                .map(|pause| Span::new(Duration::from_secs(pause)))
                .to_vec(),
            jitter: 0.2,
            disable_after: Span::new(Duration::from_secs(5 * 86_400)),
            flying_max: 512,
            open_max: 400_000,
        }
    }
}

impl RetryPolicy {
    /// How long after the event the first attempt is made.
    #[must_use]
    pub fn first(&self) -> Duration {
        self.pauses.first().copied().unwrap_or_default().get()
    }

    /// How long after the end of a failed attempt the next one is made; `None` when it was the last.
    ///
    /// `steps` counts the attempts made, `draw` lies in `0.0..1.0`. What the receiver asks for is a floor: a pause is
    /// never cut short by it, because the receiver knows its own load and not how often it has failed before.
    #[must_use]
    pub fn after(&self, steps: u32, draw: f64, retry_after: Option<Duration>) -> Option<Duration> {
        let pause = self.pauses.get(usize::try_from(steps).ok()?)?;
        let factor = 1.0 + self.jitter * (2.0 * draw - 1.0);
        let pause = pause.get().mul_f64(factor.max(0.0));
        let floor = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        Some(pause.max(floor))
    }

    /// Whether an endpoint that fails again at `at` has failed for too long.
    #[must_use]
    pub fn gives_up_on(&self, endpoint: &Endpoint, at: Timestamp) -> bool {
        let (Some(since), Some(last)) = (endpoint.failing_since, endpoint.failed_at) else {
            return false;
        };
        let long = self.disable_after.get();
        let apart = FAILURES_APART.min(long);
        at.since(since) >= long && last.since(since) >= apart
    }

    /// How long a breaker opens the first time.
    #[must_use]
    pub fn breaker_first(&self) -> Duration {
        let second = self.pauses.get(1).copied().unwrap_or_default();
        second
            .get()
            .clamp(Duration::from_millis(10), Duration::from_secs(5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_the_schedules_within_a_fifth_and_then_end() {
        let policy = RetryPolicy::default();
        let table: &[(u32, f64, Option<u64>, Option<f64>)] = &[
            (0, 0.5, None, Some(0.0)),
            (0, 0.0, None, Some(0.0)),
            (1, 0.0, None, Some(4.0)),
            (1, 0.5, None, Some(5.0)),
            (1, 0.75, None, Some(5.5)),
            (4, 0.0, None, Some(5_760.0)),
            (9, 0.5, None, Some(86_400.0)),
            (10, 0.5, None, None),
            (u32::MAX, 0.5, None, None),
            (1, 0.5, Some(60), Some(60.0)),
            (1, 0.5, Some(1), Some(5.0)),
            (1, 0.5, Some(10_000_000), Some(86_400.0)),
            (10, 0.5, Some(60), None),
        ];
        for (steps, draw, retry_after, expected) in table {
            let retry_after = retry_after.map(Duration::from_secs);
            let pause = policy.after(*steps, *draw, retry_after);
            assert_eq!(pause.map(|pause| pause.as_secs_f64()), *expected, "{steps}");
        }
        let whole: Duration = policy.pauses.iter().map(|pause| pause.get()).sum();
        assert_eq!(whole, Duration::from_secs(75 * 3600 + 35 * 60 + 5));
    }
}
