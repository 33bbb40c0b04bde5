//! Pauses that shrink while attempts run out.

use super::{Cursor, Schedule, Seen, Start};
use std::time::Duration;

/// Polls at pauses that shrink from step to step.
///
/// Suits a job of known span under a hard limit of attempts: patient at first, eager towards the end.
///
/// ```
/// use std::time::Duration;
/// use abide::schedule::Countdown;
///
/// // Four polls at 4 s, three at 2 s, then every second without end.
/// let schedule = Countdown::new([(4, Duration::from_secs(4)), (3, Duration::from_secs(2))])
///     .then(Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Countdown {
    steps: Vec<(u32, Duration)>,
    then: Option<Duration>,
}

impl Countdown {
    /// Steps of (number of polls, pause before each). After the last step the attempts are used up.
    ///
    /// The pauses may also grow: the schedule follows the steps as they are.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = (u32, Duration)>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            then: None,
        }
    }

    /// Goes on at this pause after the last step, without end. Default: gives up.
    #[must_use]
    pub fn then(mut self, pause: Duration) -> Self {
        self.then = Some(pause);
        self
    }

    /// How many polls there are in all; none if they don't end.
    #[must_use]
    pub fn attempts(&self) -> Option<u32> {
        match self.then {
            Some(_) => None,
            None => Some(
                self.steps
                    .iter()
                    .fold(0u32, |sum, (polls, _)| sum.saturating_add(*polls)),
            ),
        }
    }
}

impl Default for Countdown {
    /// Ten polls: four at 4 s, three at 2 s, three at 1 s.
    fn default() -> Self {
        Self::new([
            (4, Duration::from_secs(4)),
            (3, Duration::from_secs(2)),
            (3, Duration::from_secs(1)),
        ])
    }
}

impl Schedule for Countdown {
    fn begin(&self, _: &Start) -> Box<dyn Cursor> {
        Box::new(Walk {
            schedule: self.clone(),
            step: 0,
            given: 0,
        })
    }
}

#[derive(Debug)]
struct Walk {
    schedule: Countdown,
    step: usize,
    given: u32,
}

impl Cursor for Walk {
    fn next(&mut self, seen: &Seen) -> Option<Duration> {
        while let Some(&(polls, pause)) = self.schedule.steps.get(self.step) {
            if self.given < polls {
                self.given += 1;
                return Some(seen.elapsed.saturating_add(pause));
            }
            self.step += 1;
            self.given = 0;
        }
        self.schedule
            .then
            .map(|pause| seen.elapsed.saturating_add(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::polls;
    use super::*;

    #[test]
    fn ten_polls_at_shrinking_pauses() {
        let schedule = Countdown::default();
        assert_eq!(schedule.attempts(), Some(10));
        assert_eq!(
            polls(&schedule, 1, 99),
            [4.0, 8.0, 12.0, 16.0, 18.0, 20.0, 22.0, 23.0, 24.0, 25.0]
        );
    }

    #[test]
    fn it_may_go_on_for_ever() {
        let schedule = Countdown::new([(1, Duration::from_secs(3)), (0, Duration::from_secs(9))])
            .then(Duration::from_secs(1));
        assert_eq!(schedule.attempts(), None);
        assert_eq!(polls(&schedule, 1, 4), [3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn no_steps_are_no_polls() {
        assert!(polls(&Countdown::new([]), 1, 4).is_empty());
    }
}
