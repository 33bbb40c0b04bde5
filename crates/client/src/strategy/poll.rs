//! One request now and then.

use std::sync::Arc;
use std::time::Duration;

use super::{Begin, Happened, Move, Observed, Plan, Strategy};
use crate::schedule::{Ended, Pacer, Schedule};

/// Asks now and then, as a schedule says; the wait's own schedule unless one is given.
///
/// A job that this process didn't create is asked for once at the beginning, because it is unknown how long it has been
/// running.
#[derive(Clone, Debug, Default)]
pub struct Poll {
    schedule: Option<Arc<dyn Schedule>>,
}

impl Poll {
    /// Polls by the wait's own schedule.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Polls by that schedule.
    #[must_use]
    pub fn by(schedule: impl Schedule) -> Self {
        Self {
            schedule: Some(Arc::new(schedule)),
        }
    }
}

impl Strategy for Poll {
    fn name(&self) -> &'static str {
        "poll"
    }

    fn begin(&self, begin: &Begin) -> Box<dyn Plan> {
        let schedule = self.schedule.as_ref().unwrap_or(&begin.schedule);
        Box::new(PollPlan::new(Pacer::new(schedule, &begin.start)))
    }
}

/// A walk along a schedule.
#[derive(Debug)]
pub(super) struct PollPlan {
    pub(super) pacer: Pacer,
    /// When the next poll is due; none where the attempts are used up.
    due: Option<Duration>,
}

impl PollPlan {
    pub(super) const fn new(pacer: Pacer) -> Self {
        Self { pacer, due: None }
    }

    /// When to ask next; at once where nothing is known of the job. The schedule goes on only when a poll was answered.
    pub(super) fn due(&mut self, seen: &Observed) -> Option<Duration> {
        match seen.happened {
            Happened::Began | Happened::Answered => {
                self.due = if !seen.age_known && seen.time.polls == 0 {
                    Some(Duration::ZERO)
                } else {
                    self.pacer.next(&seen.time)
                };
            }
            // The schedule has already said that it's time to ask.
            Happened::Paused | Happened::Failed => self.due = Some(Duration::ZERO),
            _ => {}
        }
        self.due
    }
}

impl Plan for PollPlan {
    fn next(&mut self, seen: &Observed) -> Move {
        match self.due(seen) {
            None => Move::Stop,
            Some(at) if at <= seen.time.elapsed => Move::Ask,
            Some(until) => Move::Pause { until },
        }
    }

    fn finish(&mut self, ended: &Ended) {
        self.pacer.finish(ended);
    }

    fn hazard(&self, seen: &Observed) -> Option<f64> {
        self.pacer.hazard(&seen.time)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{begin, seen};
    use super::*;
    use crate::schedule::Fixed;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_failed_poll_neither_advances_nor_resets_the_schedule() {
        let mut plan = Poll::by(Fixed::new(2 * SECOND).attempts(2)).begin(&begin(Fixed::default()));
        let known = |seconds, happened, polls| {
            let mut seen = seen(seconds, happened);
            seen.age_known = true;
            seen.time.polls = polls;
            seen
        };
        let pause = |seconds| Move::Pause {
            until: seconds * SECOND,
        };
        assert_eq!(plan.next(&known(0.0, Happened::Began, 0)), pause(2));
        assert_eq!(plan.next(&known(2.0, Happened::Paused, 0)), Move::Ask);
        assert_eq!(plan.next(&known(2.5, Happened::Failed, 0)), Move::Ask);
        assert_eq!(plan.next(&known(2.9, Happened::Failed, 0)), Move::Ask);
        assert_eq!(plan.next(&known(3.0, Happened::Answered, 1)), pause(5));
        assert_eq!(plan.next(&known(5.0, Happened::Paused, 1)), Move::Ask);
        assert_eq!(plan.next(&known(5.1, Happened::Answered, 2)), Move::Stop);
    }

    #[test]
    fn a_job_of_which_nothing_is_known_is_asked_for_at_once() {
        let mut plan = Poll::new().begin(&begin(Fixed::new(30 * SECOND)));
        assert_eq!(plan.next(&seen(0.0, Happened::Began)), Move::Ask);
    }
}
