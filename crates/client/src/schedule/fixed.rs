//! The same pause every time.

use super::{Cursor, Jitter, Schedule, Seen, Start};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Polls at a fixed interval, counted from each answer to the next poll.
///
/// The best there is for durations without memory; elsewhere it pays one to three times the delay of the best schedule
/// with as many requests.
///
/// ```
/// use std::time::Duration;
/// use abide::schedule::Fixed;
///
/// let every_two_seconds = Fixed::new(Duration::from_secs(2)).attempts(30);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Fixed {
    interval: Duration,
    jitter: Jitter,
    first: Option<Duration>,
    attempts: Option<u32>,
}

impl Fixed {
    /// Polls every `interval`.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            jitter: Jitter::None,
            first: None,
            attempts: None,
        }
    }

    /// Spreads every pause. Default: none.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The pause before the first poll; zero polls at once. Default: the interval.
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

impl Default for Fixed {
    /// One poll a second.
    fn default() -> Self {
        Self::new(Duration::from_secs(1))
    }
}

impl Schedule for Fixed {
    fn begin(&self, start: &Start) -> Box<dyn Cursor> {
        Box::new(Walk {
            schedule: self.clone(),
            rng: ChaCha8Rng::seed_from_u64(start.seed),
            given: 0,
        })
    }
}

#[derive(Debug)]
struct Walk {
    schedule: Fixed,
    rng: ChaCha8Rng,
    given: u32,
}

impl Cursor for Walk {
    fn next(&mut self, seen: &Seen) -> Option<Duration> {
        let Fixed {
            interval,
            jitter,
            first,
            attempts,
        } = self.schedule;
        if attempts.is_some_and(|most| self.given >= most) {
            return None;
        }
        let pause = if self.given == 0 {
            first.unwrap_or(interval)
        } else {
            interval
        };
        self.given += 1;
        Some(
            seen.elapsed
                .saturating_add(jitter.spread(pause, &mut self.rng)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::polls;
    use super::*;

    #[test]
    fn every_pause_is_the_interval() {
        let schedule = Fixed::new(Duration::from_secs(2));
        assert_eq!(polls(&schedule, 1, 4), [2.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    fn the_first_pause_and_the_attempts_are_knobs() {
        let schedule = Fixed::new(Duration::from_secs(30))
            .first(Duration::ZERO)
            .attempts(3);
        assert_eq!(polls(&schedule, 1, 9), [0.0, 30.0, 60.0]);
    }

    #[test]
    fn the_same_seed_gives_the_same_jitter() {
        let schedule = Fixed::default().jitter(Jitter::Around(0.5));
        assert_eq!(polls(&schedule, 3, 20), polls(&schedule, 3, 20));
        assert_ne!(polls(&schedule, 3, 20), polls(&schedule, 4, 20));
    }
}
