//! The rules that hold for every schedule.

use super::{Cursor, Ended, Schedule, Seen, Start};
use std::time::Duration;

/// The least pause between an answer and the next poll, whatever a schedule says; a first poll may leave at once.
///
/// It keeps a schedule of zero pauses from becoming a busy loop.
pub(crate) const PAUSE_MIN: Duration = Duration::from_millis(10);

/// A floor of this length is kept whatever a schedule expects.
const FLOOR_MIN: Duration = Duration::from_secs(10);
/// The share of jobs after whose ends a floor makes no sense.
const NEARLY_ALL: f64 = 0.95;

/// A [`Cursor`] under the rules that no schedule may break: the server's floor, the least pause, the caller's deadline.
///
/// The deadline earns one last poll, sent a round trip before it so that its answer still arrives in time. A floor that
/// lies beyond the deadline doesn't take that last look away; a *refusal* that asks for more time than there is left
/// (429 or 503) is the business of the retry policy, which gives up at once.
#[derive(Debug)]
pub struct Pacer {
    cursor: Box<dyn Cursor>,
    deadline: Option<Duration>,
    last_look_given: bool,
}

impl Pacer {
    /// Begins a schedule for one job, without a deadline.
    #[must_use]
    pub fn new(schedule: &dyn Schedule, start: &Start) -> Self {
        Self {
            cursor: schedule.begin(start),
            deadline: None,
            last_look_given: false,
        }
    }

    /// Bounds the wait: the time since acceptance at which the caller stops caring.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// When to send the next poll, as time since acceptance; call it once per answered poll.
    ///
    /// Never before [`Seen::elapsed`]. `None` means that nothing is left to ask: the attempts are used up, or the last
    /// look before the deadline has been taken.
    pub fn next(&mut self, seen: &Seen) -> Option<Duration> {
        let Some(deadline) = self.deadline else {
            return self.unbounded(seen);
        };
        if self.last_look_given || seen.elapsed >= deadline {
            return None;
        }
        let last_look = deadline.saturating_sub(seen.rtt.max(PAUSE_MIN));
        let at = self.unbounded(seen)?;
        if at < last_look {
            return Some(at);
        }
        self.last_look_given = true;
        Some(last_look.max(seen.elapsed))
    }

    /// Tells the schedule how the wait ended, by whatever channel the news came. See [`Cursor::finish`].
    pub fn finish(&mut self, ended: &Ended) {
        self.cursor.finish(ended);
    }

    /// When the job has ended with the given probability. See [`Cursor::quantile`].
    #[must_use]
    pub fn quantile(&self, probability: f64, seen: &Seen) -> Option<Duration> {
        self.cursor.quantile(probability, seen)
    }

    /// The rate at which the job is expected to end. See [`Cursor::hazard`].
    #[must_use]
    pub fn hazard(&self, seen: &Seen) -> Option<f64> {
        self.cursor.hazard(seen)
    }

    /// The server's floor as far as it makes sense: not beyond the instant at which nearly all such jobs have ended.
    fn floor(&self, seen: &Seen) -> Option<Duration> {
        let floor = seen.not_before?;
        let surely = self.cursor.quantile(NEARLY_ALL, seen);
        let sense = surely.map(|at| at.max(seen.elapsed.saturating_add(FLOOR_MIN)));
        Some(sense.map_or(floor, |sense| floor.min(sense)))
    }

    fn unbounded(&mut self, seen: &Seen) -> Option<Duration> {
        let seen = &seen.not_before(self.floor(seen));
        let at = self.cursor.next(seen)?;
        let earliest = if seen.polls == 0 {
            seen.elapsed
        } else {
            seen.elapsed.saturating_add(PAUSE_MIN)
        };
        Some(at.max(earliest).max(seen.not_before.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Countdown, Fixed};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seen(seconds: f64, polls: u32) -> Seen {
        Seen::at(Duration::from_secs_f64(seconds)).polls(polls)
    }

    #[test]
    fn a_floor_moves_the_next_poll_and_only_that() {
        let mut pacer = Pacer::new(&Fixed::new(SECOND), &Start::new(1));
        let floored = seen(2.0, 2).not_before(Some(5 * SECOND));
        assert_eq!(pacer.next(&floored), Some(5 * SECOND));
        assert_eq!(pacer.next(&seen(5.0, 3)), Some(6 * SECOND));
        let passed = seen(6.0, 4).not_before(Some(5 * SECOND));
        assert_eq!(pacer.next(&passed), Some(7 * SECOND));
    }

    #[test]
    fn a_schedule_of_nothing_is_not_a_busy_loop() {
        let mut pacer = Pacer::new(&Fixed::new(Duration::ZERO), &Start::new(1));
        assert_eq!(pacer.next(&seen(0.0, 0)), Some(Duration::ZERO));
        assert_eq!(pacer.next(&seen(0.0, 1)), Some(PAUSE_MIN));
    }

    #[test]
    fn a_deadline_earns_exactly_one_last_look() {
        let mut pacer = Pacer::new(&Fixed::new(4 * SECOND), &Start::new(1)).deadline(10 * SECOND);
        assert_eq!(pacer.next(&seen(0.0, 0)), Some(4 * SECOND));
        assert_eq!(pacer.next(&seen(4.1, 1)), Some(Duration::from_millis(8100)));
        assert_eq!(pacer.next(&seen(8.2, 2)), Some(Duration::from_millis(9900)));
        assert_eq!(pacer.next(&seen(9.95, 3)), None);
    }

    #[test]
    fn a_floor_beyond_the_deadline_leaves_the_last_look() {
        let mut pacer = Pacer::new(&Fixed::new(SECOND), &Start::new(1)).deadline(10 * SECOND);
        let floored = seen(2.0, 1).not_before(Some(60 * SECOND));
        assert_eq!(pacer.next(&floored), Some(Duration::from_millis(9900)));
        assert_eq!(pacer.next(&seen(9.99, 2)), None);
    }

    #[test]
    fn a_deadline_nearer_than_a_round_trip_is_looked_at_now() {
        let mut pacer = Pacer::new(&Fixed::new(SECOND), &Start::new(1)).deadline(10 * SECOND);
        assert_eq!(
            pacer.next(&seen(9.95, 1)),
            Some(Duration::from_millis(9950))
        );
        assert_eq!(pacer.next(&seen(9.96, 2)), None);
    }

    #[test]
    fn used_up_attempts_end_before_the_deadline() {
        let mut pacer =
            Pacer::new(&Countdown::new([(1, SECOND)]), &Start::new(1)).deadline(60 * SECOND);
        assert_eq!(pacer.next(&seen(0.0, 0)), Some(SECOND));
        assert_eq!(pacer.next(&seen(1.1, 1)), None);
    }
}
