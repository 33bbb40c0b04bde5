//! Pauses that grow.

use super::{Cursor, Jitter, Schedule, Seen, Start};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Polls at pauses that grow by a factor up to a cap.
///
/// What most clients do, and what suits *errors*; for detecting an end it is late by design, two to nine times later
/// than the best schedule with as many requests. Offered because some APIs demand it.
///
/// ```
/// use std::time::Duration;
/// use abide::schedule::{Backoff, Jitter};
///
/// let schedule = Backoff::new(Duration::from_secs(2))
///     .factor(2.0)
///     .max(Duration::from_secs(30))
///     .jitter(Jitter::Around(0.25))
///     .attempts(10);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    initial: Duration,
    factor: f64,
    max: Duration,
    jitter: Jitter,
    first: Option<Duration>,
    attempts: Option<u32>,
}

impl Backoff {
    /// Starts with a pause of `initial`; grows by 1.5 up to 30 s, without jitter, unless told otherwise.
    #[must_use]
    pub fn new(initial: Duration) -> Self {
        Self {
            initial,
            factor: 1.5,
            max: Duration::from_secs(30),
            jitter: Jitter::None,
            first: None,
            attempts: None,
        }
    }

    /// What each pause is multiplied by for the next. Default: 1.5. A factor below 1, or one that isn't a number,
    /// counts as 1.
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor.max(1.0);
        self
    }

    /// The greatest pause, jitter included. Default: 30 s.
    #[must_use]
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Spreads every pause. Default: none.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The pause before the first poll; zero polls at once, and the second pause is then the initial one. Default: the
    /// initial pause.
    #[must_use]
    pub fn first(mut self, pause: Duration) -> Self {
        self.first = Some(pause);
        self
    }

    /// Gives up after this many polls. Default: never.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }
}

impl Default for Backoff {
    /// 1 s, × 1.5, at most 30 s.
    fn default() -> Self {
        Self::new(Duration::from_secs(1))
    }
}

impl Schedule for Backoff {
    fn begin(&self, start: &Start) -> Box<dyn Cursor> {
        Box::new(Walk {
            pause: self.initial.min(self.max),
            schedule: self.clone(),
            rng: ChaCha8Rng::seed_from_u64(start.seed),
            given: 0,
        })
    }
}

#[derive(Debug)]
struct Walk {
    schedule: Backoff,
    rng: ChaCha8Rng,
    given: u32,
    pause: Duration,
}

impl Cursor for Walk {
    fn next(&mut self, seen: &Seen) -> Option<Duration> {
        let schedule = &self.schedule;
        if schedule.attempts.is_some_and(|most| self.given >= most) {
            return None;
        }
        let pause = match schedule.first {
            Some(first) if self.given == 0 => first,
            _ => {
                let pause = self.pause;
                let grown = (pause.as_secs_f64() * schedule.factor).min(schedule.max.as_secs_f64());
                self.pause = Duration::try_from_secs_f64(grown).unwrap_or(schedule.max);
                pause
            }
        };
        self.given += 1;
        let pause = schedule
            .jitter
            .spread(pause, &mut self.rng)
            .min(schedule.max);
        Some(seen.elapsed.saturating_add(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::polls;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_grow_up_to_the_cap() {
        let schedule = Backoff::new(SECOND).factor(2.0).max(15 * SECOND);
        assert_eq!(polls(&schedule, 1, 6), [1.0, 3.0, 7.0, 15.0, 30.0, 45.0]);
    }

    #[test]
    fn a_first_poll_at_once_leaves_the_growth_alone() {
        let schedule = Backoff::new(SECOND).factor(2.0).first(Duration::ZERO);
        assert_eq!(polls(&schedule, 1, 4), [0.0, 1.0, 3.0, 7.0]);
    }

    #[test]
    fn the_cap_holds_for_jitter_too() {
        let schedule = Backoff::new(30 * SECOND).jitter(Jitter::Around(0.25));
        let polls = polls(&schedule, 1, 50);
        for pair in polls.windows(2) {
            assert!(pair[1] - pair[0] <= 30.000_001, "{pair:?}");
        }
    }

    #[test]
    fn absurd_knobs_do_no_harm() {
        for factor in [f64::NAN, 0.0, -3.0, f64::INFINITY] {
            let schedule = Backoff::new(Duration::MAX)
                .factor(factor)
                .max(Duration::MAX)
                .attempts(4);
            assert_eq!(polls(&schedule, 1, 9).len(), 4);
        }
    }
}
