//! The same pause every time.

use super::{Backoff, Cursor, Jitter, Schedule, Start};
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
pub struct Fixed(
    /// One that doesn't grow.
    Backoff,
);

impl Fixed {
    /// Polls every `interval`.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self(Backoff::new(interval).factor(1.0).max(Duration::MAX))
    }

    /// Spreads every pause. Default: none.
    #[must_use]
    pub fn jitter(self, jitter: Jitter) -> Self {
        Self(self.0.jitter(jitter))
    }

    /// The pause before the first poll; zero polls at once. Default: the interval.
    #[must_use]
    pub fn first(self, pause: Duration) -> Self {
        Self(self.0.first(pause))
    }

    /// Gives up after this many polls. Default: never.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Self {
        Self(self.0.attempts(attempts))
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
        self.0.begin(start)
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
